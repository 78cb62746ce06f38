"""``/scale``: the number of replicas of any kind, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ome.apimachinery.errors import FieldError, Invalid
from ome.apimachinery.objects import Object
from ome.apimachinery.patches import merge_patch
from ome.apimachinery.selectors import label_selector
from ome.standalone.apiserver import patching
from ome.standalone.apiserver.codec import decode_body
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.http import respond_object
from ome.standalone.apiserver.kinds import Kind, ScalePaths
from ome.standalone.apiserver.requests import media_type, read_any_object, read_body


async def get(context: Context) -> web.StreamResponse:
    target = context.target
    live = context.core.engine.live(context.kind, target.namespace, target.name)
    return respond_object(scale_of(context.kind, live))


async def update(context: Context) -> web.StreamResponse:
    body = await read_any_object(context.request)
    return await _write(context, lambda _: body)


async def patch(context: Context) -> web.StreamResponse:
    media = patching.check_type(context.kind, media_type(context.request))
    document: Any = decode_body(await read_body(context.request), yaml=True)
    if media == patching.JSON_PATCH:
        return await _write(context, lambda s: patching.patched(context.kind, media, s, document))
    return await _write(context, lambda s: merge_patch(s, document))


async def _write(context: Context, change: Any) -> web.StreamResponse:
    kind, target = context.kind, context.target
    paths = _paths(kind)

    def set_replicas(live: Object) -> Object:
        wanted: Object = change(scale_of(kind, live))
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
            problem = FieldError(
                "spec.replicas",
                f"Invalid value: {replicas}: must be a whole number, greater than or equal to 0",
            )
            raise Invalid.of("Scale", target.name, [problem], "autoscaling")
        new = _with(live, paths.spec_replicas, replicas)
        revision = (wanted.get("metadata") or {}).get("resourceVersion")
        if revision:
            new["metadata"] = {**new["metadata"], "resourceVersion": revision}
        return new

    obj = await context.core.engine.change(
        kind, target.namespace, target.name, set_replicas, context.call, "scale"
    )
    return respond_object(scale_of(kind, obj), warnings=context.call.warnings)


def scale_of(kind: Kind, obj: Mapping[str, Any]) -> Object:
    """The Scale object of an object."""
    paths, meta = _paths(kind), obj["metadata"]
    status: Object = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _at(obj, paths.selector) if paths.selector else None
    if isinstance(selector, dict):
        status["selector"] = str(label_selector(selector))
    elif selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": _at(obj, paths.spec_replicas) or 0},
        "status": status,
    }


def _paths(kind: Kind) -> ScalePaths:
    assert kind.scale is not None
    return kind.scale


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _with(obj: Object, path: tuple[str, ...], value: int) -> Object:
    head, *rest = path
    inner = obj.get(head)
    if not rest:
        return {**obj, head: value}
    return {**obj, head: _with(inner if isinstance(inner, dict) else {}, tuple(rest), value)}
