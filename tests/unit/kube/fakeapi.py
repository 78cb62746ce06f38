"""A small Kubernetes API over real HTTP on loopback, with faults on demand.

It stores any kind, keeps the history of changes for watches, and validates nothing. Faults are
queued, and each is used up by the requests that it matches::

    api.fail(Fault(method="PATCH", status=500))
    api.fail(Fault(watch=True, cut_after=120))     # bytes of the stream, then the connection is cut
"""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from ome.apimachinery.errors import AlreadyExists, Conflict, Expired, StatusError, not_found

INITIAL_END = {"k8s.io/initial-events-end": "true"}
Doc = dict[str, Any]


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests that fit."""

    method: str = ""
    path: str = ""  # a part of the path
    watch: bool | None = None
    paged: bool | None = None  # True: only requests with a continue token
    status: int = 0
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False  # cut before doing anything
    reset_after_work: bool = False  # do it, then cut instead of answering
    delay: float = 0.0
    cut_after: int | None = None  # bytes of a watch until it is cut
    error_event: int = 0  # a watch that sends this ERROR and ends
    end: bool = False  # a watch that ends at once
    times: int = 1

    def fits(self, request: web.Request) -> bool:
        return (
            (not self.method or request.method == self.method)
            and self.path in request.path
            and self.watch in (None, request.query.get("watch") == "true")
            and self.paged in (None, "continue" in request.query)
        )


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(frozen=True)
class _Target:
    collection: str  # path without namespace and name, for example /api/v1/pods
    namespace: str
    name: str
    subresource: str


class FakeApi:
    def __init__(self, *, watch_list: bool = True, chunk: int = 0) -> None:
        self.requests: list[Seen] = []
        self.version = 100
        self.oldest = 0
        self.watch_list = watch_list
        self.chunk = chunk  # send watches in pieces of this size
        self.documents: dict[str, Doc] = {}  # fixed answers by path
        self.objects: dict[tuple[str, str, str], Doc] = {}
        self.tokens: set[str] | None = None  # accepted bearer tokens
        self._watching: dict[int, web.Request] = {}
        self._snapshots: dict[str, list[Doc]] = {}
        self._history: list[tuple[int, str, str, Doc]] = []
        self._faults: list[Fault] = []
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(
        self, *, unix: Path | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> FakeApi:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        if unix is not None:
            await web.UnixSite(self._runner, str(unix)).start()
            return self
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        return self

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> FakeApi:
        return self if self._runner else await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def fail(self, fault: Fault) -> None:
        self._faults.append(fault)

    @property
    def open_watches(self) -> int:
        return len(self._watching)

    def sent(self, method: str = "", *, watch: bool | None = None) -> list[Seen]:
        return [
            seen
            for seen in self.requests
            if method in ("", seen.method) and watch in (None, seen.is_watch)
        ]

    # -- state --------------------------------------------------------------------------------

    async def put(self, collection: str, obj: Doc) -> Doc:
        """Creates or replaces, as another client would."""
        meta = obj.setdefault("metadata", {})
        key = (collection, meta.get("namespace", ""), meta["name"])
        old = self.objects.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
        obj = json.loads(json.dumps(obj))
        self.objects[key] = obj
        await self._record("MODIFIED" if old else "ADDED", collection, obj)
        return obj

    async def drop(self, collection: str, namespace: str, name: str) -> None:
        obj = self.objects.pop((collection, namespace, name))
        self.version += 1
        gone = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        await self._record("DELETED", collection, gone)

    async def bookmark(self, collection: str) -> None:
        """A bookmark at the present version to all watches of the collection."""
        self.version += 1
        meta = {"resourceVersion": str(self.version)}
        await self._record("BOOKMARK", collection, {"metadata": meta})

    def cut_watches(self) -> None:
        """Cuts the connections of all open watches."""
        for request in tuple(self._watching.values()):
            _cut(request)

    def compact(self) -> None:
        """Versions before now are too old for new watches; open ones miss nothing."""
        self.oldest = self.version
        self._snapshots.clear()

    async def _record(self, type_: str, collection: str, obj: Doc) -> None:
        async with self._changed:
            self._history.append((self.version, type_, collection, obj))
            self._changed.notify_all()

    # -- HTTP ---------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(
            Seen(request.method, request.path, dict(request.query), dict(request.headers), body)
        )
        fault = next((f for f in self._faults if f.fits(request)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
            await asyncio.sleep(fault.delay)
            if fault.reset:
                return _cut(request)
            if fault.status:
                return _failure(fault)
        try:
            if self.tokens is not None and _token(request) not in self.tokens:
                raise StatusError("who are you?", code=401, reason="Unauthorized")
            answer = await self._answer(request, body, fault)
        except StatusError as error:
            answer = web.json_response(error.to_status(), status=error.code)
        if fault is not None and fault.reset_after_work:
            return _cut(request)
        return answer

    async def _answer(
        self, request: web.Request, body: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        if request.path in self.documents:
            return web.json_response(self.documents[request.path])
        target = _target(request.path)
        if request.query.get("watch") == "true":
            return await self._watch(request, target, fault)
        handlers: dict[str, Callable[[web.Request, _Target, bytes], Awaitable[Any]]] = {
            "GET": self._get if target.name else self._list,
            "POST": self._create,
            "PUT": self._update,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        return web.json_response(await handlers[request.method](request, target, body))

    def _existing(self, target: _Target) -> Doc:
        obj = self.objects.get((target.collection, target.namespace, target.name))
        if obj is None:
            raise not_found(target.collection.rpartition("/")[2], target.name)
        return obj

    async def _get(self, _: web.Request, target: _Target, __: bytes) -> Doc:
        return self._existing(target)

    async def _list(self, request: web.Request, target: _Target, _: bytes) -> Doc:
        limit = int(request.query.get("limit", "0"))
        token = request.query.get("continue", "")
        if token:
            snapshot, begin = token.split(":")
            if snapshot not in self._snapshots:
                raise Expired("the provided continue parameter is too old")
            items, start = self._snapshots[snapshot], int(begin)
        else:
            items, start, snapshot = self._selected(request, target), 0, str(self.version)
            self._snapshots[snapshot] = items
        meta = {"resourceVersion": snapshot}
        page = items[start : start + limit] if limit else items
        if limit and start + limit < len(items):
            meta["continue"] = f"{snapshot}:{start + limit}"
        # As in Kubernetes, items of a list carry no kind of their own.
        bare = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in page]
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": bare}

    def _selected(self, request: web.Request, target: _Target) -> list[Doc]:
        wanted = dict(
            pair.split("=", 1)
            for pair in request.query.get("labelSelector", "").split(",")
            if "=" in pair
        )
        return [
            obj
            for (collection, namespace, _), obj in sorted(self.objects.items(), key=lambda i: i[0])
            if collection == target.collection
            and target.namespace in ("", namespace)
            and wanted.items() <= (obj["metadata"].get("labels") or {}).items()
        ]

    async def _create(self, _: web.Request, target: _Target, body: bytes) -> Doc:
        obj = json.loads(body)
        meta = obj["metadata"]
        if target.namespace:
            meta.setdefault("namespace", target.namespace)
        if (target.collection, target.namespace, meta["name"]) in self.objects:
            raise AlreadyExists(f"{meta['name']} already exists")
        return await self.put(target.collection, obj)

    async def _update(self, _: web.Request, target: _Target, body: bytes) -> Doc:
        old, new = self._existing(target), json.loads(body)
        version = new["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        return await self.put(target.collection, new)

    async def _patch(self, request: web.Request, target: _Target, body: bytes) -> Doc:
        patch = json.loads(body)
        if "apply-patch" in request.content_type:
            key = (target.collection, target.namespace, target.name)
            if key not in self.objects:
                return await self.put(target.collection, patch)
        return await self.put(target.collection, merged(self._existing(target), patch))

    async def _delete(self, _: web.Request, target: _Target, body: bytes) -> Doc:
        old = self._existing(target)
        wanted = (json.loads(body or b"{}").get("preconditions") or {}).get("uid")
        if wanted and wanted != old["metadata"]["uid"]:
            raise Conflict("the UID in the precondition does not match")
        await self.drop(target.collection, target.namespace, target.name)
        return {"kind": "Status", "status": "Success"}

    # -- watching -----------------------------------------------------------------------------

    async def _watch(
        self, request: web.Request, target: _Target, fault: Fault | None
    ) -> web.StreamResponse:
        initial = request.query.get("sendInitialEvents") == "true"
        if initial and not self.watch_list:
            raise StatusError("sendInitialEvents is forbidden", code=422, reason="Invalid")
        start = int(request.query.get("resourceVersion") or self.version)
        if start < self.oldest:
            raise Expired(f"too old resource version: {start} ({self.oldest})")
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        stream = _Stream(request, response, self.chunk, fault.cut_after if fault else None)
        self._watching[id(request)] = request
        try:
            if fault is not None and fault.error_event:
                error = StatusError.from_status({"message": "no more"}, fault.error_event)
                await stream.send("ERROR", error.to_status())
                return response
            if fault is not None and fault.end:
                return response
            if initial or "resourceVersion" not in request.query:
                for obj in self._selected(request, target):
                    await stream.send("ADDED", obj)
            if initial:
                meta = {"resourceVersion": str(start), "annotations": INITIAL_END}
                await stream.send("BOOKMARK", {"kind": "X", "metadata": meta})
            await self._stream(stream, target, start)
        except (ConnectionResetError, _Cut):
            pass
        finally:
            self._watching.pop(id(request), None)
        return response

    async def _stream(self, stream: _Stream, target: _Target, position: int) -> None:
        while True:
            async with self._changed:
                while not (news := [h for h in self._history if h[0] > position]):
                    await self._changed.wait()
            for version, type_, collection, obj in news:
                position = version
                namespace = obj["metadata"].get("namespace", "")
                if collection == target.collection and target.namespace in ("", namespace):
                    await stream.send(type_, obj)


class _Cut(Exception):  # noqa: N818
    pass


class _Stream:
    def __init__(
        self, request: web.Request, response: web.StreamResponse, chunk: int, cut: int | None
    ) -> None:
        self._request = request
        self._response = response
        self._chunk = chunk
        self._left = cut

    async def send(self, type_: str, obj: Doc) -> None:
        data = json.dumps({"type": type_, "object": obj}).encode() + b"\n"
        if self._left is not None and len(data) >= self._left:
            await self._response.write(data[: self._left])
            _cut(self._request)
            raise _Cut
        if self._left is not None:
            self._left -= len(data)
        size = self._chunk or len(data)
        for start in range(0, len(data), size):
            await self._response.write(data[start : start + size])


def merged(doc: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(doc) if isinstance(doc, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _cut(request: web.Request) -> web.StreamResponse:
    """The connection is gone without another byte."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _failure(fault: Fault) -> web.Response:
    if fault.body is not None:
        return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
    error = StatusError.from_status({"message": f"injected {fault.status}"}, fault.status)
    return web.json_response(error.to_status(), status=fault.status, headers=fault.headers)


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _target(path: str) -> _Target:
    parts = path.strip("/").split("/")
    root, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", "", ""][:3]
    return _Target("/" + "/".join([*root, plural]), namespace, name, subresource)
