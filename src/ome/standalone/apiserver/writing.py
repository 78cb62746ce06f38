"""POST, PUT, PATCH and DELETE of objects."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ome.apimachinery.errors import BadRequest, MethodNotAllowed, NotFound
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import patching
from ome.standalone.apiserver.codec import (
    JSON,
    PROTOBUF,
    YAML,
    decode_body,
    decode_object,
    duplicate_fields,
)
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.engine import Call
from ome.standalone.apiserver.failures import StrictDecoding, bad_option, unsupported_option
from ome.standalone.apiserver.http import respond_object
from ome.standalone.apiserver.lifecycle import DeleteOptions
from ome.standalone.apiserver.requests import Query, body_media, media_type, read_body
from ome.standalone.apiserver.selecting import Selection

_POLICIES = ("Background", "Foreground", "Orphan")


async def create(context: Context) -> web.StreamResponse:
    kind, target = context.kind, context.target
    body = await read_object(context)
    namespace = _namespace(context, body)
    if kind.namespaced and not target.namespace:
        raise MethodNotAllowed("a namespace is needed to create this kind of object")
    obj = await context.core.engine.create(kind, namespace, body, context.call)
    return respond_object(obj, status=201, warnings=context.call.warnings)


async def update(context: Context) -> web.StreamResponse:
    body = await read_object(context)
    _namespace(context, body)
    target = context.target
    obj = await context.core.engine.update(
        context.kind, target.namespace, target.name, body, context.call, target.subresource
    )
    return respond_object(obj, warnings=context.call.warnings)


async def patch(context: Context) -> web.StreamResponse:
    kind, target, call = context.kind, context.target, context.call
    media = patching.check_type(kind, media_type(context.request))
    data = await read_body(context.request)
    engine = context.core.engine
    if media == patching.APPLY_PATCH:
        if not context.query.manager():
            text = "Required value: is required for apply patch"
            raise bad_option(context.query.options, "fieldManager", text, "FieldValueRequired")
        body = decode_object(data, YAML)
        _check_duplicates(data, call)
        _namespace(context, body)
        existed = engine.store.get(kind.bucket, target.namespace, target.name) is not None
        obj = await engine.apply(
            kind, target.namespace, target.name, body, call, target.subresource
        )
        status = 200 if existed else 201
        return respond_object(obj, status=status, warnings=call.warnings)
    if call.force:
        text = "Forbidden: may not be specified for non-apply patch"
        raise bad_option(context.query.options, "force", text)
    document: Any = decode_body(data)
    _check_duplicates(data, call)
    try:
        obj = await engine.change(
            kind,
            target.namespace,
            target.name,
            lambda live: patching.patched(kind, media, live, document),
            call,
            target.subresource,
        )
    except StrictDecoding as error:  # of the patched object: the patch is what is wrong
        raise patching.refused(error.message) from None
    return respond_object(obj, warnings=call.warnings)


async def delete(context: Context) -> web.StreamResponse:
    kind, target = context.kind, context.target
    options = await _delete_options(context)
    obj, gone = await context.core.engine.delete(
        kind, target.namespace, target.name, options, context.call
    )
    if not gone or kind.resource.kind == "Pod":
        return respond_object(obj, warnings=context.call.warnings)
    resource = kind.resource
    details: Object = {"name": target.name, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    status = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details,
    }  # fmt: skip
    return respond_object(status, warnings=context.call.warnings)


async def delete_collection(context: Context) -> web.StreamResponse:
    kind, target, query = context.kind, context.target, context.query
    options = await _delete_options(context)
    selection = Selection.parse(
        kind, target.namespace, query.text("labelSelector"), query.text("fieldSelector")
    )
    page = context.core.lister.page(selection, limit=query.limit())
    items = []
    for entry in page.entries:
        try:
            obj, _ = await context.core.engine.delete(
                kind, entry.namespace, entry.name, options, context.call
            )
        except NotFound:
            continue
        items.append(obj)
    body = {
        "kind": kind.list_kind,
        "apiVersion": kind.resource.api_version,
        "metadata": {"resourceVersion": str(context.core.store.revision)},
        "items": items,
    }
    return respond_object(body, warnings=context.call.warnings)


async def read_object(context: Context) -> Object:
    """The body of a create or update."""
    media = body_media(context.request)
    data = await read_body(context.request)
    body = decode_object(data, media)
    if media == JSON:
        _check_duplicates(data, context.call)
    return body


def _check_duplicates(data: bytes, call: Call) -> None:
    """Duplicate fields are looked for only where the client asks for validation: it costs a second
    reading of the body."""
    if call.validation not in ("Strict", "Warn"):
        return
    found = duplicate_fields(data)
    if found and call.validation == "Strict":
        listed = ", ".join(f'duplicate field "{path}"' for path in found)
        raise BadRequest(f"strict decoding error: {listed}")
    for path in found:
        call.warn(f'duplicate field "{path}"')


def _namespace(context: Context, body: Object) -> str:
    """The namespace of the request, which the body must not contradict."""
    namespace = context.target.namespace
    meta = body.get("metadata")
    given = meta.get("namespace") if isinstance(meta, dict) else None
    if given and context.kind.namespaced and namespace and given != namespace:
        raise BadRequest(
            f"the namespace of the provided object does not match the namespace sent on the "
            f"request ({given} and {namespace})"
        )
    return namespace


async def _delete_options(context: Context) -> DeleteOptions:
    data = await read_body(context.request)
    media = PROTOBUF if media_type(context.request) == PROTOBUF else YAML
    body: Object = decode_object(data, media) if data.strip() else {}
    return delete_options(body, context.query, context.call)


def delete_options(body: Object, query: Query, call: Call) -> DeleteOptions:
    """The options of a deletion, from the body or the query."""
    grace = body.get("gracePeriodSeconds", query.number("gracePeriodSeconds", least=-1))
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise BadRequest("gracePeriodSeconds must be a whole number")
    policy = body.get("propagationPolicy") or query.text("propagationPolicy")
    orphan = body.get("orphanDependents")
    if orphan is not None and not policy:
        policy = "Orphan" if orphan else "Background"
    if policy and policy not in _POLICIES:
        raise unsupported_option("DeleteOptions", "propagationPolicy", policy, _POLICIES)
    conditions = body.get("preconditions") or {}
    if not isinstance(conditions, dict):
        raise BadRequest("preconditions must be an object")
    if body.get("dryRun"):
        call.dry_run = True
    return DeleteOptions(
        grace,
        policy,
        str(conditions.get("uid") or ""),
        str(conditions.get("resourceVersion") or ""),
    )
