"""Structural schemas of Kubernetes' own types, inlined for embedding in CRDs.

A CRD may not use ``$ref`` and must be *structural*: every node has a type, quantities and
int-or-strings are marked, and the keys of list maps are required or have a default. Metadata inside
(a pod template's, say) has the fields that make sense there. A type that contains itself ends in an
object that keeps unknown fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ome.apimachinery import definitions, quantity
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object

_KEPT: Final = (
    "type",
    "format",
    "enum",
    "default",
    "required",
    "nullable",
    "pattern",
    "minimum",
    "maximum",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
)
_INT_OR_STRING: Final[Object] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
_OPEN_OBJECT: Final[Object] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXT: Final[Object] = {"type": "string"}
_TEXT_MAP: Final[Object] = {"type": "object", "additionalProperties": _TEXT}
_METADATA: Final[Object] = {
    "type": "object",
    "properties": {
        "annotations": _TEXT_MAP,
        "finalizers": {"type": "array", "items": _TEXT},
        "labels": _TEXT_MAP,
        "name": _TEXT,
        "namespace": _TEXT,
    },
}


def structural(name: str, *, descriptions: bool = False) -> Object:
    """The definition ``name`` (``io.k8s.api.core.v1.PodSpec``) as one inlined structural schema.

    With descriptions a PodSpec is several times larger: too large for a CRD that embeds a few.
    """
    texts = definitions.descriptions() if descriptions else {}
    return _Inliner(texts).definition(name, ())


class _Inliner:
    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = texts

    def definition(self, name: str, above: tuple[str, ...]) -> Object:
        if name == definitions.QUANTITY:
            return {**copy_json(_INT_OR_STRING), "pattern": quantity.PATTERN}
        if name == definitions.INT_OR_STRING:
            return copy_json(_INT_OR_STRING)
        if name == definitions.OBJECT_META:
            return copy_json(_METADATA)
        if name in above:
            return copy_json(_OPEN_OBJECT)
        texts = self._texts.get(name) or {}
        return self._node(definitions.definition(name), texts, "", (*above, name))

    def _node(
        self, raw: Mapping[str, Any], texts: Mapping[str, str], path: str, above: tuple[str, ...]
    ) -> Object:
        reference = raw.get("$ref")
        if isinstance(reference, str):
            inlined = self.definition(reference.removeprefix(definitions.REF_PREFIX), above)
            siblings = {k: raw[k] for k in _KEPT if k in raw}
            return {**inlined, **siblings, **_description(texts, path)}
        out: Object = {k: raw[k] for k in _KEPT if k in raw} | _description(texts, path)
        if out.get("x-kubernetes-preserve-unknown-fields") and "type" in out:
            out["type"] = "object"
        if "properties" in raw:
            out["properties"] = {
                n: self._node(p, texts, f"{path}.{n}".lstrip("."), above)
                for n, p in raw["properties"].items()
            }
        if "items" in raw:
            out["items"] = self._node(raw["items"], texts, path + "[]", above)
            _require_keys(out)
        if isinstance(raw.get("additionalProperties"), Mapping):
            inner = self._node(raw["additionalProperties"], texts, path + "{}", above)
            out["additionalProperties"] = inner
        return out


def _description(texts: Mapping[str, str], path: str) -> Object:
    return {"description": texts[path]} if path in texts else {}


def _require_keys(array: Object) -> None:
    """Makes each list-map key required unless it has a default, as the API server demands."""
    if array.get("x-kubernetes-list-type") != "map":
        return
    items = array["items"]
    missing = {
        key
        for key in array["x-kubernetes-list-map-keys"]
        if key not in (items.get("required") or ()) and "default" not in items["properties"][key]
    }
    if missing:
        items["required"] = sorted({*(items.get("required") or ()), *missing})
