"""Operators as processes beside the bed, with the rights that the chart gives them.

The bed has no pod network, so replicas run on this machine and the webhooks lead to a
:class:`Balancer` on loopback, which stands for the Service: it takes connections to whichever
replica is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.bed.controlplane import ControlPlane

Object = dict[str, Any]
SECONDS = 60.0
LEASE_SECONDS = 5
"""How long a leader that is gone keeps its Lease."""


def until(what: str, test: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Returns what the test gives once that is true."""
    end = time.monotonic() + seconds
    while True:
        if found := test():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def kubeconfig(bed: ControlPlane, token: str, path: Path, server: str = "") -> Path:
    """For whoever has the token, and for nobody else. ``server`` is a way that is not direct."""
    cluster = {"server": server or bed.url, "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "account"}}],
    }
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return path


class Balancer:
    """Passes each connection on to the first backend that answers."""

    def __init__(self) -> None:
        self.backends: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        for port in list(self.backends):
            try:
                server = socket.create_connection(("127.0.0.1", port), timeout=2)
            except OSError:
                continue
            server.settimeout(None)
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            return
        client.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Replica:
    """One ``ome operator``. Its log is JSON lines in a file."""

    def __init__(
        self,
        folder: Path,
        name: str,
        config: Path,
        balancer: Balancer | None,
        *more: str,
        namespace: str = "ome",
        program: Sequence[str] = ("-m", "ome.cli"),
    ) -> None:
        """Without a balancer it takes its webhooks for those of a Service, as in a pod. ``program``
        is what Python runs, where that is not the command itself."""
        self.name = name
        self._log = folder / f"{name}.log"
        arguments = ["operator", "--kubeconfig", str(config), "--namespace", namespace]
        arguments += ["--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0"]
        arguments += ["--lease-seconds", str(LEASE_SECONDS), "--drain-seconds", "1"]
        if balancer is not None:
            arguments += ["--webhook-url", balancer.url]
        path = os.pathsep.join(p for p in sys.path if p)
        environment = {**os.environ, "PYTHONPATH": path, "OME_IMAGE": "ome:test"}  # as in a pod
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        began: Object = until(f"{name} starts", lambda: self.said("the operator starts"))
        self.port, self.webhook_port = began["port"], began["webhookPort"]
        self.identity: str = began["identity"]

    def lines(self) -> list[Object]:
        """What it has logged; a line that is no JSON fails the test."""
        assert self.process.poll() in (None, 0, -signal.SIGKILL), self._log.read_text()
        text = self._log.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def said(self, part: str) -> Object | None:
        """The last line with this in its message."""
        found = [line for line in self.lines() if part in line["msg"]]
        return found[-1] if found else None

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def until_ready(self) -> None:
        last: tuple[int, str] = (0, "")

        def ready() -> bool:
            nonlocal last
            self.lines()
            last = self.get("/readyz")
            return last[0] == 200

        try:
            until(f"{self.name} is ready", ready)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}\n{self._log.read_text()[-3000:]}") from None

    def metric(self, name: str) -> float:
        """The value of one series, 0 where it is not there."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    @property
    def leads(self) -> bool:
        return self.metric("ome_leader") == 1

    def until_leads(self, seconds: float = SECONDS) -> None:
        until(f"{self.name} leads", lambda: self.leads, seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(30)


def audited(bed: ControlPlane, account: str, skip: int = 0) -> list[Object]:
    """What a service account asked, after the first ``skip`` requests; finished ones only."""
    user = f"system:serviceaccount:ome:{account}"
    found = []
    for event in _events(bed.folder / "audit.log"):
        if event["user"]["username"] == user and event["stage"] == "ResponseComplete":
            found.append(event)
    return found[skip:]


def _events(path: Path) -> Iterator[Object]:
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def writes(events: list[Object]) -> list[str]:
    """Writes as ``verb resource namespace/name``, without those of the Lease."""
    found = []
    for event in events:
        ref = event.get("objectRef") or {}
        if event["verb"] in ("get", "list", "watch") or ref.get("resource") == "leases":
            continue
        place = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
        found.append(f"{event['verb']} {place} {ref.get('namespace', '')}/{ref.get('name', '')}")
    return found
