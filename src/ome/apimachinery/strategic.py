"""Strategic merge patch: kubectl's patch for Kubernetes' own kinds.

Like a merge patch, but lists whose schema says so merge item by item: objects by their merge key,
plain values as a set. Directives inside the patch say the rest:

``$patch: replace | delete | merge``   in an object: take it as it is, remove it (or the list item
                                       with this merge key), merge it
``$retainKeys: [...]``                 in an object: afterwards only these members remain
``$deleteFromPrimitiveList/f: [...]``  remove these values from list ``f``
``$setElementOrder/f: [...]``          the order of list ``f`` afterwards

A null removes a member. Neither argument is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.jsonvalues import compact
from ome.apimachinery.objects import Object
from ome.apimachinery.schema import DEDUCED, Schema

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"


def strategic_merge(doc: Object, patch: Object, schema: Schema) -> Object:
    """The document with the patch merged in. A malformed patch raises ``BadRequest``."""
    if not isinstance(patch, dict):
        raise BadRequest("a strategic merge patch must be an object")
    return _merge_object(doc, patch, schema, "")


def _merge_object(doc: Mapping[str, Any], patch: Object, schema: Schema, path: str) -> Object:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise BadRequest(f"{path or 'patch'}: unknown {_PATCH} type {compact(directive)}")
    result: Object = dict(doc)
    _retain_keys(result, patch, path)
    for key, value in patch.items():
        if key.startswith("$"):
            _check_directive(key, value, path)
        elif value is None:
            result.pop(key, None)
        else:
            inner = f"{path}.{key}" if path else key
            child = schema.child(key) or DEDUCED
            _merge_member(result, key, value, child, patch, inner)
    for key, value in patch.items():
        if key.startswith(_DELETE) and key.removeprefix(_DELETE) not in patch:
            _delete_values(result, key.removeprefix(_DELETE), value)
        elif key.startswith(_ORDER) and key.removeprefix(_ORDER) not in patch:
            name = key.removeprefix(_ORDER)
            if isinstance(result.get(name), list):
                child = schema.child(name) or DEDUCED
                result[name] = _ordered(result[name], value, result[name], child)
    return result


def _merge_member(
    result: Object, key: str, value: Any, child: Schema, patch: Object, path: str
) -> None:
    current = result.get(key)
    if isinstance(value, dict):
        if value.get(_PATCH) == "delete":
            result.pop(key, None)
            return
        base = current if isinstance(current, dict) else {}
        if "replace" in child.patch_strategy and _PATCH not in value:
            base = {}
        result[key] = _merge_object(base, value, child, path)
    elif isinstance(value, list):
        old = current if isinstance(current, list) else []
        result[key] = _merge_list(old, value, child, patch, key, path)
    else:
        result[key] = value


def _check_directive(key: str, value: Any, path: str) -> None:
    if key in (_PATCH, _RETAIN):
        return
    if not key.startswith((_ORDER, _DELETE)):
        raise BadRequest(f"{path or 'patch'}: unknown directive {key}")
    if not isinstance(value, list):
        raise BadRequest(f"{path or 'patch'}: {key} must be a list")


def _retain_keys(result: Object, patch: Object, path: str) -> None:
    kept = patch.get(_RETAIN)
    if kept is None:
        return
    if not isinstance(kept, list):
        raise BadRequest(f"{path or 'patch'}: {_RETAIN} must be a list")
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in kept:
            raise BadRequest(f"{path or 'patch'}: '{key}' is in the patch but not in {_RETAIN}")
    for key in [k for k in result if k not in kept]:
        del result[key]


def _merge_list(
    old: list[Any], new: list[Any], schema: Schema, patch: Object, key: str, path: str
) -> list[Any]:
    order = patch.get(_ORDER + key)
    if "merge" not in schema.patch_strategy:
        return [_without_directives(item) for item in new]
    if schema.patch_merge_key:
        merged = _merge_items(old, new, schema, path)
    else:
        gone = patch.get(_DELETE + key) or []
        merged = [v for v in old if v not in gone]
        merged += [v for v in new if v not in merged]
    if order is None:
        return _ordered(merged, new, old, schema)
    if not isinstance(order, list):
        raise BadRequest(f"{path}: {_ORDER}{key} must be a list")
    _check_order(new, order, schema, path)
    return _ordered(merged, order, old, schema)


def _without_directives(item: Any) -> Any:
    if isinstance(item, dict) and any(k.startswith("$") for k in item):
        return {k: v for k, v in item.items() if not k.startswith("$")}
    return item


def _merge_items(old: list[Any], new: list[Any], schema: Schema, path: str) -> list[Any]:
    if any(isinstance(i, dict) and set(i) == {_PATCH} and i[_PATCH] == "replace" for i in new):
        return [i for i in new if not (isinstance(i, dict) and _PATCH in i)]
    name = schema.patch_merge_key
    merged = list(old)
    for item in new:
        if not isinstance(item, dict):
            raise BadRequest(f"{path}: items of the patch must be objects")
        if name not in item:
            raise BadRequest(f"{path}: map: {compact(item)} does not contain declared merge key:"
                             f" {name}")  # fmt: skip
        places = [
            i for i, o in enumerate(merged) if isinstance(o, dict) and o.get(name) == item[name]
        ]
        directive = item.get(_PATCH)
        if directive == "delete":
            merged = [o for i, o in enumerate(merged) if i not in places]
        elif not places:
            merged.append(_merge_object({}, item, schema.items, f"{path}[{compact(item[name])}]"))
        else:
            at = _same_identity(merged, places, item, schema)
            inner = f"{path}[{compact(item[name])}]"
            if at is None:
                merged.append(_merge_object({}, item, schema.items, inner))
            else:
                merged[at] = _merge_object(merged[at], item, schema.items, inner)
    return merged


def _same_identity(
    items: Sequence[Any], places: list[int], item: Object, schema: Schema
) -> int | None:
    """Which of the items with this merge key is meant.

    The merge key alone is not always unique (a port number serves TCP and UDP); the list-map keys
    are, so where several match, those decide.
    """
    if len(places) == 1:
        return places[0]
    defaults = schema.key_defaults

    def identity(candidate: Mapping[str, Any]) -> list[Any]:
        return [candidate.get(k, defaults.get(k)) for k in schema.map_keys]

    wanted = identity(item)
    return next((i for i in places if identity(items[i]) == wanted), places[0])


def _delete_values(result: Object, name: str, values: Any) -> None:
    if isinstance(result.get(name), list):
        result[name] = [v for v in result[name] if v not in values]


def _ordered(merged: list[Any], order: list[Any], old: list[Any], schema: Schema) -> list[Any]:
    """``merged`` with the items that ``order`` names in that order.

    An item that only the server has stays before a named one that it preceded; anything else that
    is named, new items above all, comes first.
    """

    def key(item: Any) -> str:
        return _key_of(item, schema)

    rank = {key(item): index for index, item in reversed(list(enumerate(order)))}
    named = sorted((i for i in merged if key(i) in rank), key=lambda i: rank[key(i)])
    others = [i for i in merged if key(i) not in rank]
    before = {key(item): index for index, item in reversed(list(enumerate(old)))}
    result: list[Any] = []
    while named and others:
        place, wanted = before.get(key(others[0])), before.get(key(named[0]))
        stays = place is not None and wanted is not None and place < wanted
        result.append((others if stays else named).pop(0))
    return [*result, *named, *others]


def _check_order(new: list[Any], order: list[Any], schema: Schema, path: str) -> None:
    """The items of a patch must stand in the order that the patch itself asks for."""
    keys = [_key_of(item, schema) for item in order]
    places = [
        keys.index(key) if (key := _key_of(item, schema)) in keys else -1
        for item in new
        if not (isinstance(item, dict) and _PATCH in item)
    ]
    if -1 in places or places != sorted(places):
        raise BadRequest(
            f"{path}: the order in the patch's list doesn't match {_ORDER}{path.rpartition('.')[2]}"
        )


def _key_of(item: Any, schema: Schema) -> str:
    if schema.patch_merge_key and isinstance(item, dict):
        return compact(item.get(schema.patch_merge_key))
    return compact(item)
