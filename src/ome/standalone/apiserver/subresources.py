"""Everything below an object (``/status``, ``/scale``, ``/log`` …), and reviews."""

from __future__ import annotations

from aiohttp import web

from ome.apimachinery.errors import MethodNotAllowed
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import reading, writing
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.requests import Target, unknown_path


async def review(request: web.BaseRequest, target: Target, user: str) -> Object | None:
    return None


async def handle(context: Context) -> web.StreamResponse:
    kind, name = context.kind, context.target.subresource
    method = context.request.method
    if (name == "status" and kind.has_status) or name in kind.subresources:
        match method:
            case "GET":
                return await reading.get(context)
            case "PUT":
                return await writing.update(context)
            case "PATCH":
                return await writing.patch(context)
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    raise unknown_path()
