"""The schemas of Kubernetes' own kinds, from definitions vendored by ``tools/vendor_definitions``.

Loading keeps every definition as the bytes it came in; a definition is decoded when a schema first
needs it. Descriptions are in a second file that only the OpenAPI documents read, and which is not
kept.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib import resources as package_files
from typing import Any, Final

import msgspec

from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.schema import Schema

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META: Final = META + "ObjectMeta"
STATUS: Final = META + "Status"
DELETE_OPTIONS: Final = META + "DeleteOptions"
QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
REF_PREFIX: Final = "#/components/schemas/"


class _File(msgspec.Struct):
    origin: str
    kinds: dict[str, str]
    definitions: dict[str, msgspec.Raw]


@cache
def _file() -> _File:
    return msgspec.json.decode(_unpacked("_definitions.json.gz"), type=_File)


def _unpacked(name: str) -> bytes:
    return gzip.decompress(package_files.files(__package__).joinpath(name).read_bytes())


def origin() -> str:
    """Which Kubernetes version the definitions are from."""
    return _file().origin


def names() -> list[str]:
    """The names of all definitions, sorted."""
    return sorted(_file().definitions)


def definition(name: str) -> Object:
    """A definition in OpenAPI form; ``$ref`` points into ``#/components/schemas/``. ``KeyError``
    if it is unknown."""
    decoded: Object = msgspec.json.decode(_file().definitions[name])
    return decoded


@cache
def resolve(name: str) -> Schema:
    """The schema of a definition, for example ``io.k8s.api.core.v1.PodSpec``."""
    return Schema(definition(name), resolve, core=True)


def name_of(kind: Resource | str) -> str:
    """The definition of a kind: a ``Resource``, ``apps/v1/Deployment``, or a kind's plain name
    where it is unique (``Pod``). ``KeyError`` if it is unknown."""
    kinds = _file().kinds
    if isinstance(kind, Resource):
        return kinds[f"{kind.api_version}/{kind.kind}"]
    if kind in kinds:
        return kinds[kind]
    found = {name for gvk, name in kinds.items() if gvk.rpartition("/")[2] == kind}
    if len(found) != 1:
        raise KeyError(kind)
    return found.pop()


def knows(resource: Resource) -> bool:
    """Whether this is one of Kubernetes' own kinds that the definitions cover."""
    return f"{resource.api_version}/{resource.kind}" in _file().kinds


def schema_for(kind: Resource | str) -> Schema:
    """The schema of one of Kubernetes' own kinds; see :func:`name_of` for how to name it."""
    return resolve(name_of(kind))


def descriptions() -> Mapping[str, Mapping[str, str]]:
    """Texts by definition and path inside it (empty path: the definition's own). Not cached: read
    it once, use it, let it go."""
    decoded: dict[str, dict[str, str]] = msgspec.json.decode(_unpacked("_descriptions.json.gz"))
    return decoded


def references(node: Any) -> set[str]:
    """Names of the definitions that a node refers to directly."""
    found: set[str] = set()
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):  # JSONSchemaProps has a *property* called $ref
            found.add(reference.removeprefix(REF_PREFIX))
        for inner in node.values():
            found |= references(inner)
    elif isinstance(node, list):
        for inner in node:
            found |= references(inner)
    return found


def reachable(*roots: str) -> list[str]:
    """The roots and all definitions they need, sorted."""
    seen: set[str] = set()
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += references(definition(name))
    return sorted(seen)
