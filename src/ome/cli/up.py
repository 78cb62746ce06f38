"""One machine's OME: the rooms put together in one process, on one event loop.

Order of a start: the data folder and its lock, certificates and the bundle of CRDs and catalog
(:mod:`ome.cli.commands.up`); store and API server; the node and the gateway's pod, and beside it
CRDs and configuration; when these are there, the workload controllers, the operator and the model
agent. A part that fails takes the others down with it and is named.

Stopping: the API and the controllers end first, then pods are stopped, unless they are to be left
running (``ome down --keep-pods``); a killed control process leaves them running too, and the next
start takes them up again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ome._version import __version__
from ome.admission import OmeAdmission
from ome.agent import NodeModelAgent
from ome.apimachinery.objects import Object
from ome.cli import bootstrap, frugal, prepare
from ome.cli.errors import CliError
from ome.cli.home import API_PORT, GATEWAY_PORT, Home, replace
from ome.controllers import run_operator
from ome.controllers.claims import Inspector
from ome.kube import Client
from ome.standalone import node as machine
from ome.standalone import workloads
from ome.standalone.apiserver import (
    AdmissionRequest,
    AdmissionResponse,
    ApiServer,
    Store,
    StoreError,
    TlsConfig,
)

log = logging.getLogger("ome.up")

_PORT_TRIES = 50
HOST = "127.0.0.1"
READY_SECONDS = 60.0
PROGRESS_SECONDS = 1.0
"""How often a download's progress is written: somebody is looking, and nobody else writes."""
SETTLED_SECONDS = 5.0
"""After the controllers were started: their caches are filled."""
GIVE_BACK_SECONDS = 60.0
"""The connections of a start are closed after 20 s. It takes a few milliseconds each time."""
KEEP_PODS_SIGNAL = signal.SIGUSR1


@dataclass(frozen=True, slots=True)
class Options:
    """``port`` and ``gateway_port``: 0 takes the usual one, or the next that is free."""

    port: int = 0
    gateway_port: int = 0
    node_name: str = ""


class _Admission:
    """OME's rules as the API server's admission."""

    def __init__(self) -> None:
        self._rules = OmeAdmission(namespace=bootstrap.NAMESPACE)

    def admit(self, request: AdmissionRequest) -> AdmissionResponse:
        if request.subresource:
            return AdmissionResponse()
        review = self._rules.review(
            request.operation, request.resource, request.object, request.old, request.view
        )
        return AdmissionResponse(review.patched, review.errors, warnings=review.warnings)


async def run(
    home: Home,
    options: Options,
    on_ready: Callable[[Object], None],
    on_stop: Callable[[bool], None],
) -> None:
    """Runs until a signal asks to stop. Raises CliError where it can't start or go on.

    The lock of ``home`` is held, and what ``prepare`` makes is there. ``on_ready`` is called once;
    ``on_stop`` when stopping begins, with whether pods are left.
    """
    stop = _Signals()
    async with _server(home, options) as (server, client, node):
        await bootstrap.ensure_namespace(client)
        port = await _gateway_port(home, client, options.gateway_port)
        gateway = _gateway(home, node.name, port)
        state = _state(home, server.tls_port, port)

        def ready() -> None:
            home.write_state(state)
            on_ready(state)

        try:
            await _run_parts(home, client, node, gateway, stop, ready)
        finally:
            on_stop(stop.keep_pods)
            home.state.unlink(missing_ok=True)
    if stop.asked.is_set() and not stop.keep_pods:
        await _stop_pods(home, stop)


async def _stay_small() -> None:
    """Gives back what was needed for a while, from time to time; the start needs most."""
    await asyncio.sleep(SETTLED_SECONDS)
    frugal.give_back()
    gc.freeze()  # what is there now stays: later collections need not look at it
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        frugal.give_back()


