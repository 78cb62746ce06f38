"""Kinds that a cluster may lack, coming and going while the operator runs.

They are looked for at the start, when a definition changes (:meth:`Kinds.look`), and while a
service waits for one. A kind counts once its objects are known: one that has not been read yet must
not be taken for one without objects. A kind that is gone is let go of, so that services that need
it say so and the rest goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Resource
from ome.controllers.cluster import Cluster
from ome.controllers.plan import OPTIONAL
from ome.kube import Client, Informer, KubeError
from ome.rendering import Capabilities

log = logging.getLogger("ome.controllers.kinds")

KINDS_SECONDS = 10.0
"""At least so long between two looks."""


class Kinds:
    """``found`` is given the cache of a new kind before it is filled; ``changed`` is called when
    the kinds are others than before."""

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        *,
        found: Callable[[Informer], None],
        changed: Callable[[], None],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._found = found
        self._changed = changed
        self._look = asyncio.Event()
        self._settling = False
        self._known = asyncio.Event()
        self._watches: dict[Resource, asyncio.Task[None]] = {}
        self._problem = ""

    @property
    def problem(self) -> str:
        """What keeps the first look from ending; empty where nothing does, and afterwards."""
        return "" if self._known.is_set() else self._problem

    def look(self, *, changing: bool = False) -> None:
        """Looks soon; ``changing``: and once more a while later, for what a server says that it
        serves follows its definitions with a delay."""
        self._settling = self._settling or changing
        self._look.set()

    async def synced(self) -> None:
        """Waits until the kinds that were there at the start have been read."""
        await self._known.wait()

    async def run(self, given: Capabilities | None = None) -> None:
        """Until cancelled. ``given`` is believed instead of the first look."""
        async with asyncio.TaskGroup() as tasks:
            await self._watch(tasks, given or await self._discover())
            self._known.set()
            while True:
                await self._look.wait()
                self._look.clear()
                if self._settling:
                    self._settling = False
                    self._look.set()
                await self._compare(tasks)
                await asyncio.sleep(KINDS_SECONDS)

    async def _compare(self, tasks: asyncio.TaskGroup) -> None:
        before, now = self._cluster.capabilities.kinds, await self._discover()
        for what, kinds in (("new", now.kinds - before), ("removed", before - now.kinds)):
            if kinds:
                log.info("%s kinds: %s", what, ", ".join(sorted(map(str, kinds))))
        if now.kinds != before:
            await self._watch(tasks, now)
            self._changed()

    async def _discover(self) -> Capabilities:
        """What the server says, as soon as it says something."""
        while True:
            try:
                discovery = await self._client.discover(refresh=True)
            except (KubeError, StatusError) as error:
                if not self._problem:
                    log.warning("can't look which kinds the cluster has: %s", error)
                self._problem = str(error)
                await asyncio.sleep(KINDS_SECONDS / 5)
                continue
            self._problem = ""
            return Capabilities(frozenset(kind for kind in OPTIONAL if discovery.has(kind)))

    async def _watch(self, tasks: asyncio.TaskGroup, found: Capabilities) -> None:
        """Watches what is there and nothing else. What vanishes while it is read for the first
        time is not waited for."""
        for informer in self._cluster.missing_informers(found):
            kind = informer.resource
            self._found(informer)
            self._watches[kind] = tasks.create_task(informer.run(), name=f"watch {kind}")
        lost: set[Resource] = set()
        for informer in self._cluster.coming():
            while not informer.has_synced and informer.resource not in lost:
                try:
                    async with asyncio.timeout(KINDS_SECONDS):
                        await informer.synced()
                except TimeoutError:
                    lost |= found.kinds - (await self._discover()).kinds
        kinds = found.kinds - lost
        self._cluster.use(replace(found, kinds=kinds))
        for kind in self._watches.keys() - kinds:
            self._watches.pop(kind).cancel()
