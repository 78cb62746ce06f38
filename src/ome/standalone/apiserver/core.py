"""The parts of the server that are not HTTP, put together."""

from __future__ import annotations

import asyncio

from ome.apimachinery.errors import AlreadyExists
from ome.apimachinery.resources import NAMESPACES
from ome.standalone.apiserver.admission import Admission
from ome.standalone.apiserver.auth import Authenticator
from ome.standalone.apiserver.crds import CrdController
from ome.standalone.apiserver.engine import Call, Engine
from ome.standalone.apiserver.listing import Lister
from ome.standalone.apiserver.logs import PodLogs
from ome.standalone.apiserver.registry import Registry
from ome.standalone.apiserver.store import Store
from ome.standalone.apiserver.watching import BOOKMARK_SECONDS

DEFAULT_NAMESPACES = ("default", "kube-system", "kube-node-lease", "kube-public", "ome")
"""Created when the store is empty."""


class Core:
    def __init__(
        self,
        store: Store,
        admission: Admission | None,
        log_source: PodLogs | None,
        version: str,
    ) -> None:
        self.store = store
        self.version = version
        self.log_source = log_source
        self.registry = Registry()
        self.engine = Engine(store, self.registry, admission)
        self.lister = Lister(store)
        self.crds = CrdController(self.engine)
        self.authenticator = Authenticator(store)
        self.stopping = asyncio.Event()
        self.bookmark_seconds = BOOKMARK_SECONDS

    async def start(self) -> None:
        self.crds.load()
        namespaces = self.registry.find("", "v1", "namespaces")
        assert namespaces is not None
        if self.store.revision == 0:
            for name in DEFAULT_NAMESPACES:
                body = {"apiVersion": "v1", "kind": NAMESPACES.kind, "metadata": {"name": name}}
                try:
                    await self.engine.create(namespaces, "", body, Call())
                except AlreadyExists:
                    continue
        self.crds.resume()

    async def stop(self) -> None:
        await self.crds.stop()
