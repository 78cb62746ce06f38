"""Everything below an object (``/status``, ``/scale``, ``/log`` …), and reviews."""

from __future__ import annotations

import contextlib
from typing import Any

from aiohttp import web

from ome.apimachinery import selectors
from ome.apimachinery.errors import BadRequest, Conflict, MethodNotAllowed, ServiceUnavailable
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import patching, reading, reviews, writing
from ome.standalone.apiserver.codec import decode_body, decode_object
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.http import respond_object
from ome.standalone.apiserver.kinds import Kind, ScalePaths
from ome.standalone.apiserver.lifecycle import DeleteOptions, now_text
from ome.standalone.apiserver.requests import (
    Target,
    media_type,
    read_body,
    unknown_path,
)

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


async def review(request: web.BaseRequest, target: Target, user: str) -> Object | None:
    """The answer to a review (who am I, may I …), or None if the target is none."""
    if request.method != "POST" or target.name:
        return None
    if not reviews.knows(target.group, target.plural):
        return None
    body = decode_object(await read_body(request), yaml=True)
    return reviews.answer(target.plural, body, user)


async def handle(context: Context) -> web.StreamResponse:
    kind, name = context.kind, context.target.subresource
    method = context.request.method
    if name == "scale" and kind.scale is not None:
        return await _scale(context, kind.scale)
    if name == "status" and kind.has_status:
        match method:
            case "GET":
                return await reading.get(context)
            case "PUT":
                return await writing.update(context)
            case "PATCH":
                return await writing.patch(context)
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    if name not in kind.subresources:
        raise unknown_path()
    match method, name:
        case "GET", "log":
            return await _log(context)
        case "POST", "binding":
            return await _bind(context)
        case "POST", "eviction":
            return await _evict(context)
        case "POST", "token":
            return await _token(context)
        case "PUT", "finalize":
            return await _finalize(context)
    raise MethodNotAllowed("the server does not allow this method on the requested resource")


# -- scale ---------------------------------------------------------------------------------


async def _scale(context: Context, paths: ScalePaths) -> web.StreamResponse:
    kind, target, call = context.kind, context.target, context.call
    engine = context.core.engine
    if context.request.method == "GET":
        live = engine.live(kind, target.namespace, target.name)
        return respond_object(_scale_of(kind, paths, live))
    data = await read_body(context.request)
    if context.request.method == "PUT":
        body = decode_object(data, yaml=True)

        def wanted(live: Object) -> Any:
            return body
    elif context.request.method == "PATCH":
        media = patching.check_type(kind, media_type(context.request))
        document = decode_body(data, yaml=True)

        def wanted(live: Object) -> Any:
            scale = _scale_of(kind, paths, live)
            if media == patching.APPLY_PATCH:
                return {**scale, **document}
            return patching.patched(kind, patching.merge_like(media), scale, document)
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")

    def change(live: Object) -> Object:
        replicas = ((wanted(live) or {}).get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            raise BadRequest("spec.replicas must be a whole number that is not negative")
        node = live
        for step in paths.spec_replicas[:-1]:
            node = node.setdefault(step, {})
        node[paths.spec_replicas[-1]] = replicas
        return live

    obj = await engine.change(kind, target.namespace, target.name, change, call)
    return respond_object(_scale_of(kind, paths, obj), warnings=call.warnings)


def _scale_of(kind: Kind, paths: ScalePaths, obj: Object) -> Object:
    meta = obj["metadata"]
    selector = _at(obj, paths.selector)
    if isinstance(selector, dict):
        selector = str(selectors.label_selector(selector))
    status: Object = {"replicas": _at(obj, paths.status_replicas) or 0}
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": _at(obj, paths.spec_replicas) or 0},
        "status": status,
    }


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj if path else None


# -- pods ----------------------------------------------------------------------------------


async def _log(context: Context) -> web.StreamResponse:
    core, target, query = context.core, context.target, context.query
    pod = core.engine.live(context.kind, target.namespace, target.name)
    if core.log_source is None:
        raise ServiceUnavailable("this server has no node that could read logs")
    names = [c["name"] for c in pod["spec"].get("containers") or ()]
    names += [c["name"] for c in pod["spec"].get("initContainers") or ()]
    container = query.text("container") or (
        names[0] if len(pod["spec"].get("containers") or ()) == 1 else ""
    )
    if not container:
        raise BadRequest(
            f"a container name must be specified for pod {target.name}, choose one of: "
            f"[{' '.join(names)}]"
        )
    if container not in names:
        raise BadRequest(f"container {container} is not valid for pod {target.name}")
    stream = await core.log_source.logs(
        pod,
        container=container,
        follow=query.flag("follow"),
        tail_lines=query.number("tailLines"),
        since_seconds=query.number("sinceSeconds", least=1),
        previous=query.flag("previous"),
        timestamps=query.flag("timestamps"),
        limit_bytes=query.number("limitBytes", least=1),
    )
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(context.request)
    with contextlib.suppress(ConnectionError):
        async for chunk in stream:
            await response.write(chunk)
        await response.write_eof()
    return response


async def _bind(context: Context) -> web.StreamResponse:
    body = decode_object(await read_body(context.request), yaml=True)
    node = ((body.get("target") or {}).get("name")) or ""
    if not node:
        raise BadRequest("target.name: Required value: the node to bind the pod to")

    def change(pod: Object) -> Object:
        bound = pod["spec"].get("nodeName")
        if bound:
            raise Conflict(
                f'pod {context.target.name} is already assigned to node "{bound}"',
                details={"name": context.target.name, "kind": "pods"},
            )
        pod["spec"]["nodeName"] = node
        status = pod.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now_text()}
        status["conditions"] = [*others, scheduled]
        return pod

    await context.core.engine.change(
        context.kind,
        context.target.namespace,
        context.target.name,
        change,
        context.call,
        "binding",
    )
    return respond_object({**_SUCCESS, "code": 201}, status=201)


async def _evict(context: Context) -> web.StreamResponse:
    """One machine has nowhere to move a pod to, so budgets are not consulted: it is deleted."""
    body = decode_object(await read_body(context.request), yaml=True)
    options = body.get("deleteOptions") or {}
    await context.core.engine.delete(
        context.kind,
        context.target.namespace,
        context.target.name,
        DeleteOptions(grace_seconds=options.get("gracePeriodSeconds")),
        context.call,
    )
    return respond_object({**_SUCCESS, "code": 201}, status=201)


# -- others --------------------------------------------------------------------------------


async def _token(context: Context) -> web.StreamResponse:
    """A token for a service account. There is one administrator here and no authorisation, so no
    further token is handed out: the caller is told instead of being given one that opens nothing.
    """
    raise MethodNotAllowed(
        "this server knows no service account tokens: processes on this machine use the unix "
        "socket, others the token of the kubeconfig"
    )


async def _finalize(context: Context) -> web.StreamResponse:
    body = await writing.read_object(context)
    finalizers = (body.get("spec") or {}).get("finalizers") or []

    def change(namespace: Object) -> Object:
        namespace["spec"] = {**(namespace.get("spec") or {}), "finalizers": finalizers}
        return namespace

    target = context.target
    obj = await context.core.engine.change(
        context.kind, target.namespace, target.name, change, context.call, "finalize"
    )
    return respond_object(obj)
