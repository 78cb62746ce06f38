"""Keeps Endpoints and EndpointSlices of Services with a selector current."""

from __future__ import annotations

from typing import Any

from ome.apimachinery.errors import AlreadyExists, Conflict, NotFound
from ome.apimachinery.objects import Key, Object, Resource, is_deleting, labels_of, metadata
from ome.apimachinery.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from ome.apimachinery.selectors import from_labels
from ome.kube import Controller, Informer, Result
from ome.standalone.workloads import endpoints as rules
from ome.standalone.workloads.shared import MANAGER, Shared

BY_SERVICE = "service"


def _service_index(slice_: Any) -> list[str]:
    labels = labels_of(slice_)
    if labels.get(rules.MANAGED_BY) != rules.CONTROLLER:
        return []
    return [f"{slice_['metadata'].get('namespace')}/{labels.get(rules.SERVICE_NAME)}"]


class Services:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._services = shared.informer(SERVICES)
        self._endpoints = shared.informer(ENDPOINTS)
        self._slices = shared.informer(ENDPOINT_SLICES)
        self._slices.add_index(BY_SERVICE, _service_index)
        self.controller = Controller("endpoints", self.reconcile)
        self._services.add_handler(
            lambda _event, old, new: self.controller.enqueue((new if new is not None else old).key)
        )
        self._endpoints.add_handler(self._on_endpoints)
        self._slices.add_handler(self._on_slice)
        shared.pods.add_handler(self._on_pod)

    def _on_endpoints(self, _event: str, old: Any, new: Any) -> None:
        self.controller.enqueue((new if new is not None else old).key)

    def _on_slice(self, _event: str, old: Any, new: Any) -> None:
        found = new if new is not None else old
        for value in _service_index(found):
            self.controller.enqueue(Key(*value.split("/", 1)))

    def _on_pod(self, _event: str, old: Any, new: Any) -> None:
        namespace = (new if new is not None else old).key.namespace
        labels = [labels_of(p) for p in (old, new) if p is not None]
        for service in self._services.snapshots(namespace):
            selector = (service.get("spec") or {}).get("selector")
            if selector and any(from_labels(selector).matches(each) for each in labels):
                self.controller.enqueue(service.key)

    async def reconcile(self, key: Key) -> Result | None:
        service = self._services.get(*key)
        held = self._slices.by_index(BY_SERVICE, str(key))
        if service is None or is_deleting(service):
            for slice_ in held:
                await self._delete(ENDPOINT_SLICES, slice_)
            if service is None and (left := self._endpoints.get(*key)) is not None:
                await self._delete(ENDPOINTS, left)
            return None
        spec = service.get("spec") or {}
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            return None  # somebody else's to keep
        selector = from_labels(spec["selector"])
        pods = [
            p.object()
            for p in self._shared.pods.snapshots(key.namespace)
            if selector.matches(labels_of(p))
        ]
        await self._keep(self._endpoints, ENDPOINTS, rules.endpoints(service, pods), "subsets")
        wanted = rules.slices(service, pods)
        names = {metadata(s)["name"] for s in wanted}
        for slice_ in wanted:
            await self._keep(self._slices, ENDPOINT_SLICES, slice_, "endpoints", "ports")
        for slice_ in held:
            if metadata(slice_)["name"] not in names:
                await self._delete(ENDPOINT_SLICES, slice_)
        return None

    async def _keep(
        self, informer: Informer, resource: Resource, wanted: Object, *fields: str
    ) -> None:
        """Creates the object, or corrects the given fields and the labels."""
        name = metadata(wanted)
        live = informer.get(name["namespace"], name["name"])
        if live is None:
            try:
                await self._shared.client.create(
                    resource, wanted, namespace=name["namespace"], field_manager=MANAGER
                )
            except AlreadyExists as error:
                raise Conflict("the cache does not show it yet") from error
            return
        same = all((live.get(f) or []) == wanted[f] for f in fields)
        if same and labels_of(live) == labels_of(wanted):
            return
        changed = {**live, **{f: wanted[f] for f in fields}}
        changed["metadata"] = {**live["metadata"], "labels": dict(labels_of(wanted))}
        await self._shared.client.update(resource, changed, field_manager=MANAGER)

    async def _delete(self, resource: Resource, obj: Object) -> None:
        meta = metadata(obj)
        try:
            await self._shared.client.delete(
                resource, meta["name"], meta["namespace"], uid=meta["uid"]
            )
        except NotFound:
            return
