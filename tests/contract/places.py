"""Every field of every kind at every place where it appears.

Contract places come from walking the contract's table (``tests/unit/api/contract.json``: 56 types,
272 fields) from each kind down. Newer places are those that the lenses have beside them. What an
embedded Kubernetes type brings in (a container's fields) is one place, called ``(Container)``;
fields of Kubernetes' and Knative's own types are not places: the place is the field that holds
them.

Paths are written ``spec.supportedModelFormats[].modelFormat.name``: ``[]`` for an item of a list,
``{}`` for a value of a map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ome.api import resources as o
from ome.api.crds import KINDS
from ome.api.lens import KubeObject, Lens, members
from ome.apimachinery.objects import Resource

TABLE: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "unit/api/contract.json").read_text()
)


@dataclass(frozen=True, order=True)
class Place:
    kind: str
    path: str
    type: str
    """The type that declares the field: of the contract, else the lens."""
    field: str
    newer: bool
    holds: bool
    """It only holds other places; its state is theirs."""

    @property
    def id(self) -> str:
        return f"{self.kind}.{self.path}"


@cache
def places() -> tuple[Place, ...]:
    """All of them, by kind in the order of the API, then by path."""
    found: list[Place] = []
    for resource in o.ALL:
        old = list(_contract(resource.kind)) if resource.kind in TABLE else []
        leaves = tuple(p.path for p in old if not p.holds)
        taken = {p.path for p in old}
        new = [
            place
            for place in _lenses(resource, KINDS[resource], "")
            if place.path not in taken and not _below(place.path, leaves)
        ]
        found += sorted(old + new, key=lambda p: p.path)
    return tuple(found)


def _below(path: str, leaves: tuple[str, ...]) -> bool:
    return any(path.startswith((f"{leaf}.", f"{leaf}[]", f"{leaf}{{}}")) for leaf in leaves)


def _contract(kind: str) -> Iterator[Place]:
    def walk(type_: str, path: str) -> Iterator[Place]:
        for name, declared in TABLE[type_]["fields"].items():
            go, _, embedded = declared.partition(" ")
            if embedded and go in TABLE:
                yield from walk(go, path)
                continue
            if embedded:
                short = go.rpartition(".")[2]
                yield Place(kind, f"{path}({short})", type_, name, False, False)
                continue
            item, mark = go, ""
            if go.startswith("[]"):
                item, mark = go[2:], "[]"
            elif go.startswith("map["):
                item, mark = go.partition("]")[2], "{}"
            here = f"{path}{name}"
            holds = bool(item in TABLE and TABLE[item]["fields"])
            yield Place(kind, here, type_, name, False, holds)
            if holds:
                yield from walk(item, f"{here}{mark}.")

    yield from walk(kind, "")


def _lenses(resource: Resource, cls: type[Lens], path: str) -> Iterator[Place]:
    for member in members(cls):
        if member.name == "metadata":
            continue
        here = f"{path}{member.name}"
        holds = member.shape != "leaf"
        yield Place(resource.kind, here, cls.__name__, member.name, True, holds)
        if holds:
            mark = {"list": "[]", "map": "{}"}.get(member.shape, "")
            yield from _lenses(resource, member.item, f"{here}{mark}.")
    if cls.inline is not None and not cls.inline.only and not issubclass(cls, KubeObject):
        short = cls.inline.definition.rpartition(".")[2]
        if short == "Container":
            yield Place(resource.kind, f"{path}(Container)", cls.__name__, short, True, False)


def contract_fields() -> dict[tuple[str, str], list[Place]]:
    """The contract's 272 fields, by type and name, with the places of each.

    The field of an embedded contract type has no place of its own: it stands for all of that
    type's fields below the same holder, which are listed instead.
    """
    found: dict[tuple[str, str], list[Place]] = {
        (type_, name): [] for type_, entry in TABLE.items() for name in entry["fields"]
    }
    old = [place for place in places() if not place.newer]
    for place in old:
        found[place.type, place.field].append(place)
    for (type_, name), mine in found.items():
        go, _, embedded = TABLE[type_]["fields"][name].partition(" ")
        if embedded and go in TABLE:
            mine += [place for place in old if place.type in (go, *_embedded_in(go))]
    return found


def _embedded_in(type_: str) -> list[str]:
    return [
        declared.partition(" ")[0]
        for declared in TABLE[type_]["fields"].values()
        if declared.endswith(" embedded")
    ]
