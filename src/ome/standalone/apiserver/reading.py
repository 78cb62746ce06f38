"""GET, LIST and WATCH."""

from __future__ import annotations

import contextlib
import random

from aiohttp import web

from ome.apimachinery.errors import StatusError, not_found
from ome.standalone.apiserver import watching
from ome.standalone.apiserver.codec import encode
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.http import add_warnings, respond
from ome.standalone.apiserver.listing import check_revision
from ome.standalone.apiserver.representation import FORMS, Representation
from ome.standalone.apiserver.requests import negotiate
from ome.standalone.apiserver.selecting import Selection

_SHORTEST_WATCH, _LONGEST_WATCH = 1800, 3600


def _representation(context: Context) -> Representation:
    accept = negotiate(context.request.headers.get("Accept", ""), FORMS)
    return Representation(
        context.core.engine, context.kind, accept, context.query.text("includeObject")
    )


async def get(context: Context) -> web.StreamResponse:
    kind, target = context.kind, context.target
    check_revision(context.query.text("resourceVersion"), "", context.core.store.revision)
    entry = context.core.store.get(kind.bucket, target.namespace, target.name)
    if entry is None:
        raise not_found(str(kind.resource), target.name)
    view = _representation(context)
    return respond(view.one(entry), accept=view.accept, warnings=context.call.warnings)


async def list_or_watch(context: Context) -> web.StreamResponse:
    query = context.query
    selection = Selection.parse(
        context.kind,
        context.target.namespace,
        query.text("labelSelector"),
        query.text("fieldSelector"),
    )
    if query.flag("watch"):
        return await _watch(context, selection)
    page = context.core.lister.page(
        selection,
        limit=query.limit(),
        token=query.text("continue"),
        resource_version=query.text("resourceVersion"),
        match=query.text("resourceVersionMatch"),
    )
    view = _representation(context)
    return respond(view.many(page), accept=view.accept, warnings=context.call.warnings)


async def _watch(context: Context, selection: Selection) -> web.StreamResponse:
    query, request = context.query, context.request
    seconds = query.number("timeoutSeconds") or random.randint(_SHORTEST_WATCH, _LONGEST_WATCH)
    options = watching.WatchOptions(
        resource_version=query.text("resourceVersion"),
        match=query.text("resourceVersionMatch"),
        bookmarks=query.flag("allowWatchBookmarks"),
        initial_events=query.flag("sendInitialEvents") if query.has("sendInitialEvents") else None,
        seconds=float(seconds),
        bookmark_seconds=context.core.bookmark_seconds,
    )
    view = _representation(context)
    watch = watching.start(context.core.store, selection, options)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    add_warnings(response, context.call.warnings)
    response.enable_chunked_encoding()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        await _stream(context, watch, view, response)
        await response.write_eof()
    return response


async def _stream(
    context: Context,
    watch: watching.Watch,
    view: Representation,
    response: web.StreamResponse,
) -> None:
    """Write events until the watch, the server or the client ends."""
    try:
        async for batch in watch.batches(context.core.stopping.is_set):
            if batch:
                await response.write(b"".join([view.event(seen) for seen in batch]))
    except StatusError as error:
        await response.write(encode({"type": "ERROR", "object": error.to_status()}) + b"\n")
