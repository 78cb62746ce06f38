"""Failures in the words that kubectl and client libraries know from Kubernetes."""

from __future__ import annotations

from ome.apimachinery.errors import AlreadyExists, Conflict, FieldError, Forbidden, Invalid
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.kinds import Kind


def _details(kind: Kind, name: str) -> Object:
    details: Object = {"name": name, "kind": kind.resource.plural}
    if kind.resource.group:
        details["group"] = kind.resource.group
    return details


def already_exists(kind: Kind, name: str) -> AlreadyExists:
    return AlreadyExists(f'{kind.resource} "{name}" already exists', details=_details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Conflict:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try "
        "again"
    )
    return Conflict(
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        details=_details(kind, name),
    )


def name_required(kind: Kind) -> Invalid:
    problem = FieldError(
        "metadata.name",
        "Required value: name or generateName is required",
        "FieldValueRequired",
    )
    return Invalid.of(kind.resource.kind, "", [problem], kind.resource.group)


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
