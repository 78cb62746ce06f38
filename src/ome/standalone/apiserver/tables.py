"""Tables: what ``kubectl get`` prints. The server decides the columns and their cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ome.apimachinery.objects import Object
from ome.standalone.apiserver import jsonpath, printers_core, printers_workloads
from ome.standalone.apiserver.durations import parse, since
from ome.standalone.apiserver.kinds import Column, Kind
from ome.standalone.apiserver.printing import Printer

_PRINTERS = {**printers_workloads.PRINTERS, **printers_core.PRINTERS}
_NAME = Column("Name", "string", ".metadata.name", "name")
_AGE = Column("Age", "string", ".metadata.creationTimestamp")


def printer_for(kind: Kind) -> Printer:
    if kind.custom:
        return Printer((_NAME, *kind.columns), lambda obj: _custom_cells(kind.columns, obj))
    found = _PRINTERS.get((kind.resource.group, kind.resource.kind))
    if found is not None:
        return found
    return Printer((_NAME, _AGE), _plain_cells)


def table(
    printer: Printer,
    objects: Sequence[Object],
    meta: Object,
    *,
    include: str = "",
    header: bool = True,
) -> Object:
    """A Table object. ``include`` is None, Metadata (the default) or Object."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [_definition(c) for c in printer.columns] if header else [],
        "rows": [_row(printer, obj, include) for obj in objects],
    }


def _row(printer: Printer, obj: Object, include: str) -> Object:
    row: Object = {"cells": printer.cells(obj)}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    return row


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description or f"{column.name} of the object.",
        "priority": column.priority,
    }


def _plain_cells(obj: Object) -> list[Any]:
    meta = obj["metadata"]
    return [meta["name"], since(meta.get("creationTimestamp"))]


def _custom_cells(columns: Sequence[Column], obj: Object) -> list[Any]:
    return [obj["metadata"]["name"], *(_cell(column, obj) for column in columns)]


def _cell(column: Column, obj: Object) -> Any:
    """A value in the column's type; None where there is nothing to show."""
    found = jsonpath.find(obj, column.path)
    if not found or found[0] is None:
        return None
    value = found[0]
    match column.type:
        case "date":
            return since(value) if parse(value) else "<invalid>"
        case "integer":
            return int(value) if _is_number(value) else None
        case "number":
            return float(value) if _is_number(value) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    return " ".join(_text(v) for v in found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
