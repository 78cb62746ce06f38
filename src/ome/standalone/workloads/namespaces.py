"""Empties a namespace that is being deleted, then lets it go.

Everything namespaced that the server offers is deleted, also kinds that nobody here knows. What has
finalizers or a grace period is waited for, and named in the namespace's conditions.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import msgspec

from ome.apimachinery.errors import MethodNotAllowed, NotFound
from ome.apimachinery.objects import Key, Object, Resource, is_deleting, metadata
from ome.apimachinery.resources import EVENTS, NAMESPACES
from ome.kube import Controller, Result
from ome.standalone.workloads import pods as podrules
from ome.standalone.workloads.shared import Shared

AGAIN = 1.0
_LIFETIME = "kubernetes"


class Namespaces:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._namespaces = shared.informer(NAMESPACES)
        self.controller = Controller("namespaces", self.reconcile, workers=1)
        self._namespaces.add_handler(self._on_namespace)

    def _on_namespace(self, _event: str, _old: Any, new: Any) -> None:
        if new is not None and is_deleting(new):
            self.controller.enqueue(new.key)

    async def reconcile(self, key: Key) -> Result | None:
        namespace = self._namespaces.get("", key.name)
        if namespace is None or not is_deleting(namespace):
            return None
        left = await self._empty(key.name)
        if left:
            await self._tell(namespace, left)
            return Result(requeue_after=AGAIN)
        if _LIFETIME in ((namespace.get("spec") or {}).get("finalizers") or ()):
            await self._finalize(namespace)
        return None

    async def _empty(self, name: str) -> dict[str, int]:
        """Deletes everything; returns what is still there, by kind."""
        left: dict[str, int] = {}
        discovery = await self._shared.client.discover(refresh=True)
        for served in discovery.served:
            resource = served.resource
            if not resource.namespaced or not {"list", "delete"} <= set(served.verbs):
                continue
            if resource.plural == EVENTS.plural and resource != EVENTS:
                continue  # the same objects under another group
            count = await self._empty_kind(resource, name)
            if count:
                left[str(resource)] = count
        return left

    async def _empty_kind(self, resource: Resource, namespace: str) -> int:
        try:
            listed = await self._shared.client.list(resource, namespace)
        except (NotFound, MethodNotAllowed):
            return 0
        for obj in listed.items:
            if not is_deleting(obj):
                meta = metadata(obj)
                with contextlib.suppress(NotFound):
                    await self._shared.client.delete(
                        resource, meta["name"], namespace, uid=meta["uid"]
                    )
        if not listed.items:
            return 0
        return len((await self._shared.client.list(resource, namespace)).items)

    async def _tell(self, namespace: Object, left: dict[str, int]) -> None:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        conditions = podrules.set_condition(
            [dict(c) for c in (namespace.get("status") or {}).get("conditions") or ()],
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            f"Some resources are remaining: {listed}",
            podrules.timestamp(time.time()),
        )
        for condition in conditions:
            condition.pop("lastUpdateTime", None)
        status = {**(namespace.get("status") or {}), "conditions": conditions}
        await self._shared.write_status(NAMESPACES, namespace, status)

    async def _finalize(self, namespace: Object) -> None:
        live = await self._shared.client.get(NAMESPACES, metadata(namespace)["name"])
        spec = live.get("spec") or {}
        spec["finalizers"] = [f for f in spec.get("finalizers") or () if f != _LIFETIME]
        live["spec"] = spec
        path = NAMESPACES.path("", metadata(live)["name"], "finalize")
        with contextlib.suppress(NotFound):
            await self._shared.client.request("PUT", path, body=msgspec.json.encode(live))
