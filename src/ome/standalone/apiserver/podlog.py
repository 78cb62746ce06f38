"""``/log``: a container's output, from whoever runs the pod."""

from __future__ import annotations

import contextlib
import datetime
import inspect
from collections.abc import AsyncIterator

from aiohttp import web

from ome.apimachinery.errors import BadRequest, ServiceUnavailable
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.requests import Query


async def read(context: Context) -> web.StreamResponse:
    target, query = context.target, context.query
    pod = context.core.engine.live(context.kind, target.namespace, target.name)
    container = _container(pod, query.text("container"))
    source = context.core.log_source
    if source is None:
        raise ServiceUnavailable("no node serves pod logs here")
    pending = source.logs(
        pod,
        container=container,
        follow=query.flag("follow"),
        tail_lines=query.number("tailLines"),
        since_seconds=_since(query),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        limit_bytes=query.number("limitBytes", least=1),
    )
    chunks: AsyncIterator[bytes] = await pending if inspect.isawaitable(pending) else pending
    # The first chunk is awaited before the answer starts, so that errors keep their status code.
    first = await anext(chunks, b"") if not query.flag("follow") else b""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response.enable_chunked_encoding()
    await response.prepare(context.request)
    with contextlib.suppress(ConnectionError):
        if first:
            await response.write(first)
        async for chunk in chunks:
            if chunk:
                await response.write(chunk)
        await response.write_eof()
    return response


def _container(pod: Object, asked: str) -> str:
    spec = pod.get("spec") or {}
    usual = [c["name"] for c in spec.get("containers") or ()]
    early = [c["name"] for c in spec.get("initContainers") or ()]
    name = pod["metadata"]["name"]
    if asked:
        if asked not in (*usual, *early):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(usual) != 1:
        listed = f"[{' '.join(usual)}]"
        if early:
            listed += f" or one of the init containers: [{' '.join(early)}]"
        raise BadRequest(
            f"a container name must be specified for pod {name}, choose one of: {listed}"
        )
    return str(usual[0])


def _since(query: Query) -> int | None:
    """Seconds to look back, from ``sinceSeconds`` or ``sinceTime``."""
    text = query.text("sinceTime")
    if not text:
        return query.number("sinceSeconds", least=1)
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise BadRequest(f'sinceTime must be a time in RFC 3339, not "{text[:40]}"') from None
    if moment.tzinfo is None:
        raise BadRequest("sinceTime needs a time zone, such as Z")
    passed = datetime.datetime.now(datetime.UTC) - moment
    return max(1, int(passed.total_seconds()) + 1)