class _Signals:
    """SIGINT and SIGTERM stop everything, a second one leaves the pods; SIGUSR1 leaves them too."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.keep_pods = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(KEEP_PODS_SIGNAL, self._leave)

    def _stop(self) -> None:
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()

    def _leave(self) -> None:
        self.keep_pods = True
        self.asked.set()


@contextlib.asynccontextmanager
async def _server(
    home: Home, options: Options
) -> AsyncIterator[tuple[ApiServer, Client, machine.NodeAgent]]:
    """The API server, listening; a client of its socket; and the node that reads its logs."""
    try:
        store = Store.open(home.store)
    except StoreError as error:
        raise CliError(str(error), where=str(home.store)) from error
    try:
        async with Client.unix(home.socket) as client:
            node = machine.NodeAgent(
                client,
                options.node_name or machine.default_name(),
                home.node,
                host_path_map=_host_paths(home),
                settings=machine.Settings(host_environment=_host_environment()),
            )
            server = ApiServer(store, _Admission(), node, __version__)
            token = (home.pki / "token").read_text().strip()
            port = _api_port(home, options.port)
            tls = TlsConfig(HOST, port, home.pki / "server.crt", home.pki / "server.key")
            try:
                await server.start(home.socket, tls, {token: "admin"})
            except OSError as error:
                raise _taken(port, error, "--port") from error
            try:
                _write_kubeconfig(home, server.tls_port, token)
                yield server, client, node
            finally:
                await server.stop()
    finally:
        store.close()


def _host_environment() -> dict[str, str]:
    """Where Python finds OME, if that is not by installation (a source tree)."""
    given = os.environ.get("PYTHONPATH")
    if not given:
        return {}
    return {"PYTHONPATH": os.pathsep.join(str(Path(p).absolute()) for p in given.split(os.pathsep))}


def _host_paths(home: Home) -> dict[str, Path]:
    return {"/raid/models": home.models}


async def _install(home: Home, client: Client, gateway_port: int) -> None:
    data = (home.root / "state" / prepare.BUNDLE).read_bytes()
    await bootstrap.install(client, msgspec.json.decode(data, type=prepare.Bundle))
    await bootstrap.configure(client, f"{HOST}:{gateway_port}")
    await bootstrap.configure_benchmarks(client, [sys.executable], str(home.bench_python))


async def _run_parts(
    home: Home,
    client: Client,
    node: machine.NodeAgent,
    gateway: bootstrap.Gateway,
    stop: _Signals,
    ready: Callable[[], None],
) -> None:
    """All parts, until one fails or the user stops them."""
    tasks = {asyncio.create_task(node.run(), name="node")}
    asked = asyncio.create_task(stop.asked.wait())
    installing = asyncio.create_task(_install(home, client, gateway.port))
    starting = asyncio.create_task(_until_ready(home, client, node, gateway))
    waiting: set[asyncio.Task[Any]] = {*tasks, asked, installing, starting}
    try:
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if asked in done:
                return
            if failed := done & tasks:
                raise _failure(failed.pop())
            for step in done & {installing, starting}:
                step.result()
            if installing in done:
                more = _controllers(home, client, node)
                tasks |= more
                waiting |= more
            if done & {installing, starting} and not waiting & {installing, starting}:
                ready()
    finally:
        for task in (*tasks, asked, installing, starting):
            task.cancel()
        await asyncio.gather(*tasks, asked, installing, starting, return_exceptions=True)


def _controllers(home: Home, client: Client, node: machine.NodeAgent) -> set[asyncio.Task[Any]]:
    """What works on objects; their kinds have to be there."""
    agent = NodeModelAgent(
        client,
        node.name,
        home.models,
        host_path_map=_host_paths(home),
        namespace=bootstrap.NAMESPACE,
        progress_every=PROGRESS_SECONDS,
    )
    operator = run_operator(
        client,
        namespace=bootstrap.NAMESPACE,
        progress_seconds=PROGRESS_SECONDS,
        inspector=Inspector(host=True, program=(sys.executable, "-m", "ome.cli")),
    )
    parts: dict[str, Coroutine[Any, Any, object]] = {
        "workload controllers": workloads.run(client, usage=node.usage),
        "operator": operator,
        "model agent": agent.run(),
        "housekeeping": _stay_small(),
    }
    return {asyncio.create_task(work, name=name) for name, work in parts.items()}


def _failure(task: asyncio.Task[Any]) -> Exception:
    error = task.exception() if not task.cancelled() else None
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    log.error("the %s ended", task.get_name(), exc_info=error)
    reason = f"{type(error).__name__}: {error}" if error else "it ended by itself"
    return CliError(f"the {task.get_name()} failed: {reason}")


async def _until_ready(
    home: Home, client: Client, node: machine.NodeAgent, gateway: bootstrap.Gateway
) -> None:
    """The node is there, earlier pods are taken up, and the gateway answers with its routes."""
    async with asyncio.timeout(READY_SECONDS):
        await node.ready.wait()
        await bootstrap.ensure_gateway(client, gateway.pod)
        turn = 0
        while not await _answers(home, gateway.port):
            turn += 1
            if turn % 20 == 0 and (problem := await bootstrap.gateway_problem(client)):
                raise CliError(f"the gateway doesn't start: {problem}")
            await asyncio.sleep(0.03)


async def _answers(home: Home, port: int) -> bool:
    """Whether the gateway of this data folder (no other one) answers, and has read its routes."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = await reader.read(4096)
        return b" 200 " in answer[:16] and b"X-OME-Instance: %b\r\n" % bytes(home.socket) in answer
    except OSError:
        return False
    finally:
        writer.close()


