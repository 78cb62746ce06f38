"""What the printers of built-in kinds share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.objects import Object
from ome.apimachinery.selectors import from_labels, label_selector
from ome.standalone.apiserver.durations import since
from ome.standalone.apiserver.kinds import Column

NONE = "<none>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Printer:
    columns: tuple[Column, ...]
    cells: Callable[[Object], list[Any]]


def columns(text: str) -> tuple[Column, ...]:
    """Columns from names separated by ``|``: the first is the object's name, those after ``||``
    are shown with ``-o wide`` only, and ``#`` ends the name of one that holds numbers."""
    shown, _, wide = text.partition("||")
    made = []
    for priority, names in ((0, shown), (1, wide)):
        for name in filter(None, (n.strip() for n in names.split("|"))):
            type_ = "integer" if name.endswith("#") else "string"
            format_ = "name" if name == "Name" else ""
            made.append(Column(name.rstrip("#"), type_, "", format_, "", priority))
    return tuple(made)


def name_and_age(obj: Object) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta["name"], since(meta.get("creationTimestamp"))


def joined(values: Iterable[Any], empty: str = NONE) -> str:
    return ",".join(str(v) for v in values) or empty


def selector_text(selector: Object | None) -> str:
    return str(label_selector(selector)) or NONE if selector is not None else NONE


def labels_text(labels: Object | None) -> str:
    return str(from_labels(labels)) or NONE if labels else NONE


def parts(obj: Object) -> tuple[Object, Object]:
    return obj.get("spec") or {}, obj.get("status") or {}
