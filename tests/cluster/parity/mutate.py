"""Objects broken in one place: what a person gets wrong in a manifest, made by a seeded generator.

Every mutation takes a place in a real manifest for which the schema says something, and spoils it.
Some are harmless on purpose (a null for an optional field, a number spelled as a float): the two
servers must agree on those too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.jsonvalues import copy_json

Object = dict[str, Any]
Path = tuple[str | int, ...]
_WRONG: tuple[Any, ...] = (
    "text",
    "",
    7,
    -1,
    3.5,
    2.0,
    True,
    None,
    [],
    {},
    ["x"],
    {"x": "y"},
    [None],
)
_QUANTITIES = (
    "much",
    "1 Gi",
    "-5",
    "1e3",
    "1.5Gi",
    "0x10",
    "10gb",
    "1Ki5",
    ".5",
    "5.",
    "١",
    "1e999",
)
_TEXTS = ("a b", "UPPER", "x" * 300, "\u0000", "☃", "-", "..", "{{", "a/b/c", "\n")


@dataclass(frozen=True)
class Broken:
    what: str
    object: Object


@dataclass(frozen=True)
class _Place:
    path: Path
    value: Any
    schema: Object


def variants(obj: Object, schema: Object, seed: int, count: int) -> list[Broken]:
    """``count`` broken copies of an object whose kind has this ``openAPIV3Schema``."""
    chance = random.Random(seed)
    places = [p for p in _places(obj, schema, ()) if p.path and p.path[0] in ("spec", "metadata")]
    return [_broken(obj, chance.choice(places), chance) for _ in range(count)]


def _places(value: Any, schema: Object, path: Path) -> Iterator[_Place]:
    yield _Place(path, value, schema)
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        free = schema.get("additionalProperties")
        for name, inner in value.items():
            child = known.get(name) or (free if isinstance(free, dict) else None)
            if path == () and name == "metadata":
                child = _METADATA
            if child is not None:
                yield from _places(inner, child, (*path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, inner in enumerate(value):
            yield from _places(inner, schema["items"], (*path, index))


_TEXT_MAP: Object = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Object = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "labels": _TEXT_MAP, "annotations": _TEXT_MAP},
}


def _broken(obj: Object, place: _Place, chance: random.Random) -> Broken:
    """One mutation that makes sense at this place."""
    options: list[Callable[[_Place, random.Random], tuple[str, Any]]] = [_wrong_type]
    if isinstance(place.value, dict):
        options += [_unknown, _without_required, _extra_of_odd_type]
    if isinstance(place.value, list) and place.value:
        options += [_twice, _null_item]
    if place.schema.get("enum"):
        options += [_bad_enum] * 3
    if place.schema.get("x-kubernetes-int-or-string"):
        options += [_bad_quantity] * 3
    if isinstance(place.value, str):
        options.append(_odd_text)
    if isinstance(place.value, int) and not isinstance(place.value, bool):
        options.append(_odd_number)
    what, value = chance.choice(options)(place, chance)
    where = ".".join(str(step) for step in place.path)
    return Broken(f"{what} at {where}: {value!r:.80}", _with(obj, place.path, value))


def _wrong_type(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "another type", chance.choice(_WRONG)


def _unknown(place: _Place, chance: random.Random) -> tuple[str, Any]:
    name = chance.choice(("unknown", "specs", "Name", "x-y"))
    return "an unknown field", {**place.value, name: chance.choice(_WRONG)}


def _without_required(place: _Place, chance: random.Random) -> tuple[str, Any]:
    names = sorted(set(place.schema.get("required") or place.value) & set(place.value))
    gone = chance.choice(names) if names else None
    return "a missing field", {k: v for k, v in place.value.items() if k != gone}


def _extra_of_odd_type(place: _Place, chance: random.Random) -> tuple[str, Any]:
    """A field that the manifest does not use, with a value that may not fit it."""
    unused = sorted(set(place.schema.get("properties") or ()) - set(place.value))
    if not unused:
        return _wrong_type(place, chance)
    return "an odd field", {**place.value, chance.choice(unused): chance.choice(_WRONG)}


def _twice(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "an item twice", [*place.value, chance.choice(place.value)]


def _null_item(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "an empty item", [*place.value, chance.choice((None, {}, "", 0))]


def _bad_enum(place: _Place, chance: random.Random) -> tuple[str, Any]:
    good = str(chance.choice(place.schema["enum"]))
    return "out of the enumeration", chance.choice((good.lower(), good + "s", "nonsense", ""))


def _bad_quantity(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "a quantity", chance.choice(_QUANTITIES)


def _odd_text(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "an odd text", chance.choice(_TEXTS)


def _odd_number(place: _Place, chance: random.Random) -> tuple[str, Any]:
    return "an odd number", chance.choice((-1, 0, 2**31, 2**63 - 1, 2**63, 1e30, 2.0, 2.5))


def _with(obj: Any, path: Path, value: Any) -> Any:
    copy = copy_json(obj)
    node = copy
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return copy
