"""Requests to any Kubernetes API: verbs on resources, lists in pages, watches.

Objects go in and come out as plain dicts. Errors: :class:`ome.apimachinery.errors.StatusError` for
what the server answered, :class:`ome.kube.errors.Unreachable` for what never arrived. Which
requests are sent again on their own is written in :mod:`ome.kube.transport`.

A ``Client`` belongs to one event loop. Close it, or use it as an async context manager.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from ome.apimachinery.errors import Expired, StatusError
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import PODS
from ome.kube import wire
from ome.kube.errors import Unreachable
from ome.kube.requests import JSON, Requests

if TYPE_CHECKING:
    from ome.kube.discovery import Discovery

PAGE_SIZE = 500
_METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
_METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
_RESTARTS = 3


class PatchType(Enum):
    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All items of a list, and the version of the collection they were read at."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ``ADDED``, ``MODIFIED``, ``DELETED`` or, if asked for, ``BOOKMARK``."""

    type: str
    object: Object


class Client(Requests):
    """A connection to one API server, see :class:`ome.kube.requests.Requests` for its options."""

    _discovery: Discovery | None = None

    # -- one object ---------------------------------------------------------------------------

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        return await self._object("get", "GET", resource, _path(resource, namespace, name))

    async def create(
        self,
        resource: Resource,
        obj: Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        field_manager: str = "ome",
        dry_run: bool = False,
    ) -> Object:
        """POST. ``name`` and ``subresource`` for such as ``pods/eviction``."""
        where = (obj.get("metadata") or {}).get("namespace") or namespace
        path = _path(resource, where, name, subresource, collection=not name)
        params = _write_params(field_manager, dry_run)
        return await self._object("create", "POST", resource, path, params, wire.encode(obj))

    async def update(
        self,
        resource: Resource,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "ome",
        dry_run: bool = False,
    ) -> Object:
        """PUT. With ``metadata.resourceVersion`` it raises Conflict where that is not current."""
        meta = obj["metadata"]
        path = _path(resource, meta.get("namespace") or "", meta["name"], subresource)
        params = _write_params(field_manager, dry_run)
        return await self._object("update", "PUT", resource, path, params, wire.encode(obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Object | list[Object],
        *,
        namespace: str = "",
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "ome",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        params = _write_params(field_manager, dry_run)
        if force and type is PatchType.APPLY:
            params["force"] = "true"
        path = _path(resource, namespace, name, subresource)
        verb = "apply" if type is PatchType.APPLY else "patch"
        body = wire.encode(patch)
        return await self._object(verb, "PATCH", resource, path, params, body, type.value)

    async def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = "ome",
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply: creates the object, or makes ``obj`` what this manager wants of it."""
        meta = obj["metadata"]
        if "managedFields" in meta:
            meta = {name: value for name, value in meta.items() if name != "managedFields"}
            obj = {**obj, "metadata": meta}
        return await self.patch(
            resource,
            meta["name"],
            obj,
            namespace=meta.get("namespace") or "",
            type=PatchType.APPLY,
            subresource=subresource,
            field_manager=field_manager,
            force=force,
            dry_run=dry_run,
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        dry_run: bool = False,
    ) -> None:
        """Raises NotFound, or Conflict where uid or resource version are not the object's."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation:
            options["propagationPolicy"] = propagation
        conditions = {"uid": uid, "resourceVersion": resource_version}
        if conditions := {name: value for name, value in conditions.items() if value}:
            options["preconditions"] = conditions
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if dry_run:
            options["dryRun"] = ["All"]
        path = _path(resource, namespace, name)
        await self._send("delete", "DELETE", str(resource), path, body=wire.encode(options))

    # -- collections --------------------------------------------------------------------------

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """All items, read in pages; one consistent reading, also when a page expires midway."""
        items: list[Object] = []
        version = ""
        async for page, first in self.pages(
            resource, namespace, label_selector=label_selector, field_selector=field_selector
        ):
            if first:
                items.clear()
            version = page.metadata.resource_version
            items += [wire.decode_as(raw, resource) for raw in page.items or ()]
        return ObjectList(items, version)

    async def pages(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        metadata_only: bool = False,
    ) -> AsyncGenerator[tuple[wire.RawList, bool], None]:
        """The pages of a list, undecoded; of each object the metadata alone if asked for.

        The flag marks a first page: what came before it is void, because a continue token expired
        (410) and the list starts over. The last restart asks for everything in one page.
        """
        path = _path(resource, namespace, collection=True)
        selectors = _selectors(label_selector, field_selector)
        for restart in range(_RESTARTS + 1):
            token = ""
            try:
                while True:
                    params = dict(selectors)
                    if restart < _RESTARTS:
                        params["limit"] = str(limit)
                    if token:
                        params["continue"] = token
                    body = await self._send(
                        "list",
                        "GET",
                        str(resource),
                        path,
                        params=params,
                        accept=_METADATA_LIST if metadata_only else JSON,
                    )
                    page = self._decoded(body, wire.decode_list)
                    yield page, not token
                    token = page.metadata.continue_
                    if not token:
                        return
            except Expired:
                if not token:
                    raise

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
        timeout_seconds: int | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after ``resource_version`` (empty: the present state first, then changes).

        One connection: it ends when the server ends it, and raises Expired when the version is too
        old. An :class:`ome.kube.Informer` carries on by itself.
        """
        events = self.watch_raw(
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=resource_version,
            bookmarks=bookmarks,
            timeout_seconds=timeout_seconds,
        )
        async with aclosing(events):
            async for event in events:
                if event.type != "BOOKMARK" or bookmarks:
                    yield WatchEvent(event.type, wire.decode_as(event.object, resource))

    async def watch_raw(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = True,
        initial_events: bool = False,
        timeout_seconds: int | None = None,
        metadata_only: bool = False,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[wire.RawEvent, None]:
        """A watch whose objects stay bytes. An ERROR event is raised as its StatusError.

        ``opened`` is called once the server has agreed to it: the first event may be long to come.
        """
        params = {"watch": "true", **_selectors(label_selector, field_selector)}
        if bookmarks:
            params["allowWatchBookmarks"] = "true"
        if initial_events:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        if resource_version:
            params["resourceVersion"] = resource_version
        if timeout_seconds is not None:
            params["timeoutSeconds"] = str(timeout_seconds)
        chunks = self._stream(
            "watch",
            "GET",
            str(resource),
            _path(resource, namespace, collection=True),
            params=params,
            accept=_METADATA if metadata_only else JSON,
            idle_timeout=timeout_seconds + 30 if timeout_seconds else None,
            opened=opened,
        )
        async with aclosing(chunks):
            async for line in wire.lines(chunks):
                try:
                    event = wire.decode_event(line)
                except msgspec.DecodeError as error:
                    raise Unreachable(
                        self.endpoint.shown, f"a watch event that is no JSON: {error}"
                    ) from error
                if event.type == "ERROR":
                    raise StatusError.from_status(wire.decode(event.object))
                yield event

    # -- everything else ----------------------------------------------------------------------

    async def discover(self, *, refresh: bool = False) -> Discovery:
        """The resources that the server has; remembered until ``refresh``."""
        if self._discovery is None or refresh:
            from ome.kube.discovery import read_discovery

            self._discovery = await read_discovery(self)
        return self._discovery

    async def logs(
        self,
        name: str,
        namespace: str,
        *,
        container: str = "",
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What a pod's container wrote, in chunks that end anywhere."""
        asked = {
            "container": container,
            "follow": "true" if follow else "",
            "previous": "true" if previous else "",
            "tailLines": tail_lines,
            "sinceSeconds": since_seconds,
            "timestamps": "true" if timestamps else "",
            "limitBytes": limit_bytes,
        }
        params = {key: str(value) for key, value in asked.items() if value not in ("", None)}
        path = _path(PODS, namespace, name, "log")
        chunks = self._stream("log", "GET", str(PODS), path, params=params, accept="*/*")
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _object(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        params: dict[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
    ) -> Object:
        answer = await self._send(
            verb,
            method,
            str(resource),
            path,
            params=params,
            body=body,
            content_type=content_type,
        )
        return self._decoded(answer, lambda data: wire.decode_as(data, resource))


def _path(
    resource: Resource,
    namespace: str,
    name: str = "",
    subresource: str = "",
    *,
    collection: bool = False,
) -> str:
    if not collection and not name:
        raise ValueError(f"a request for one of {resource} needs a name")
    if name and resource.namespaced and not namespace:
        raise ValueError(f"{resource} are namespaced: {name!r} needs a namespace")
    return resource.path(quote(namespace, safe=""), quote(name, safe=""), subresource)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in pairs.items() if value}


def _write_params(field_manager: str, dry_run: bool) -> dict[str, str]:
    params = {"fieldManager": field_manager} if field_manager else {}
    if dry_run:
        params["dryRun"] = "All"
    return params
