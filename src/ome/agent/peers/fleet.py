"""Where a model comes from: from other nodes, from its origin, or from neither yet."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ome.agent.identity import data_key, label_key
from ome.agent.messages import Done, Failure
from ome.agent.peers.auth import shared_key
from ome.agent.peers.server import PeerServer
from ome.agent.peers.turns import Turns
from ome.agent.records import Record
from ome.agent.target import Target
from ome.api import constants as c
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Key, annotations_of, metadata
from ome.apimachinery.resources import NODES
from ome.kube import Client, KubeError
from ome.storage import Progress

log = logging.getLogger("ome.agent.peers")
_MOST_PEERS = 16
_SHUN_SECONDS = 60.0
_STUCK_SECONDS = 120.0
_START_SECONDS = 30.0
_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """``listen`` is where this node serves its models; ``advertise`` the host under which others
    reach it. ``look`` is how often a node that waits looks again."""

    listen: str
    port: int
    advertise: str
    limit: int = 8
    look: float = 5.0
    hold: float = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``waiting`` is a sentence; else from these peers, and without any from the origin."""

    peers: tuple[str, ...] = ()
    waiting: str = ""


class Fleet:
    """What one agent knows of the others. ``records`` gives what is on this node."""

    def __init__(
        self,
        client: Client,
        node: str,
        namespace: str,
        options: Options,
        records: Callable[[], Iterable[Record]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._node = node
        self._namespace = namespace
        self.options = options
        self._records = records
        self._clock = clock
        self._turns = Turns(client, namespace, node, options.hold, clock)
        self._key = b""
        self._began = clock()
        self._server: PeerServer | None = None
        self._mine: dict[Key, str] = {}
        """Turns that this node has."""
        self._renewed: dict[Key, float] = {}
        self._shunned: dict[tuple[Key, str], float] = {}

    @property
    def sent(self) -> int:
        """Bytes that were given to others."""
        return self._server.sent if self._server is not None else 0

    async def run(self) -> None:
        """Serves until cancelled. Where it can't, this node still reads from others."""
        while not self._key:
            try:
                fresh = secrets.token_hex(32)
                self._key = await shared_key(self._client, self._namespace, fresh)
            except (StatusError, KubeError) as error:
                log.warning("nothing is shared with other nodes yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
        server = PeerServer(self._key, self._records, limit=self.options.limit)
        try:
            await server.start(self.options.listen, self.options.port)
        except OSError as error:
            log.error("no models for other nodes: port %d: %s", self.options.port, error)
            return
        self._server = server
        try:
            url = f"http://{_host(self.options.advertise)}:{server.port}"
            patch = {"metadata": {"annotations": {c.A_PEER: url}}}
            while True:
                try:
                    await self._client.patch(NODES, self._node, patch, field_manager="ome-agent")
                    await asyncio.Event().wait()
                except (StatusError, KubeError) as error:
                    log.warning("other nodes can't be told where this one is: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await server.stop()

    def secret(self) -> str:
        """The shared key, for the worker."""
        return base64.b64encode(self._key).decode()

    async def plan(self, target: Target) -> Plan:
        """Where the target's files come from now."""
        if not self._key:
            early = self._clock() - self._began < _START_SECONDS
            return Plan(waiting="the key that nodes share" if early else "")
        peers = await self._peers(target.key)
        if peers:
            await self._end_turn(target.key)
            return Plan(peers=peers)
        name = f"{data_key(target.key)} {target.uid} {target.generation}"
        turn = await self._turns.take(name)
        if turn.mine:
            self._mine[target.key] = name
            self._renewed[target.key] = self._clock()
            return Plan()
        far = f" ({turn.progress} %)" if turn.progress else ""
        holder = f"node {turn.holder}" if turn.holder else "another node"
        return Plan(waiting=f"{holder}, which fetches it for all{far}")

    async def _peers(self, key: Key) -> tuple[str, ...]:
        """Addresses of nodes that have the model, without those that lately could not give it."""
        listed = await self._client.list(NODES, label_selector=f"{label_key(key)}=Ready")
        now = self._clock()
        found = []
        for node in listed.items:
            url = annotations_of(node).get(c.A_PEER, "")
            if not url or metadata(node)["name"] == self._node:
                continue
            if self._shunned.get((key, url), 0.0) <= now:
                found.append(url)
        # Each node begins somewhere else, so that the first of a long list is not everybody's.
        start = hash(self._node) % len(found) if found else 0
        return tuple((found[start:] + found[:start])[:_MOST_PEERS])

    async def moved(self, key: Key, progress: Progress) -> None:
        """Keeps this node's turn while its download moves."""
        name = self._mine.get(key)
        now = self._clock()
        if name is None or now - self._renewed.get(key, 0.0) < self.options.hold / 4:
            return
        stalled = progress.stalled_since
        if stalled is not None and progress.updated - stalled > _STUCK_SECONDS:
            return  # another node may have more luck
        total = progress.total_bytes
        share = str(progress.completed_bytes * 100 // total) if total else ""
        self._renewed[key] = now
        try:
            await self._turns.take(name, share)
        except (StatusError, KubeError) as error:
            log.warning("%s: the turn could not be renewed: %s", key, error)

    async def ended(self, key: Key, peers: tuple[str, ...], result: Done | Failure) -> bool:
        """After an attempt. True where another plan should be made at once."""
        if isinstance(result, Failure):
            await self._end_turn(key)
            if peers and result.reason == "PeersBusy":
                return True
            if peers and result.reason in ("PeersGone", "CorruptDownload"):
                until = self._clock() + _SHUN_SECONDS
                self._shunned.update({(key, url): until for url in peers})
                log.info("%s: %s", key, result.message)
                return True
        return False

    async def settled(self, key: Key) -> None:
        """The node's label says that the model is here: others can read it from this node."""
        await self._end_turn(key)

    async def _end_turn(self, key: Key) -> None:
        name = self._mine.pop(key, None)
        if name is None:
            return
        try:
            await self._turns.give_back(name)
        except (StatusError, KubeError) as error:
            log.warning("%s: the turn could not be given back: %s", key, error)


def _host(text: str) -> str:
    return f"[{text}]" if ":" in text else text
