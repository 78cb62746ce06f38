"""What the workload controllers share: informers, events, indexes and one way to write a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Key, Object, Resource, controller_of, key_of, uid_of
from ome.apimachinery.resources import PODS, REPLICA_SETS
from ome.kube import Client, Events, Informer, InformerSet, PatchType

MANAGER = "ome-workloads"
BY_UID = "uid"
BY_OWNER = "owner"
"""Index of pods and ReplicaSets by the uid of their controller; "" holds the orphans."""


def owner_uids(obj: Mapping[str, Any]) -> list[str]:
    reference = controller_of(obj)
    return [reference["uid"] if reference else ""]


def uid_index(obj: Mapping[str, Any]) -> list[str]:
    return [uid_of(obj)]


class Shared:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.events = Events(client, "ome-workloads")
        self.informers = InformerSet(client)
        self._indexed: set[tuple[Resource, str]] = set()
        self.pods = self.informer(PODS, owners=True)
        self.replica_sets = self.informer(REPLICA_SETS, owners=True)

    def informer(self, resource: Resource, *, owners: bool = False) -> Informer:
        informer = self.informers.informer(resource)
        wanted = {BY_UID: uid_index, **({BY_OWNER: owner_uids} if owners else {})}
        for name, function in wanted.items():
            if (resource, name) not in self._indexed:
                self._indexed.add((resource, name))
                informer.add_index(name, function)
        return informer

    async def write_status(
        self, resource: Resource, live: Mapping[str, Any], status: Mapping[str, Any]
    ) -> bool:
        """Replaces the status where it differs; says whether it did. An object that went away
        meanwhile is none of our business."""
        before = live.get("status") or {}
        if before == status:
            return False
        removed = dict.fromkeys(k for k in before if k not in status)
        name = key_of(live)
        try:
            await self.client.patch(
                resource,
                name.name,
                {"metadata": {"uid": uid_of(live)}, "status": {**removed, **status}},
                namespace=name.namespace,
                type=PatchType.MERGE,
                subresource="status",
                field_manager=MANAGER,
            )
        except NotFound:
            return False
        return True

    async def patch(
        self, resource: Resource, key: Key, patch: Object, *, subresource: str = ""
    ) -> Object:
        return await self.client.patch(
            resource,
            key.name,
            patch,
            namespace=key.namespace,
            type=PatchType.MERGE,
            subresource=subresource,
            field_manager=MANAGER,
        )
