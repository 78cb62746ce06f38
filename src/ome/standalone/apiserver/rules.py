"""The rules of a kind that its schema and Kubernetes impose on every write.

``conform`` brings a body into shape (unknown fields out, defaults in); ``isolate`` keeps what a
request may not touch; ``validate`` says what is wrong with the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome.apimachinery import core_defaults, core_validation
from ome.apimachinery.errors import BadRequest, FieldError, Invalid
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, metadata
from ome.standalone.apiserver.kinds import Kind

if TYPE_CHECKING:
    from ome.standalone.apiserver.engine import Call

copy = copy_json

WHOLE = frozenset({"binding", "finalize"})
"""Subresources through which the server itself changes spec and status together."""


def present(kind: Kind, stored: Object) -> Object:
    """A stored object as this version of its kind shows it."""
    stored["apiVersion"] = kind.resource.api_version
    return stored


def report_unknown(kind: Kind, body: Object, call: Call) -> None:
    """Complain about unknown fields as the client asked for, and change nothing."""
    if call.validation != "Ignore":
        _report(kind.schema.prune(body)[1], call)


def _report(unknown: list[str], call: Call) -> None:
    if not unknown or call.validation == "Ignore":
        return
    if call.validation == "Strict":
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise BadRequest(f"strict decoding error: {listed}")
    for path in unknown:
        call.warn(f'unknown field "{path}"')


def conform(kind: Kind, body: Object, call: Call) -> Object:
    """The body without unknown fields and with defaults. Raises Invalid for a built-in kind whose
    fields have wrong types; those of custom resources are checked by :func:`validate`."""
    obj, unknown = kind.schema.prune(body)
    _report(unknown, call)
    if kind.custom:
        return kind.schema.default(obj)
    problems = kind.schema.validate(obj)
    if problems:
        name = str(metadata(obj).get("name") or "")
        raise Invalid.of(kind.resource.kind, name, problems, kind.resource.group)
    return core_defaults.apply(kind.resource, kind.schema.default(obj))


def initial(kind: Kind, obj: Object) -> Object:
    """A new object in the state that it starts with."""
    if kind.has_status:
        obj = {name: value for name, value in obj.items() if name != "status"}
    if (kind.resource.group, kind.resource.kind) == ("", "Namespace"):
        meta = obj["metadata"]
        labels = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
        obj = {**obj, "metadata": {**meta, "labels": labels}}
    return core_defaults.prepare_create(kind.resource, obj)


def isolate(kind: Kind, old: Object, new: Object, subresource: str) -> Object:
    """The new object with everything that this request may not change as it was."""
    if subresource == "status":
        result = {**old, "metadata": {**old["metadata"]}}
        for name in ("managedFields",):
            if name in new["metadata"]:
                result["metadata"][name] = new["metadata"][name]
        if "status" in new:
            result["status"] = new["status"]
        else:
            result.pop("status", None)
        return result
    if subresource in WHOLE:
        return new
    if kind.has_status:
        result = dict(new)
        if "status" in old:
            result["status"] = old["status"]
        else:
            result.pop("status", None)
        return result
    return new


def validate(
    kind: Kind, obj: Object, old: Object | None, subresource: str = ""
) -> list[FieldError]:
    """Everything that is wrong with an object that is to be stored."""
    problems = kind.schema.validate(obj) if kind.custom else []
    return problems + core_validation.validate(kind.resource, obj, old, subresource=subresource)
