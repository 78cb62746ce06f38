"""OpenAPI v3 documents of a group version, as ``/openapi/v3/apis/<group>/<version>`` serves them.

kubectl reads three things from them: the schemas (``kubectl explain``), the kinds
(``x-kubernetes-group-version-kind`` of schemas and operations), and whether the PATCH operation of
a kind knows ``fieldValidation`` and ``dryRun`` (then it leaves validation to the server).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ome.apimachinery import definitions
from ome.apimachinery.objects import Object, Resource

_REF: Final = "$ref"
_PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
)
_STRATEGIC: Final = "application/strategic-merge-patch+json"
"""Only for Kubernetes' own kinds: kubectl sends it to every kind whose document names it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A kind in a document. ``crd_schema`` is the ``openAPIV3Schema`` of a custom resource and
    None for Kubernetes' own kinds."""

    resource: Resource
    crd_schema: Mapping[str, Any] | None = None
    subresources: Sequence[str] = ()
    verbs: Sequence[str] = ("create", "delete", "get", "list", "patch", "update", "watch")


def document(group: str, version: str, kinds: Iterable[Served], *, title: str = "OME") -> Object:
    """The whole document for one group version."""
    served = list(kinds)
    schemas: Object = {}
    roots = [definitions.OBJECT_META, definitions.STATUS, definitions.DELETE_OPTIONS]
    for kind in served:
        name = component_name(kind.resource)
        if kind.crd_schema is not None:
            schemas[name] = _custom(kind.resource, kind.crd_schema)
        elif name in definitions.names():
            roots.append(name)
    schemas.update(components(*roots))
    paths: Object = {}
    for kind in served:
        paths.update(_paths(kind))
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": f"{group}/{version}".strip("/")},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def component_name(resource: Resource) -> str:
    """What the schema of a kind is called: Kubernetes' own name, else the reversed group."""
    if definitions.knows(resource):
        return definitions.name_of(resource)
    reversed_group = ".".join(reversed(resource.group.split(".")))
    return f"{reversed_group}.{resource.version}.{resource.kind}"


def components(*roots: str, descriptions: bool = True) -> Object:
    """The component schemas of the definitions ``roots`` and of everything they need."""
    texts = definitions.descriptions() if descriptions else {}
    return {name: _component(name, texts.get(name) or {}) for name in definitions.reachable(*roots)}


def _component(name: str, texts: Mapping[str, str]) -> Object:
    about = {"description": texts[""]} if "" in texts else {}
    if name == definitions.QUANTITY:
        return {"oneOf": [{"type": "string"}, {"type": "number"}], **about}
    if name == definitions.INT_OR_STRING:
        options = [{"type": "integer"}, {"type": "string"}]
        return {"oneOf": options, "format": "int-or-string", **about}
    return _described(definitions.definition(name), texts, "")


def _described(raw: Mapping[str, Any], texts: Mapping[str, str], path: str) -> Object:
    out: Object = {
        k: v
        for k, v in raw.items()
        if k not in (_REF, "properties", "items", "x-kubernetes-preserve-unknown-fields")
    }
    if path in texts:
        out["description"] = texts[path]
    reference = raw.get(_REF)
    if isinstance(reference, str):
        # Beside a $ref, OpenAPI ignores everything else.
        return {**out, "allOf": [{_REF: reference}]} if out else {_REF: reference}
    if "properties" in raw:
        out["properties"] = {
            name: _described(inner, texts, f"{path}.{name}".lstrip("."))
            for name, inner in raw["properties"].items()
        }
    if "items" in raw:
        out["items"] = _described(raw["items"], texts, path + "[]")
    if isinstance(raw.get("additionalProperties"), Mapping):
        out["additionalProperties"] = _described(raw["additionalProperties"], texts, path + "{}")
    return out


def _custom(resource: Resource, schema: Mapping[str, Any]) -> Object:
    """A custom resource's schema with the members that every object has."""
    text = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    meta = {
        "apiVersion": {"type": "string", "description": f"APIVersion of the object. See {text}"},
        "kind": {"type": "string", "description": f"Kind of the object. See {text}"},
        "metadata": {
            "allOf": [{_REF: definitions.REF_PREFIX + definitions.OBJECT_META}],
            "description": "Standard object metadata.",
        },
    }
    return {
        **schema,
        "properties": {**(schema.get("properties") or {}), **meta},
        "x-kubernetes-group-version-kind": [_gvk(resource)],
    }


def _gvk(resource: Resource) -> Object:
    return {"group": resource.group, "kind": resource.kind, "version": resource.version}


def _paths(kind: Served) -> Object:
    resource = kind.resource
    namespace = "{namespace}" if resource.namespaced else ""
    out: Object = {
        resource.path(namespace): _operations(kind, {"post": "create", "get": "list"}, name=False),
        resource.path(namespace, "{name}"): _operations(
            kind,
            {"get": "get", "put": "update", "patch": "patch", "delete": "delete"},
            name=True,
        ),
    }
    if resource.namespaced:
        out[resource.path()] = _operations(kind, {"get": "list"}, name=False, namespaced=False)
    for subresource in kind.subresources:
        out[resource.path(namespace, "{name}", subresource)] = _operations(
            kind, {"get": "get", "put": "update", "patch": "patch"}, name=True
        )
    return {path: item for path, item in out.items() if item}


def _operations(
    kind: Served, methods: Mapping[str, str], *, name: bool, namespaced: bool = True
) -> Object:
    in_path = [*(("name",) if name else ()), *(("namespace",) if namespaced else ())]
    if not kind.resource.namespaced:
        in_path = [p for p in in_path if p != "namespace"]
    out: Object = {
        method: _operation(kind, method, action)
        for method, action in methods.items()
        if action in kind.verbs
    }
    if out and in_path:
        out["parameters"] = [
            {"name": p, "in": "path", "required": True, "schema": {"type": "string"}}
            for p in in_path
        ]
    return out


def _operation(kind: Served, method: str, action: str) -> Object:
    reference = {_REF: definitions.REF_PREFIX + component_name(kind.resource)}
    out: Object = {
        "operationId": f"{action}{kind.resource.version.capitalize()}{kind.resource.kind}",
        "responses": {"200": {"description": "OK", "content": {
            "application/json": {"schema": reference}}}},
        "x-kubernetes-action": "post" if action == "create" else action,
        "x-kubernetes-group-version-kind": _gvk(kind.resource),
    }  # fmt: skip
    if method in ("post", "put", "patch"):
        own = () if kind.crd_schema is not None else (_STRATEGIC,)
        types = (*_PATCH_TYPES, *own) if method == "patch" else ("application/json",)
        schema = {"type": "object"} if method == "patch" else reference
        out["requestBody"] = {"required": True, "content": {t: {"schema": schema} for t in types}}
        names = ["dryRun", "fieldManager", "fieldValidation", "pretty"]
        out["parameters"] = [_query(n) for n in names]
        if method == "patch":
            out["parameters"].append(_query("force", "boolean"))
    elif method == "delete":
        names = ["dryRun", "gracePeriodSeconds", "propagationPolicy"]
        out["parameters"] = [_query(n) for n in names]
    return out


def _query(name: str, type_: str = "string") -> Object:
    return {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
