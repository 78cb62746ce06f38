"""The rules that a kind's schema, and Kubernetes, impose on every write.

``shape`` brings a body into the form that is stored: unknown fields out, what this request may not
touch as it was, defaults in, types checked. ``validate`` says what else is wrong with the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome.apimachinery import core_defaults, core_validation
from ome.apimachinery.errors import BadRequest, FieldError, Invalid
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from ome.standalone.apiserver import celrules
from ome.standalone.apiserver.failures import StrictDecoding
from ome.standalone.apiserver.kinds import Kind

if TYPE_CHECKING:
    from ome.standalone.apiserver.engine import Call

_STATUS_FROM_START = frozenset({"Node"})
"""Built-in kinds whose status may be given when they are created."""


def present(kind: Kind, stored_as: Kind, stored: Object) -> Object:
    """A stored object as this version of its kind shows it. Takes over its argument.

    Versions differ in their name only, as with the conversion strategy ``None``. Custom resources
    that were stored before the last change of their CRD get its pruning and its defaults here.
    """
    if kind.custom and int(stored["metadata"]["resourceVersion"]) <= stored_as.schema_revision:
        pruned, _ = stored_as.schema.prune(stored)
        stored = dict(stored_as.schema.default(pruned))
    stored["apiVersion"] = kind.resource.api_version
    return stored


def to_store(kind: Kind, stored_as: Kind, obj: Object) -> Object:
    """An object that was written in one version, as it is stored."""
    if kind is stored_as or kind.resource == stored_as.resource:
        return obj
    pruned, _ = stored_as.schema.prune({**obj, "apiVersion": stored_as.resource.api_version})
    return stored_as.schema.default(pruned)


def report_unknown(kind: Kind, body: Object, call: Call) -> Object:
    """The body without unknown fields, after complaining about them as the client asked for."""
    pruned, unknown = kind.schema.prune(body)
    if not unknown or call.validation == "Ignore":
        return pruned
    said = [f'unknown field "{path}"' for path in unknown]
    if call.validation == "Strict":
        resource = kind.resource
        raise StrictDecoding(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a '
            f"{resource.kind}: strict decoding error: {', '.join(said)}"
        )
    for text in said:
        call.warn(text)
    return pruned


def known_only(kind: Kind, applied: Object) -> Object:
    """An applied configuration, which may not have unknown fields: nobody could own them."""
    pruned, unknown = kind.schema.prune(applied)
    if unknown:
        resource = kind.resource
        raise BadRequest(
            f"failed to create typed patch object ({applied['metadata'].get('namespace') or ''}/"
            f"{applied['metadata'].get('name')}; {resource.api_version}, Kind={resource.kind}): "
            f".{unknown[0]}: field not declared in schema"
        )
    return pruned


def shape_new(kind: Kind, body: Object, call: Call) -> Object:
    """A new object as it will be stored, but for its metadata."""
    obj = report_unknown(kind, body, call)
    if kind.has_status and "status" in obj and kind.resource.kind not in _STATUS_FROM_START:
        obj = {name: value for name, value in obj.items() if name != "status"}
    return _settle(kind, obj)


def initial(kind: Kind, obj: Object) -> Object:
    """A new object with the state that it starts with; its metadata must be complete."""
    return core_defaults.prepare_create(kind.resource, obj) if not kind.custom else obj


def shape(kind: Kind, old: Object, body: Object, subresource: str, call: Call) -> Object:
    """What is to replace ``old``."""
    obj = report_unknown(kind, body, call)
    return _settle(kind, isolate(kind, old, obj, subresource))


def _settle(kind: Kind, obj: Object) -> Object:
    """Defaults, and the check of all types that the rules behind this rely on."""
    obj = kind.schema.default(obj)
    problems = kind.schema.validate(obj, repeats=kind.resource == CUSTOM_RESOURCE_DEFINITIONS)
    if problems:
        name = obj["metadata"].get("name") or ""
        raise Invalid.of(kind.resource.kind, str(name), problems, kind.resource.group)
    return obj if kind.custom else _core_defaults(kind, obj)


def _core_defaults(kind: Kind, obj: Object) -> Object:
    if kind.resource != CUSTOM_RESOURCE_DEFINITIONS:
        return core_defaults.apply(kind.resource, obj)
    # Versions hold the schemas, which are large and have no defaults of this kind.
    spec = obj["spec"]
    filled = core_defaults.apply(kind.resource, {**obj, "spec": {**spec, "versions": []}})
    return {**filled, "spec": {**filled["spec"], "versions": spec["versions"]}}


def isolate(kind: Kind, old: Object, new: Object, subresource: str) -> Object:
    """The new object with everything that this request may not change as it was."""
    if subresource == "status":
        return _only(old, new, "status")
    if subresource == "finalize":
        finalizers = (new.get("spec") or {}).get("finalizers")
        spec = {k: v for k, v in (old.get("spec") or {}).items() if k != "finalizers"}
        if finalizers:
            spec["finalizers"] = finalizers
        return _only(old, {**new, "spec": spec}, "spec")
    if subresource == "binding":
        return new
    if kind.has_status:
        result = {name: value for name, value in new.items() if name != "status"}
        if "status" in old:
            result["status"] = old["status"]
        return result
    return new


def _only(old: Object, new: Object, name: str) -> Object:
    """``old`` with one field, and its bookkeeping, of ``new``."""
    result = {**old, "metadata": dict(old["metadata"])}
    if "managedFields" in new["metadata"]:
        result["metadata"]["managedFields"] = new["metadata"]["managedFields"]
    if name in new:
        result[name] = new[name]
    else:
        result.pop(name, None)
    return result


def validate(
    kind: Kind, obj: Object, old: Object | None, subresource: str = ""
) -> list[FieldError]:
    """What is wrong with an object whose types are right."""
    problems = core_validation.validate(kind.resource, obj, old, subresource=subresource)
    if kind.custom and not problems:
        problems += celrules.validate(kind, obj, old)
    return problems
