"""Deletes what belongs to objects that are gone: Kubernetes' owner references.

* An object whose owners are all gone is deleted. A reference to an owner that is gone is taken out
  where others remain.
* *Foreground*: an owner with the finalizer ``foregroundDeletion`` goes after the dependents that
  block it. *Orphan*: the finalizer ``orphan`` makes its dependents ownerless first.
* That an owner is gone is never concluded from a cache: it is asked for, by kind, name and uid.

Watched are the kinds that controllers create and every custom kind; of most only the metadata is
kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from ome.apimachinery.errors import Conflict, NotFound
from ome.apimachinery.objects import Key, Object, Resource, is_deleting, metadata
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESSES,
    JOBS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from ome.kube import Controller, Informer, Result, UnknownResource
from ome.standalone.workloads.shared import MANAGER, Shared

log = logging.getLogger("ome.workloads")

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
WHOLE = (
    PODS,
    REPLICA_SETS,
    DEPLOYMENTS,
    SERVICES,
    ENDPOINT_SLICES,
    JOBS,
    HORIZONTAL_POD_AUTOSCALERS,
)
"""Kinds that other controllers of this room keep whole anyway."""
SLIM = (
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    POD_DISRUPTION_BUDGETS,
    INGRESSES,
    ROLES,
    ROLE_BINDINGS,
)


def metadata_only(data: bytes) -> bytes:
    """What an informer keeps of kinds whose content is nobody's business here."""
    shallow: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    meta: dict[str, msgspec.Raw] = msgspec.json.decode(
        shallow["metadata"], type=dict[str, msgspec.Raw]
    )
    for name in ("managedFields", "annotations"):
        meta.pop(name, None)
    return msgspec.json.encode({"metadata": meta})


def names_only(data: bytes) -> bytes:
    """What is kept of a CustomResourceDefinition: without its schemas, which are most of it."""
    definition = msgspec.json.decode(data)
    kept = {"metadata": {**definition["metadata"], "managedFields": None, "annotations": None}}
    spec = definition["spec"]
    versions = [{"name": v["name"], "storage": v.get("storage")} for v in spec["versions"]]
    kept["spec"] = {**spec, "versions": versions}
    kept["status"] = definition.get("status")
    return msgspec.json.encode(kept)


