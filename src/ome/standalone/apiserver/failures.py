"""Failures in the words that kubectl and client libraries know from Kubernetes."""

from __future__ import annotations

from collections.abc import Sequence

from ome.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
)
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.kinds import Kind


class StrictDecoding(BadRequest):
    """A body has fields that its kind does not know, and the client wants to be told."""


def _details(kind: Kind, name: str) -> Object:
    details: Object = {"name": name, "kind": kind.resource.plural}
    if kind.resource.group:
        details["group"] = kind.resource.group
    return details


def already_exists(kind: Kind, name: str) -> AlreadyExists:
    return AlreadyExists(f'{kind.resource} "{name}" already exists', details=_details(kind, name))


def conflict(kind: Kind, name: str, why: str = "", subresource: str = "") -> Conflict:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try "
        "again"
    )
    details = _details(kind, name)
    below = f"/{subresource}" if subresource else ""
    details["kind"] += below
    return Conflict(
        f'Operation cannot be fulfilled on {kind.resource}{below} "{name}": {why}',
        details=details,
    )


def precondition(kind: Kind, name: str, why: str) -> Conflict:
    """What a deletion was asked to check does not hold. Kubernetes names the kind here."""
    group, what = kind.resource.group, kind.resource.kind
    return Conflict(
        f'Operation cannot be fulfilled on {what}{"." if group else ""}{group} "{name}": {why}',
        details={**_details(kind, name), "kind": what},
    )


def name_required(kind: Kind) -> Invalid:
    problem = FieldError(
        "metadata.name",
        "Required value: name or generateName is required",
        "FieldValueRequired",
    )
    return Invalid.of(kind.resource.kind, "", [problem], kind.resource.group)


def namespace_protected(kind: Kind, name: str) -> Forbidden:
    return Forbidden(
        f'{kind.resource} "{name}" is forbidden: this namespace may not be deleted',
        details=_details(kind, name),
    )


def bad_option(
    options: str, field: str, message: str, reason: str = "FieldValueForbidden"
) -> Invalid:
    """A parameter that makes no sense. ``options`` is the kind that stands for the parameters of
    this verb, such as ``ListOptions``."""
    return Invalid.of(options, "", [FieldError(field, message, reason)], "meta.k8s.io")


def unsupported_option(options: str, field: str, value: str, supported: Sequence[str]) -> Invalid:
    listed = ", ".join(f'"{one}"' for one in supported)
    text = f'Unsupported value: "{value[:40]}": supported values: {listed}'
    return bad_option(options, field, text, "FieldValueNotSupported")


def namespace_terminating(kind: Kind, name: str, namespace: str) -> Forbidden:
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return Forbidden(
        f'{kind.resource} "{name}" is forbidden: unable to create new content in namespace '
        f"{namespace} because it is being terminated",
        details={**_details(kind, name), "causes": [cause]},
    )
