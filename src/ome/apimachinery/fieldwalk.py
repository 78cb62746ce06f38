"""Walking objects by their schema: which fields they have, how two differ, merging, removing.

The schema says how a value is divided. Objects are granular (each member is a field of its own)
unless ``x-kubernetes-map-type: atomic``; lists are atomic unless their list type is ``map`` (an
item is found by its key fields) or ``set`` (an item is its value). Where nothing is known, objects
are granular and lists atomic.

No function changes its arguments, and what is unchanged is shared with them: ``merge`` and
``remove`` return the live value *itself* where nothing changes, and ``compare`` skips what is
shared. That makes applying an unchanged configuration cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, Final

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.fieldsets import DOT, Tree, is_member, member, union
from ome.apimachinery.jsonvalues import compact, json_equal
from ome.apimachinery.objects import Object
from ome.apimachinery.schema import DEDUCED, Schema

_MISSING: Final = object()
_NOTHING: Final[Tree] = {}

ZERO_STRUCTS: Final = frozenset(
    {
        "containers",
        "metadata",
        "resources",
        "scaleTargetRef",
        "spec",
        "status",
        "strategy",
        "template",
        "updateStrategy",
    }
)
"""Members of Kubernetes' own kinds that exist, empty, before anybody writes them (in Go they are
structs, not pointers). Nobody adds them, so nobody owns them."""


def granular(schema: Schema, value: Any) -> bool:
    """Whether the value's parts are fields of their own."""
    if isinstance(value, dict):
        return schema.granular_map
    return isinstance(value, list) and schema.granular_list


def item_element(schema: Schema, item: Any, path: str = "") -> str:
    """The path element of an item of a granular list."""
    if schema.list_type == "set":
        if isinstance(item, str):
            return "v:" + encode_basestring(item)
        return "v:" + compact(item)
    keys = schema.map_keys
    if not isinstance(item, dict):
        raise BadRequest(f"{path or 'list'}: items must be objects with {', '.join(keys)}")
    if len(keys) == 1:
        value = item.get(keys[0])
        if isinstance(value, str):
            return f'k:{{"{keys[0]}":{encode_basestring(value)}}}'
    defaults = schema.key_defaults
    found = {k: item[k] if k in item else defaults.get(k) for k in keys}
    present = {k: v for k, v in found.items() if v is not None}
    if not present:
        raise BadRequest(
            f"{path or 'list'}: associative list with keys has an element that omits all of its"
            f" key fields: {', '.join(keys)}"
        )
    return "k:" + compact(present)


def index_items(schema: Schema, items: list[Any], path: str = "") -> dict[str, Any]:
    """Items by path element. Of items with one key, the first stands for all."""
    found: dict[str, Any] = {}
    for item in items:
        found.setdefault(item_element(schema, item, path), item)
    return found


def fields_of(schema: Schema, value: Object, path: str = "") -> Tree:
    """The set of fields that a configuration states.

    Leaves and items are in it. An object or list is in it only where it is empty or where it is a
    free member of a map: its contents stand for it otherwise.
    """
    out: Tree = {}
    for name, inner in value.items():
        if not isinstance(inner, dict | list):
            out["f:" + name] = {}
            continue
        child = schema.child(name) or DEDUCED
        if isinstance(inner, list) and not inner and granular(child, inner):
            continue  # no item is stated, and the list itself belongs to nobody
        if not inner or not granular(child, inner):
            out["f:" + name] = {}
            continue
        declared = name in schema.properties or (schema.embedded and name == "metadata")
        inner_path = f"{path}.{name}"
        below = (
            fields_of(child, inner, inner_path)
            if isinstance(inner, dict)
            else _fields_of_items(child, inner, inner_path)
        )
        if not declared:
            out["f:" + name] = member(below)
        elif below:
            out["f:" + name] = below
    return out


def _fields_of_items(schema: Schema, items: list[Any], path: str) -> Tree:
    out: Tree = {}
    for item in items:
        element = item_element(schema, item, path)
        if element in out:
            raise BadRequest(f"{path}: duplicate entries for key {element[2:]}")
        below = fields_of(schema.items, item, path) if granular(schema.items, item) else {}
        out[element] = member(below)
    return out