def references(obj: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(metadata(obj).get("ownerReferences") or ())


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return list(metadata(obj).get("finalizers") or ())


class Garbage:
    """Keys of the controller are ``Key("", uid)``."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._informers: dict[Resource, Informer] = {}
        self._places: dict[str, tuple[Resource, Key]] = {}
        self._dependents: dict[str, set[str]] = {}
        self._custom: dict[str, tuple[Resource, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.controller = Controller("garbage", self.reconcile, workers=2)
        for resource in WHOLE:
            self._watch(resource, shared.informer(resource))
        for resource in SLIM:
            informer = shared.informers.informer(resource, transform=metadata_only)
            self._watch(resource, informer)
        self._definitions = shared.informers.informer(
            CUSTOM_RESOURCE_DEFINITIONS, transform=names_only
        )
        self._definitions.add_handler(self._on_definition)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for definition in self._definitions.snapshots():
                self._on_definition("ADDED", None, definition)
            for informer in list(self._informers.values()):
                await informer.synced()
            await self.controller.run()

    # -- watching --------------------------------------------------------------------------

    def _watch(self, resource: Resource, informer: Informer) -> None:
        self._informers[resource] = informer

        def handler(event: str, old: Any, new: Any) -> None:
            self._on_object(resource, event, old, new)

        informer.add_handler(handler)

    def _on_definition(self, event: str, old: Any, new: Any) -> None:
        """A custom kind comes or goes."""
        definition = new if new is not None else old
        name = definition.key.name
        if self._tasks is None:
            return
        if event == "DELETED":
            if known := self._custom.pop(name, None):
                known[1].cancel()
                self._informers.pop(known[0], None)
            return
        conditions = (definition.get("status") or {}).get("conditions") or ()
        if name in self._custom or not any(
            c.get("type") == "Established" and c.get("status") == "True" for c in conditions
        ):
            return
        spec = definition["spec"]
        version = next((v["name"] for v in spec["versions"] if v.get("storage")), "")
        names = spec["names"]
        namespaced = spec.get("scope") == "Namespaced"
        resource = Resource(spec["group"], version, names["plural"], names["kind"], namespaced)
        informer = Informer(self._shared.client, resource, transform=metadata_only)
        self._watch(resource, informer)
        self._custom[name] = (resource, self._tasks.create_task(_until_cancelled(informer)))

    def _on_object(self, resource: Resource, event: str, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        uid = obj.uid
        for reference in references(old) if old is not None else ():
            self._dependents.get(reference.get("uid") or "", set()).discard(uid)
        if event == "DELETED":
            self._places.pop(uid, None)
            for dependent in self._dependents.pop(uid, set()):
                self._enqueue(dependent)
            for reference in references(obj):  # an owner may be waiting for this one to go
                self._enqueue(reference.get("uid") or "")
            return
        self._places[uid] = (resource, obj.key)
        for reference in references(obj):
            self._dependents.setdefault(reference.get("uid") or "", set()).add(uid)
        if references(obj) or (is_deleting(obj) and {FOREGROUND, ORPHAN} & set(finalizers(obj))):
            self._enqueue(uid)

    def _enqueue(self, uid: str) -> None:
        if uid in self._places:
            self.controller.enqueue(Key("", uid))

    def _find(self, uid: str) -> tuple[Resource, Object] | None:
        place = self._places.get(uid)
        informer = self._informers.get(place[0]) if place else None
        obj = informer.get(*place[1]) if informer and place else None
        if place is None or obj is None or metadata(obj).get("uid") != uid:
            return None
        return place[0], obj

    # -- deciding --------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> Result | None:
        found = self._find(key.name)
        if found is None:
            return None
        resource, obj = found
        if is_deleting(obj):
            if ORPHAN in finalizers(obj):
                await self._orphan(resource, obj)
            elif FOREGROUND in finalizers(obj):
                await self._foreground(resource, obj)
            return None
        await self._check_owners(resource, obj)
        return None

    async def _orphan(self, resource: Resource, owner: Object) -> None:
        uid = metadata(owner)["uid"]
        for dependent in sorted(self._dependents.get(uid, ())):
            if found := self._find(dependent):
                await self._drop_references(*found, {uid})
        await self._remove_finalizer(resource, owner, ORPHAN)

    async def _foreground(self, resource: Resource, owner: Object) -> None:
        uid = metadata(owner)["uid"]
        blocking = False
        for dependent in sorted(self._dependents.get(uid, ())):
            found = self._find(dependent)
            if found is None:
                continue
            self._enqueue(dependent)
            blocking = blocking or any(
                r.get("uid") == uid and r.get("blockOwnerDeletion") for r in references(found[1])
            )
        if not blocking:
            await self._remove_finalizer(resource, owner, FOREGROUND)

    async def _check_owners(self, resource: Resource, obj: Object) -> None:
        meta = metadata(obj)
        dangling: set[str] = set()
        waiting: set[str] = set()
        solid = 0
        for reference in references(obj):
            state = await self._owner_state(reference, meta.get("namespace") or "")
            if state == "gone":
                dangling.add(reference["uid"])
            elif state == "waiting":
                waiting.add(reference["uid"])
            else:
                solid += 1
        if solid:
            if dangling | waiting:
                await self._drop_references(resource, obj, dangling | waiting)
            return
        if not dangling and not waiting:
            return
        has_dependents = bool(self._dependents.get(meta["uid"]))
        propagation = "Foreground" if waiting and has_dependents else "Background"
        if ORPHAN in finalizers(obj):
            propagation = "Orphan"
        with contextlib.suppress(NotFound, Conflict):
            await self._shared.client.delete(
                resource,
                meta["name"],
                meta.get("namespace") or "",
                uid=meta["uid"],
                propagation=propagation,
            )
            log.info(
                "deleted %s %s/%s: its owner is gone", resource, meta.get("namespace"), meta["name"]
            )

    async def _owner_state(self, reference: Mapping[str, Any], namespace: str) -> str:
        """``there``, ``waiting`` (for its dependents, to be deleted after them) or ``gone``."""
        uid = reference.get("uid") or ""
        found = self._find(uid)
        owner = found[1] if found else await self._ask(reference, namespace)
        if owner is None:
            return "gone"
        if is_deleting(owner) and FOREGROUND in finalizers(owner):
            return "waiting"
        return "there"

    async def _ask(self, reference: Mapping[str, Any], namespace: str) -> Object | None:
        resource = await self._resource_of(reference)
        if resource is None:
            return {}  # a kind that nobody serves can't be judged: the dependent stays
        try:
            live = await self._shared.client.get(
                resource, reference.get("name") or "", namespace if resource.namespaced else ""
            )
        except NotFound:
            return None
        return live if metadata(live).get("uid") == reference.get("uid") else None

    async def _resource_of(self, reference: Mapping[str, Any]) -> Resource | None:
        api_version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
        for resource in self._informers:
            if (resource.api_version, resource.kind) == (api_version, kind):
                return resource
        try:
            return (await self._shared.client.discover()).for_object(api_version, kind)
        except UnknownResource:
            return None

    # -- doing -----------------------------------------------------------------------------

    async def _drop_references(self, resource: Resource, obj: Object, uids: set[str]) -> None:
        meta = metadata(obj)
        left = [r for r in references(obj) if r.get("uid") not in uids]
        if len(left) == len(references(obj)):
            return
        await self._patch(resource, meta, {"ownerReferences": left})

    async def _remove_finalizer(self, resource: Resource, obj: Object, name: str) -> None:
        left = [f for f in finalizers(obj) if f != name]
        await self._patch(resource, metadata(obj), {"finalizers": left})

    async def _patch(self, resource: Resource, meta: Mapping[str, Any], change: Object) -> None:
        patch: Object = {
            "metadata": {**change, "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        }
        with contextlib.suppress(NotFound):
            await self._shared.client.patch(
                resource,
                meta["name"],
                patch,
                namespace=meta.get("namespace") or "",
                field_manager=MANAGER,
            )


async def _until_cancelled(informer: Informer) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await informer.run()