async def _gateway_port(home: Home, client: Client, asked: int) -> int:
    """The port that was asked for, else that of a gateway that still runs, else a free one."""
    live = await bootstrap.live_gateway(client)
    if live is not None:
        listen = str(live["spec"]["containers"][0]["command"][-1])
        port = int(listen.rpartition(":")[2])
        if (not asked or asked == port) and (await _answers(home, port) or _free(port)):
            return port
    if asked:
        if not _free(asked):
            raise _taken(asked, None, "--gateway-port")
        return asked
    return _first_free(GATEWAY_PORT)


def _api_port(home: Home, asked: int) -> int:
    if asked:
        if not _free(asked):
            raise _taken(asked, None, "--port")
        return asked
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        server = next(x for x in home.kubeconfig.read_text().split() if x.startswith("https://"))
        last = int(server.rpartition(":")[2])
        if _free(last):
            return last
    return _first_free(API_PORT)


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _first_free(first: int) -> int:
    for port in range(first, first + _PORT_TRIES):
        if _free(port):
            return port
    raise CliError(f"no free port between {first} and {first + _PORT_TRIES - 1} on {HOST}")


def _taken(port: int, error: OSError | None, option: str) -> CliError:
    why = error.strerror if error and error.strerror else "it is in use"
    return CliError(
        f"can't listen on {HOST}:{port}: {why}",
        remedy=f"Stop what listens there, or choose another with {option} PORT",
    )


def _gateway(home: Home, node: str, port: int) -> bootstrap.Gateway:
    argv = [sys.executable, "-m", "ome.standalone.gateway"]
    argv += ["--api-socket", str(home.socket), "--listen", f"{HOST}:{port}"]
    return bootstrap.Gateway(port, bootstrap.gateway_pod(node, argv, frugal.SETTINGS))


def _state(home: Home, api_port: int, gateway_port: int) -> Object:
    return {
        "pid": os.getpid(),
        "version": __version__,
        "data": str(home.root),
        "api": f"https://{HOST}:{api_port}",
        "gateway": f"http://{HOST}:{gateway_port}",
        "kubeconfig": str(home.kubeconfig),
        "started": time.time(),
    }


def _write_kubeconfig(home: Home, port: int, token: str) -> None:
    ca = base64.b64encode((home.pki / "ca.crt").read_bytes()).decode()
    cluster = {"server": f"https://{HOST}:{port}", "certificate-authority-data": ca}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "ome", "cluster": cluster}],
        "users": [{"name": "ome", "user": {"token": token}}],
        "contexts": [
            {"name": "ome", "context": {"cluster": "ome", "user": "ome", "namespace": "default"}}
        ],
        "current-context": "ome",
    }
    # JSON is YAML, and needs no YAML library here.
    replace(home.kubeconfig, json.dumps(config, indent=2).encode() + b"\n")


async def _stop_pods(home: Home, stop: _Signals) -> None:
    """Stops all pods, unless a second signal comes meanwhile."""
    stopping = asyncio.create_task(machine.stop_everything(home.node))
    hurried = asyncio.create_task(stop.hurried.wait())
    await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not stopping.done():
        stopping.cancel()
        raise CliError(
            "stopped in a hurry: pods may still run", remedy="'ome down' stops them", code=130
        )
    stopping.result()