def all_fields(schema: Schema, value: Any) -> Tree:
    """The node of a value that came or went as a whole: it and everything below is in the set."""
    if not value or not granular(schema, value):
        return {}
    out: Tree = {DOT: {}}
    if isinstance(value, dict):
        for name, inner in value.items():
            out["f:" + name] = (
                all_fields(schema.child(name) or DEDUCED, inner)
                if isinstance(inner, dict | list)
                else {}
            )
    else:
        for item in value:
            out[item_element(schema, item)] = all_fields(schema.items, item)
    return out


def compare(schema: Schema, old: Object, new: Object, *, zero: bool = False) -> tuple[Tree, Tree]:
    """Fields that ``new`` added or changed, and fields that it no longer has.

    With ``zero``, members of :data:`ZERO_STRUCTS` that ``old`` lacks count as there and empty.
    """
    changed: Tree = {}
    removed: Tree = {}
    for name, was in old.items():
        if name not in new:
            removed["f:" + name] = all_fields(schema.child(name) or DEDUCED, was)
    for name, now in new.items():
        was = old.get(name, _MISSING)
        if was is now:
            continue
        inner_zero = zero and name in ZERO_STRUCTS
        if was is _MISSING:
            if not inner_zero:
                child = schema.child(name) or DEDUCED
                changed["f:" + name] = all_fields(child, now)
                continue
            was = [] if isinstance(now, list) else {}
        _compare_value(schema, name, was, now, changed, removed, zero=inner_zero)
    return changed, removed


def _compare_value(
    schema: Schema,
    name: str,
    was: Any,
    now: Any,
    changed: Tree,
    removed: Tree,
    *,
    zero: bool,
) -> None:
    element = "f:" + name
    if not isinstance(now, dict | list) and not isinstance(was, dict | list):
        if not json_equal(was, now):
            changed[element] = {}
        return
    child = schema.child(name) or DEDUCED
    more, less, leaf = _compare_parts(child, was, now, zero=zero)
    if leaf:
        changed[element] = member(more)
    elif more:
        changed[element] = more
    if less:
        removed[element] = less


def _compare_parts(schema: Schema, was: Any, now: Any, *, zero: bool) -> tuple[Tree, Tree, bool]:
    """Changed and removed fields inside two values, and whether the value changed as a whole."""
    both = granular(schema, was) and granular(schema, now) and isinstance(was, type(now))
    if not both or (not was and not now):
        return _NOTHING, _NOTHING, not json_equal(was, now)
    if isinstance(now, dict):
        return *compare(schema, was, now, zero=zero), False
    return *_compare_items(schema, was, now), False


def _compare_items(schema: Schema, old: list[Any], new: list[Any]) -> tuple[Tree, Tree]:
    before, after = index_items(schema, old), index_items(schema, new)
    changed: Tree = {}
    removed: Tree = {e: all_fields(schema.items, i) for e, i in before.items() if e not in after}
    for element, item in after.items():
        if element not in before:
            changed[element] = all_fields(schema.items, item)
        elif before[element] is not item:
            more, less, leaf = _compare_parts(schema.items, before[element], item, zero=False)
            if leaf:
                changed[element] = member(more)
            elif more:
                changed[element] = more
            if less:
                removed[element] = less
    return changed, removed


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """The live value with the configuration merged over it."""
    if isinstance(config, dict):
        if isinstance(live, dict) and granular(schema, config):
            return _merge_objects(schema, live, config)
    elif isinstance(config, list) and isinstance(live, list) and granular(schema, config):
        return _merge_items(schema, live, config)
    return live if json_equal(live, config) else config


def _merge_objects(schema: Schema, live: Object, config: Object) -> Object:
    out = live
    for name, wanted in config.items():
        current = live.get(name, _MISSING)
        if isinstance(wanted, dict | list):
            if current is not _MISSING:
                wanted = merge(schema.child(name) or DEDUCED, current, wanted)
        elif current is not _MISSING and json_equal(current, wanted):
            continue
        if wanted is not current:
            if out is live:
                out = dict(live)
            out[name] = wanted
    return out


