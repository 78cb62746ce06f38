"""A one-machine home without OME: API server, node agent and workload controllers.

``Home`` runs them in the test's process. ``python -m tests.standalone.nodehome`` runs parts of them
in a process of its own, so that a test can kill it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, condition
from ome.apimachinery.resources import EVENTS, PODS
from ome.kube import Client
from ome.standalone import workloads
from ome.standalone.apiserver import ApiServer, Store, TlsConfig
from ome.standalone.node import BackOff, NodeAgent, Settings, stop_everything

T = TypeVar("T")
NODE = "n1"
SETTINGS = Settings(
    back_off=BackOff(base=0.4, limit=2), config_retry=0.2, refresh_volumes=0.3, heartbeat=2.0
)


async def until(look: Callable[[], Awaitable[T]], *, timeout: float = 20.0, what: str = "") -> T:
    """Looks again and again until the answer is true; that answer."""
    end = time.monotonic() + timeout
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or look}")
        await asyncio.sleep(0.03)


class Home:
    """``data`` holds everything; ``socket`` is where the API listens."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.socket = data / "api.sock"
        self.agent: NodeAgent
        self.client: Client
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start_node(self, **options: Any) -> NodeAgent:
        self.agent = NodeAgent(self.client, NODE, self.data, **({"settings": SETTINGS} | options))
        self._tasks.append(asyncio.create_task(self.agent.run()))
        await asyncio.wait_for(self.agent.ready.wait(), 20)
        return self.agent

    async def start_workloads(self, **options: Any) -> None:
        ready = asyncio.Event()
        self._tasks.append(asyncio.create_task(workloads.run(self.client, ready=ready, **options)))
        await asyncio.wait_for(ready.wait(), 20)

    async def stop_tasks(self) -> None:
        """What a normal end of OME does: pods go on."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def create(self, pod: Object) -> Object:
        return await self.client.create(PODS, pod, namespace="default")

    async def pod(self, name: str) -> Object | None:
        try:
            return await self.client.get(PODS, name, "default")
        except NotFound:
            return None

    async def pod_when(self, name: str, test: Callable[[Object], Any], **options: Any) -> Object:
        """The pod, once the test holds."""
        last: list[Object | None] = [None]

        async def look() -> Object | None:
            last[0] = pod = await self.pod(name)
            return pod if pod is not None and test(pod) else None

        try:
            found = await until(look, **options)
        except AssertionError as error:
            raise AssertionError(f"{error}: {(last[0] or {}).get('status')}") from None
        assert found is not None
        return found

    async def delete(self, name: str, **options: Any) -> None:
        await self.client.delete(PODS, name, "default", **options)

    async def gone(self, name: str) -> None:
        async def look() -> bool:
            return await self.pod(name) is None

        await until(look, what=f"{name} is gone")

    async def events(self, name: str) -> list[str]:
        listed = await self.client.list(EVENTS, "default")
        return [
            f"{e['reason']}: {e['message']}"
            for e in listed.items
            if e["involvedObject"]["name"] == name
        ]

    async def logs(self, name: str, **options: Any) -> str:
        values: dict[str, Any] = {
            "container": "",
            "follow": False,
            "tail_lines": None,
            "since_seconds": None,
            "previous": False,
            "timestamps": False,
            "limit_bytes": None,
        }
        pod = await self.pod(name)
        assert pod is not None
        stream = await self.agent.logs(pod, **(values | options))
        return b"".join([chunk async for chunk in stream]).decode()

    def directory(self, pod: Object) -> Path:
        return self.data / "pods" / pod["metadata"]["uid"]


class _Logs:
    """The logs of whichever agent the home has at the moment."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def logs(self, pod: Object, **options: Any) -> AsyncIterator[bytes]:
        return await self._home.agent.logs(pod, **options)


@contextlib.asynccontextmanager
async def api(data: Path, tls: TlsConfig | None = None) -> AsyncIterator[Home]:
    """An API server with a client, and nothing else yet."""
    home = Home(data)
    server = ApiServer(Store.open(data / "db"), None, _Logs(home))
    await server.start(unix_socket=home.socket, tls=tls, tokens={"secret": "me"} if tls else {})
    home.port = server.tls_port if tls else 0
    async with Client.unix(home.socket) as client:
        home.client = client
        try:
            yield home
        finally:
            await home.stop_tasks()
            await stop_everything(data, grace=0.5)
    await server.stop()


def host_pod(name: str, *command: str, **spec: Any) -> Object:
    """A pod of host processes; one string is a shell script."""
    argv = ["sh", "-c", command[0]] if len(command) == 1 else list(command)
    container: Object = {"name": "main", "image": "none", "command": argv}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": spec.pop("labels", {"app": name}),
            "annotations": {"ome.io/host-process": "true"} | spec.pop("annotations", {}),
        },
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            **spec,
        },
    }


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase"))


def is_ready(pod: Object) -> bool:
    return (condition(pod, "Ready") or {}).get("status") == "True"


def main_status(pod: Object) -> Object:
    found: Object = ((pod.get("status") or {}).get("containerStatuses") or [{}])[0]
    return found


def state(pod: Object, key: str) -> Object:
    found: Object = (main_status(pod).get("state") or {}).get(key) or {}
    return found


async def _serve(data: Path, parts: list[str]) -> None:
    """Parts in a process of their own; prints ``ready`` and stays."""
    home = Home(data)
    server: ApiServer | None = None
    if "api" in parts:
        server = ApiServer(Store.open(data / "db"), None, None)
        await server.start(unix_socket=home.socket, tls=None, tokens={})
    async with Client.unix(home.socket) as client:
        home.client = client
        if "node" in parts:
            await home.start_node()
        if "workloads" in parts:
            await home.start_workloads()
        print("ready", flush=True)
        await asyncio.Event().wait()


class Child:
    """Parts of a home as a child process."""

    def __init__(self, data: Path, *parts: str) -> None:
        self._argv = [sys.executable, "-m", "tests.standalone.nodehome", str(data), *parts]
        self.process: asyncio.subprocess.Process

    async def start(self) -> Child:
        self.process = await asyncio.create_subprocess_exec(
            *self._argv, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line == b"ready\n", line
        return self

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    options = argparse.ArgumentParser()
    options.add_argument("data", type=Path)
    options.add_argument("parts", nargs="+")
    chosen = options.parse_args()
    asyncio.run(_serve(chosen.data, chosen.parts))
