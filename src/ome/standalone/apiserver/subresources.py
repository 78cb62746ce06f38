"""What is below an object: ``/status``, ``/finalize``, ``/scale``, ``/binding``, ``/eviction``,
``/log``, ``/token``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ome.apimachinery.errors import MethodNotAllowed
from ome.standalone.apiserver import podlog, pods, reading, scale, tokens, writing
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.requests import unknown_path

Handler = Callable[[Context], Awaitable[web.StreamResponse]]

_PART: dict[str, Handler] = {"GET": reading.get, "PUT": writing.update, "PATCH": writing.patch}
_HANDLERS: dict[str, dict[str, Handler]] = {
    "status": _PART,
    "finalize": {"PUT": writing.update},
    "scale": {"GET": scale.get, "PUT": scale.update, "PATCH": scale.patch},
    "binding": {"POST": pods.bind},
    "eviction": {"POST": pods.evict},
    "log": {"GET": podlog.read},
    "token": {"POST": tokens.create},
}


async def handle(context: Context) -> web.StreamResponse:
    kind, name = context.kind, context.target.subresource
    offered = (
        (name == "status" and kind.has_status)
        or (name == "scale" and kind.scale is not None)
        or name in kind.subresources
    )
    if not offered:
        raise unknown_path()
    handler = _HANDLERS[name].get(context.request.method)
    if handler is None:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    return await handler(context)