def _merge_items(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Items of both. The configuration's items stand in its order; an item that only the live list
    has stays before the item that it preceded."""
    elements = [item_element(schema, item) for item in live]
    wanted = [item_element(schema, item) for item in config]
    if elements == wanted:
        items = schema.items
        same = [merge(items, a, b) for a, b in zip(live, config, strict=True)]
        return live if all(a is b for a, b in zip(same, live, strict=True)) else same
    present: dict[str, Any] = {}
    for element, item in zip(elements, live, strict=True):
        present.setdefault(element, item)
    merged: dict[str, Any] = {
        element: merge(schema.items, present[element], item) if element in present else item
        for element, item in zip(wanted, config, strict=True)
    }
    out = []
    spare = iter(zip(elements, live, strict=True))
    for element in _merged_order(elements, list(merged), present):
        if element in merged:
            out.append(merged[element])
        else:  # duplicates of live items keep their own values
            out.append(next(item for found, item in spare if found == element))
    unchanged = len(out) == len(live) and all(a is b for a, b in zip(out, live, strict=True))
    return live if unchanged else out


def _merged_order(live: list[str], wanted: list[str], present: Mapping[str, Any]) -> list[str]:
    in_config = set(wanted)
    shared = iter([e for e in wanted if e in present])
    next_shared = next(shared, None)
    out: list[str] = []
    done: set[str] = set()
    left = right = 0
    while left < len(live) or right < len(wanted):
        if left < len(live):
            element = live[left]
            if element not in in_config:
                out.append(element)
                left += 1
                continue
            if element in done or element != next_shared:
                left += 1  # it stands where the configuration puts it
                continue
        element = wanted[right]
        out.append(element)
        done.add(element)
        right += 1
        if element == next_shared:
            next_shared = next(shared, None)
    return out


def remove(schema: Schema, value: Any, last: Tree, managed: Tree) -> Any:
    """The value without the fields of ``last`` that are in no way in ``managed``.

    A field of a fixed structure goes when nobody manages it or anything in it. An item of a list,
    or a free member of a map, goes when nobody else owns the item as such: to own one field inside
    it does not keep it. Otherwise, what others manage and what ``last`` never had stays.
    """
    if isinstance(value, dict):
        return _remove_members(schema, value, last, managed)
    if isinstance(value, list):
        return _remove_items(schema, value, last, managed)
    return value


def _remove_members(schema: Schema, value: Object, last: Tree, managed: Tree) -> Object:
    out = value
    for element, was in last.items():
        name = element[2:]
        if not element.startswith("f:") or name not in value:
            continue
        kept = managed.get(element)
        declared = name in schema.properties
        if kept is None if declared else _disowned(was, kept):
            out = dict(value) if out is value else out
            del out[name]
            continue
        if kept == was:
            continue
        new = remove(schema.child(name) or DEDUCED, value[name], was, kept or _NOTHING)
        if new is not value[name]:
            out = dict(value) if out is value else out
            out[name] = new
    return out


def _remove_items(schema: Schema, value: list[Any], last: Tree, managed: Tree) -> list[Any]:
    if not granular(schema, value):
        return value
    out = []
    for item in value:
        element = item_element(schema, item)
        was, kept = last.get(element), managed.get(element)
        if was is None or kept == was:
            out.append(item)
        elif not _disowned(was, kept):
            out.append(remove(schema.items, item, was, kept or _NOTHING))
    unchanged = len(out) == len(value) and all(a is b for a, b in zip(out, value, strict=True))
    return value if unchanged else out


def _disowned(was: Tree, kept: Tree | None) -> bool:
    return is_member(was) and (kept is None or not is_member(kept))


def union_all(trees: list[Tree]) -> Tree:
    out: Tree = {}
    for tree in trees:
        out = union(out, tree)
    return out
