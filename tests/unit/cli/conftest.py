"""A real API server on a data folder that looks like that of a running `ome up`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ome.api.crds import all_crds
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from ome.cli.home import Home
from ome.cli.main import run
from ome.kube import Client
from ome.standalone.apiserver import ApiServer, Store

START_SECONDS = 20


class Answer(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str


Ome = Callable[..., Answer]


@pytest.fixture
def ome(capsys: pytest.CaptureFixture[str]) -> Ome:
    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        status = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return call


class Server:
    """An API server in a thread, with OME's kinds and nobody who acts on them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def _main(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        store = Store.open(self.home.store)
        server = ApiServer(store)
        try:
            await server.start(self.home.socket)
            async with Client.unix(self.home.socket) as client:
                self.client = client
                for crd in all_crds():
                    await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
                self._started.set()
                await self._stop.wait()
        finally:
            await server.stop()
            store.close()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._started.wait(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive()

    def set_status(self, resource: Resource, name: str, status: Object, namespace: str) -> None:
        """What a controller would write."""
        self.patch(resource, name, {"status": status}, namespace, "status")

    def patch(
        self, resource: Resource, name: str, patch: Object, namespace: str = "", part: str = ""
    ) -> None:
        self._do(self.client.patch(resource, name, patch, namespace=namespace, subresource=part))

    def create(self, resource: Resource, obj: Object) -> None:
        self._do(self.client.create(resource, obj))

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("OME_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    made = Home.find()
    made.make()
    return made


@pytest.fixture
def server(home: Home) -> Iterator[Server]:
    with home.take() as _lock, Server(home) as made:
        home.write_state({"pid": 1, "gateway": "http://127.0.0.1:9"})
        yield made
