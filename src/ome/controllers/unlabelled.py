"""Gives children their label back that nobody would miss.

Children are watched by their label. One that is wanted and has lost it is made again, which finds
it and marks it. One that is *no longer* wanted would stay for ever, with nobody looking: a route
would lead requests to its service, a Role would go on giving rights. So the label is given back to
what a living service controls:

* by whoever begins to lead, to everything. Somebody may have taken a label while no operator ran,
  and routes of the implementation before this one never had one;
* by who leads, to a child that left the watch of its label and was not deleted.

What becomes of the child is then decided like of every child.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.api import resources as o
from ome.apimachinery.errors import Conflict, NotFound, StatusError
from ome.apimachinery.objects import Key, Object, Resource, controller_of, is_deleting
from ome.controllers.cluster import Cluster
from ome.kube import Client, KubeError, Snapshot, wire

log = logging.getLogger("ome.controllers.unlabelled")

_WITHOUT = f"!{c.L_INFERENCE_SERVICE}"
GATHER_SECONDS = 1.0
"""What is made again, or goes with its service, need not be asked about."""
RETRY_SECONDS = 10.0


class Unlabelled:
    """:meth:`run` works until cancelled, as part of one term of leadership."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self._client = client
        self._cluster = cluster
        self._vanished: dict[tuple[Resource, Key], None] = {}
        self._wake = asyncio.Event()

    def vanished(self, child: Snapshot) -> None:
        """``child`` is no longer seen: deleted, or without its label."""
        if self._living_owner(child.metadata):
            self._vanished[child.resource, child.key] = None
            self._wake.set()

    async def run(self) -> None:
        await self._label_all()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(GATHER_SECONDS)
            asked, self._vanished = self._vanished, {}
            for resource, key in asked:
                try:
                    await self._look_for(resource, key)
                except (StatusError, KubeError) as error:
                    log.warning("can't look for %s %s: %s", resource, key, error)
                    self._vanished[resource, key] = None
            if self._vanished:
                self._wake.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def _label_all(self) -> None:
        """What can't be read or written now is logged; the next leader looks again."""
        for resource in tuple(self._cluster.children):
            try:
                await self._label(resource)
            except (StatusError, KubeError) as error:
                log.warning("can't look for %s without a label: %s", resource, error)

    async def _look_for(self, resource: Resource, key: Key) -> None:
        seen = self._cluster.children.get(resource)
        if seen is not None and seen.snapshot(key.namespace, key.name) is None:
            await self._label(resource, key.namespace, f"metadata.name={key.name}")

    async def _label(self, resource: Resource, namespace: str = "", fields: str = "") -> None:
        """Metadata is enough: most of what has no label is not ours."""
        pages = self._client.pages(
            resource, namespace, label_selector=_WITHOUT, field_selector=fields, metadata_only=True
        )
        async for page, _first in pages:
            for raw in page.items or ():
                meta = wire.decode_metadata(bytes(raw))
                owner = self._living_owner(meta)
                if owner is not None and not is_deleting({"metadata": meta}):
                    await self._give(resource, meta, owner.key.name)

    def _living_owner(self, meta: Mapping[str, Any]) -> Snapshot | None:
        """The service that controls it; none where that is another's, or on its way out."""
        owner = controller_of({"metadata": meta})
        if owner is None or owner.get("kind") != o.INFERENCE_SERVICES.kind:
            return None
        services, namespace = self._cluster.services, str(meta.get("namespace") or "")
        service = services.snapshot(namespace, str(owner.get("name")))
        if service is None or service.uid != owner.get("uid"):
            return None
        return None if is_deleting(service) else service

    async def _give(self, resource: Resource, meta: Object, service: str) -> None:
        label = {c.L_INFERENCE_SERVICE: names.label_value(service)}
        patch = {"metadata": {"labels": label, "resourceVersion": meta.get("resourceVersion")}}
        name, namespace = str(meta["name"]), str(meta.get("namespace") or "")
        try:
            await self._client.patch(
                resource, name, patch, namespace=namespace, field_manager=c.MANAGER
            )
        except (Conflict, NotFound):
            return  # whoever changed it sees to it, or it is gone
        log.info("%s: %s %s gets its label", namespace, resource.kind, name)
