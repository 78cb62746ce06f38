"""Selectors of a request, and the part of an object that they can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object, metadata
from ome.apimachinery.selectors import (
    FieldSelector,
    LabelSelector,
    parse_field_selector,
    parse_label_selector,
)
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.store import Entry

_ALWAYS = ("metadata.name", "metadata.namespace")


class _Meta(msgspec.Struct, gc=False):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct, gc=False):
    metadata: _Meta


_decode_labels = msgspec.json.Decoder(_Labelled).decode
_decode_any = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a list or watch wants."""

    kind: Kind
    namespace: str
    labels: LabelSelector
    fields: FieldSelector

    @classmethod
    def parse(cls, kind: Kind, namespace: str, labels: str, fields: str) -> Selection:
        selector = parse_field_selector(fields)
        for requirement in selector.requirements:
            if requirement.path not in _ALWAYS and requirement.path not in kind.selectable:
                raise BadRequest(
                    f'field label not supported: "{requirement.path}"; {kind.resource} can be '
                    f"selected by {', '.join((*_ALWAYS, *kind.selectable))}"
                )
        return cls(kind, namespace, parse_label_selector(labels), selector)

    @property
    def everything(self) -> bool:
        return self.labels.everything and not self.fields.requirements

    @property
    def exact_name(self) -> str | None:
        return self.fields.exact("metadata.name")

    def in_scope(self, entry: Entry) -> bool:
        return not self.namespace or entry.namespace == self.namespace

    def matches(self, entry: Entry) -> bool:
        """Whether selectors let a state through (the namespace is not looked at)."""
        name = self.exact_name
        if name is not None and entry.name != name:
            return False
        if not self.labels.everything and not self.labels.matches(
            _decode_labels(entry.data).metadata.labels or {}
        ):
            return False
        return not self.fields.requirements or self.fields.matches(_decode_any(entry.data))

    def matches_part(self, part: bytes) -> bool:
        """Like :meth:`matches`, for what :func:`selectable` kept of an object."""
        obj: Object = _decode_any(part)
        return self.labels.matches(metadata(obj).get("labels") or {}) and self.fields.matches(obj)


def as_selected(entry: Entry, part: bytes) -> Entry:
    """An object that no longer matches, with what it matched by: labels and fields as they were.
    A client files what it deletes by these."""
    obj: Object = _overlaid(_decode_any(entry.data), _decode_any(part))
    obj["metadata"]["labels"] = _decode_any(part)["metadata"]["labels"]
    return Entry(entry.namespace, entry.name, entry.rv, msgspec.json.encode(obj))


def _overlaid(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: _overlaid(below.get(key), value) for key, value in above.items()}}


def selectable(kind: Kind, obj: Object) -> Object:
    """The part of an object that decides whether a selector matches it."""
    meta = metadata(obj)
    part: Object = {
        "metadata": {
            "name": meta.get("name"),
            "namespace": meta.get("namespace") or "",
            "labels": meta.get("labels") or {},
        }
    }
    for path in kind.selectable:
        *parents, last = path.split(".")
        source: Any = obj
        for step in parents:
            source = source.get(step) if isinstance(source, dict) else None
        if not isinstance(source, dict) or last not in source:
            continue
        target = part
        for step in parents:
            target = target.setdefault(step, {})
        target[last] = source[last]
    return part
