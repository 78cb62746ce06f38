"""From a lens to the structural schema of a CRD.

The struct's own members come from their annotations (:mod:`ome.api.fields`); an inlined Kubernetes
type contributes its fields as siblings, so that ``engine.nodeSelector`` stands beside
``engine.minReplicas``. Own fields are described; fields of Kubernetes' types are not, because their
texts would make a CRD larger than an API server takes.
"""

from __future__ import annotations

import typing
from typing import Any, Final

from ome.api.fields import Field, Format, Free, Kubernetes
from ome.api.lens import KubeObject, Lens, Member, members, strip
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object
from ome.apimachinery.structural import structural

_SHORT_NAMES: Final = {
    "Quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "IntOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
}
_OBJECT_FIELDS: Final[Object] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
}
_SCALARS: Final[dict[Any, str]] = {str: "string", int: "integer", bool: "boolean", float: "number"}


class Schemas:
    """Schemas of structs; each Kubernetes fragment is worked out once."""

    def __init__(self) -> None:
        self._fragments: dict[str, Object] = {}

    def struct(self, cls: type[Lens]) -> Object:
        """The schema of an object of that struct, with its description."""
        properties: Object = copy_json(_OBJECT_FIELDS) if issubclass(cls, KubeObject) else {}
        required: list[str] = []
        if cls.inline is not None:
            fragment = self._fragment(cls.inline.definition)
            wanted = cls.inline.only or fragment["properties"].keys()
            properties |= {n: fragment["properties"][n] for n in wanted}
            required += [
                n
                for n in fragment.get("required") or ()
                if n in properties and n not in cls.inline.optional
            ]
        for member in members(cls):
            if issubclass(cls, KubeObject) and member.name in _OBJECT_FIELDS:
                continue
            properties[member.name] = self._member(member)
            if member.required or _field(member.notes).required:
                required.append(member.name)
        out: Object = {"type": "object"}
        if text := _first_sentence(cls):
            out["description"] = text
        if properties:
            out["properties"] = dict(sorted(properties.items()))
        if required:
            out["required"] = sorted(set(required))
        return out

    def _member(self, member: Member) -> Object:
        facts = _field(member.notes)
        schema = self._value(member.type, member.notes)
        schema["description"] = facts.doc
        if facts.enum:
            schema["enum"] = list(facts.enum)
        if facts.default == "" and member.default not in (None, "", (), {}) and _plain(member):
            schema["default"] = member.default
        schema.update(copy_json(facts.schema))
        if schema.get("x-kubernetes-list-type") == "map":
            _require_keys(schema)
        return schema

    def _value(self, hint: Any, notes: tuple[Any, ...] = ()) -> Object:
        bare, more = strip(hint)
        notes += more
        fragment = next((n.definition for n in notes if isinstance(n, Kubernetes)), None)
        if any(isinstance(n, Free) for n in notes):
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        if fragment is not None:
            return copy_json(self._fragment(fragment))
        if isinstance(bare, type) and issubclass(bare, Lens):
            return self.struct(bare)
        origin, arguments = typing.get_origin(bare), typing.get_args(bare)
        if origin is tuple:
            return {"type": "array", "items": self._value(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._value(arguments[1])}
        if bare not in _SCALARS:
            raise TypeError(f"no schema for {bare!r}")
        out: Object = {"type": _SCALARS[bare]}
        if form := next((n.name for n in notes if isinstance(n, Format)), None):
            out["format"] = form
        return out

    def _fragment(self, definition: str) -> Object:
        name = _SHORT_NAMES.get(definition, definition)
        if name not in self._fragments:
            self._fragments[name] = structural(name)
        return self._fragments[name]


def _field(notes: tuple[Any, ...]) -> Field:
    return next((n for n in notes if isinstance(n, Field)), Field(""))


def _plain(member: Member) -> bool:
    return isinstance(member.default, str | int | bool)


def _first_sentence(cls: type[Lens]) -> str:
    return " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())


def _require_keys(array: Object) -> None:
    """The keys of a list map must be required or have a default."""
    items = array["items"] = dict(array["items"])
    missing = [
        key
        for key in array["x-kubernetes-list-map-keys"]
        if "default" not in items["properties"].get(key, {})
    ]
    if missing:
        items["required"] = sorted({*(items.get("required") or ()), *missing})
