"""The client against the embedded API server: two independent readings of the same protocol."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.kube.certificates import Authority
from tests.unit.kube.conformance import *  # noqa: F403
from tests.unit.kube.conformance import Restart, config_map
from tests.unit.kube.waiting import until

from ome.apimachinery.errors import Expired
from ome.apimachinery.objects import key_of
from ome.apimachinery.resources import CONFIG_MAPS, NAMESPACES
from ome.kube import Client, Informer, connect
from ome.kube.backoff import Backoff
from ome.standalone.apiserver import ApiServer, Limits, Store, TlsConfig


class Home:
    """A server on a unix socket that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "api.sock"
        self._folder = folder
        self._store: Store | None = None
        self._server: ApiServer | None = None

    async def up(self, *, limits: Limits | None = None, **options: Any) -> ApiServer:
        self._store = Store.open(self._folder / "db", limits)
        self._server = ApiServer(self._store)
        await self._server.start(unix_socket=self.socket, **options)
        return self._server

    async def down(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None
        if self._store is not None:
            self._store.close()
            self._store = None


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    made = Home(tmp_path)
    await made.up()
    yield made
    await made.down()


@pytest.fixture
async def client(home: Home) -> AsyncIterator[Client]:
    async with Client.unix(home.socket) as made:
        yield made


@pytest.fixture
def restart(home: Home) -> Restart:
    async def down_and_up() -> None:
        await home.down()
        await home.up()

    return down_and_up


async def test_after_the_history_is_gone_only_the_differences_are_told(
    home: Home, client: Client
) -> None:
    for name in ("kept", "gone", "changed"):
        await client.create(CONFIG_MAPS, config_map(name))
    version = (await client.list(CONFIG_MAPS)).resource_version
    told: list[tuple[str, str]] = []
    informer = Informer(
        client, CONFIG_MAPS, "default", backoff=Backoff(0.02, 0.1), relist_jitter=0.01
    )
    running = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.synced(), 10)
        informer.add_handler(
            lambda event, old, new: told.append((event, (new or old)["metadata"]["name"]))
        )
        told.clear()
        await home.down()
        await home.up(limits=Limits(log_rows=5, ring_rows=5))
        async with Client.unix(home.socket) as other:
            await other.delete(CONFIG_MAPS, "gone", "default")
            await other.patch(CONFIG_MAPS, "changed", {"data": {"a": "b"}}, namespace="default")
            for number in range(40):
                data = {"data": {"n": str(number)}}
                await other.patch(CONFIG_MAPS, "changed", data, namespace="default")
        await home.down()
        await home.up(limits=Limits(log_rows=5, ring_rows=5))
        await until(lambda: informer.get("default", "gone") is None)
        await until(lambda: informer.get("default", "changed")["data"]["n"] == "39")  # type: ignore[index]
        assert {name for _, name in told} == {"gone", "changed"}
        with pytest.raises(Expired):
            async for _ in client.watch(CONFIG_MAPS, resource_version=version):
                pytest.fail("no event is due")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_over_tls_with_a_token_from_a_kubeconfig(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.issue("server", ip="127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(pair.certificate)
    (tmp_path / "key.pem").write_bytes(pair.key)
    tls = TlsConfig("127.0.0.1", 0, tmp_path / "cert.pem", tmp_path / "key.pem")
    home = Home(tmp_path)
    server = await home.up(tls=tls, tokens={"secret": "me"})
    try:
        path = tmp_path / "kubeconfig"
        cluster = {
            "server": f"https://127.0.0.1:{server.tls_port}",
            "certificate-authority-data": base64.b64encode(authority.pem).decode(),
        }
        path.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "c", "user": {"token": "secret"}}],
                }
            )
        )
        async with await connect(path) as client:
            names = {key_of(obj).name for obj in (await client.list(NAMESPACES)).items}
        assert "default" in names
    finally:
        await home.down()
