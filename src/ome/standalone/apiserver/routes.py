"""From a request to the handler that answers it."""

from __future__ import annotations

from aiohttp import web

from ome.apimachinery.errors import Forbidden, MethodNotAllowed
from ome.standalone.apiserver import discovery, reading, reviews, subresources, writing
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.core import Core
from ome.standalone.apiserver.http import respond
from ome.standalone.apiserver.openapi import V2, OpenApi, version_2
from ome.standalone.apiserver.requests import Query, parse_path, unknown_path

_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_OPEN = _HEALTH | {"/version"}


class Router:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._documents = discovery.Documents(core.registry, core.version)
        self._openapi = OpenApi(core.registry, core.version)

    async def handle(self, request: web.BaseRequest, user: str | None) -> web.StreamResponse:
        path = request.path
        if path in _HEALTH or path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return web.Response(text="ok")
        if user is None and path not in _OPEN:
            raise Forbidden(
                f'forbidden: User "system:anonymous" cannot {request.method.lower()} path "{path}"'
            )
        document = self._documents.find(request, path)
        if document is not None:
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed("the server does not allow this method on the resource")
            return document
        if path == V2:
            return version_2(request.headers.get("Accept", ""), self._core.version)
        if path.startswith("/openapi/"):
            body = await self._openapi.find(path)
            if body is None:
                raise unknown_path()
            return respond(body)
        return await self._resource(request, path, user or "system:anonymous")

    async def _resource(self, request: web.BaseRequest, path: str, user: str) -> web.StreamResponse:
        target = parse_path(path)
        if target is None:
            raise unknown_path()
        answer = await reviews.review(request, target, user)
        if answer is not None:
            return answer
        kind = self._core.registry.find(target.group, target.version, target.plural)
        if kind is None:
            raise unknown_path()
        query = Query(request.query, request.method)
        context = Context(self._core, request, kind, target, query, user)
        if kind.deprecated:
            context.call.warn(kind.deprecated)
        if target.subresource:
            return await subresources.handle(context)
        if target.namespace and not kind.namespaced:
            raise unknown_path()
        match request.method, bool(target.name):
            case "GET" | "HEAD", True:
                return await reading.get(context)
            case "GET", False:
                return await reading.list_or_watch(context)
            case "POST", False:
                return await writing.create(context)
            case "PUT", True:
                return await writing.update(context)
            case "PATCH", True:
                return await writing.patch(context)
            case "DELETE", True:
                return await writing.delete(context)
            case "DELETE", False:
                return await writing.delete_collection(context)
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
