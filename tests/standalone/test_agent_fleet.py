"""Twenty agents, one origin: it is read about once, and nobody waits without saying for whom."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fakes.hub import Repository
from tests.standalone.agentworld import MIB, SMALL, World, llama, until, world

from ome.agent import NodeModelAgent, worker
from ome.agent.messages import Done, Failure, Task
from ome.agent.peers.auth import sign
from ome.agent.peers.fleet import Options
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import LEASES, NODES, SECRETS
from ome.kube import Client
from ome.storage import Progress

__all__ = ["world"]


class Fleet:
    """Agents of many nodes in one process, each with a models root of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.agents: dict[str, NodeModelAgent] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._clients: list[Client] = []

    async def add(self, *nodes: str, run: Any = worker.run, **options: Any) -> None:
        for name in nodes:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            with contextlib.suppress(Exception):
                await self.world.client.create(NODES, node)
            client = await Client.unix(self.world.socket).__aenter__()
            self._clients.append(client)
            peers = Options("127.0.0.1", 0, "127.0.0.1", **{"look": 0.3, "hold": 3.0, **options})
            agent = NodeModelAgent(
                client,
                name,
                self.root(name),
                progress_every=0.1,
                transfer_options=SMALL,
                peers=peers,
                run=run,
            )
            self.agents[name] = agent
            self._running[name] = asyncio.create_task(agent.run())

    def root(self, node: str) -> Path:
        return self.world.folder / "nodes" / node

    async def remove(self, node: str) -> None:
        running = self._running.pop(node)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        del self.agents[node]

    async def ready(self, label: str) -> list[str]:
        selector = f"models.ome.io/{label}=Ready"
        found = await self.world.client.list(NODES, label_selector=selector)
        return [item["metadata"]["name"] for item in found.items]

    async def entry(self, node: str, key: str) -> Object:
        return await self.world.entry(key, node) or {}

    async def close(self) -> None:
        for node in list(self._running):
            await self.remove(node)
        for client in self._clients:
            await client.__aexit__(None, None, None)


@pytest.fixture
async def fleet(world: World) -> AsyncIterator[Fleet]:
    made = Fleet(world)
    yield made
    await made.close()


def nodes(count: int) -> list[str]:
    return [f"n{number:02d}" for number in range(count)]


async def test_twenty_nodes_read_the_origin_about_once(
    world: World, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome.agent.peers.source.BUSY_PATIENCE", 0.3)
    files = llama(5, 8 * MIB)
    world.hub.repositories["org/m"] = Repository(files)
    size = sum(map(len, files.values()))
    world.hub.seconds_per_piece = 0.02
    await world.model("m", "hf://org/m", path="/raid/models/m")
    await fleet.add(*nodes(20), limit=4)
    said: set[str] = set()

    async def somebody_waits() -> bool:
        for node in nodes(20):
            entry = await fleet.entry(node, "clusterbasemodel.m")
            said.add(entry.get("waitingFor", ""))
        return any("which fetches it for all (" in text for text in said)

    await until(somebody_waits)
    world.hub.seconds_per_piece = 0

    async def everywhere() -> bool:
        return await fleet.ready("clusterbasemodel.m") == nodes(20)

    await until(everywhere, 90)
    for node in nodes(20):
        for name, data in files.items():
            assert (fleet.root(node) / "m" / name).read_bytes() == data
    given = [agent.fleet.sent for agent in fleet.agents.values() if agent.fleet is not None]
    print(f"origin {world.hub.sent / size:.2f} models, peers {sum(given) / size:.2f}")
    assert world.hub.sent <= 1.2 * size
    assert sum(given) >= 18.5 * size
    assert sum(1 for count in given if count) > 1, "the load is spread"

    async def no_turns() -> bool:
        return (await world.client.list(LEASES, "ome")).items == []

    await until(no_turns)


async def test_when_the_node_that_fetches_dies_another_one_takes_its_turn(
    world: World, fleet: Fleet
) -> None:
    async def stuck(task: Task, tell: Callable[[Progress], None]) -> Done | Failure:
        await asyncio.Event().wait()
        raise AssertionError

    await world.model("m", "hf://org/model", path="/raid/models/m")
    await fleet.add("a", run=stuck)

    async def taken() -> bool:
        return len((await world.client.list(LEASES, "ome")).items) == 1

    await until(taken)
    await fleet.add("b")

    async def waits() -> bool:
        entry = await fleet.entry("b", "clusterbasemodel.m")
        return entry.get("waitingFor") == "node a, which fetches it for all"

    await until(waits)

    async def ready() -> bool:
        return await fleet.ready("clusterbasemodel.m") == ["b"]

    await until(ready, 30)


async def test_when_peers_are_gone_the_origin_is_read(world: World, fleet: Fleet) -> None:
    files = llama(1)
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await fleet.add("a")

    async def ready(*names: str) -> bool:
        return await fleet.ready("clusterbasemodel.m") == list(names)

    await until(lambda: ready("a"))
    sent = world.hub.sent
    await fleet.remove("a")  # its label says Ready, but nobody answers
    await fleet.add("b")
    await until(lambda: ready("a", "b"))
    assert world.hub.sent - sent >= 4 * MIB
    assert (fleet.root("b") / "m" / "weights.bin").read_bytes() == files["weights.bin"]


async def test_a_peer_with_wrong_bytes_changes_nothing(world: World, fleet: Fleet) -> None:
    files = llama(1)
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await fleet.add("a")

    async def ready(*names: str) -> bool:
        return await fleet.ready("clusterbasemodel.m") == list(names)

    await until(lambda: ready("a"))
    rotten = fleet.root("a") / "m" / "weights.bin"
    rotten.write_bytes(b"?" * rotten.stat().st_size)
    await fleet.add("b")
    await until(lambda: ready("a", "b"))
    assert (fleet.root("b") / "m" / "weights.bin").read_bytes() == files["weights.bin"]


async def test_peers_give_nothing_to_strangers(world: World, fleet: Fleet) -> None:
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await fleet.add("a")

    async def address() -> str:
        node = await world.client.get(NODES, "a")
        ready = await fleet.ready("clusterbasemodel.m")
        url = (node["metadata"].get("annotations") or {}).get("models.ome.io/peer", "")
        return url if ready else ""

    url = await until(address)
    secret = await world.client.get(SECRETS, "ome-model-agent-peers", "ome")
    assert secret["data"]["key"]
    entry = await fleet.entry("a", "clusterbasemodel.m")
    assert secret["data"]["key"] not in str(entry)
    wrong = sign(b"wrong", "GET", "/v1/load", "", 0)
    async with aiohttp.ClientSession() as session:
        for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": wrong}):
            async with session.get(f"{url}/v1/load", headers=header) as answer:
                assert answer.status == 401
        for path in ("/v1/content/sha256/" + "0" * 64, "/v1/content/sha256/..%2f..%2fetc"):
            async with session.get(url + path) as answer:
                assert answer.status == 401
