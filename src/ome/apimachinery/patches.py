"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902), and the patches between two documents.

Arguments are never changed. What a result shares with its arguments must be treated as read-only,
as all objects are. What is no patch at all raises ``BadRequest`` (400); an operation that is
wrong, or can't be applied to this document, raises ``Invalid`` (422), as the API server answers.
As there, ``replace`` may name a member that does not exist yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ome.apimachinery.errors import BadRequest, Invalid
from ome.apimachinery.jsonvalues import compact, copy_json, json_equal
from ome.apimachinery.objects import Object

_MAX_OPERATIONS: Final = 10_000
_NEEDS_VALUE: Final = ("add", "replace", "test")
_NEEDS_FROM: Final = ("move", "copy")


def merge_patch(doc: Any, patch: Any) -> Any:
    """The document with the patch merged in: null removes, objects merge, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result: Object = dict(doc) if isinstance(doc, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = value
    return result


def merge_patch_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """The smallest merge patch from ``old`` to ``new`` (null values can't be expressed)."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif not json_equal(old[key], value):
            both = isinstance(old[key], Mapping) and isinstance(value, Mapping)
            patch[key] = merge_patch_diff(old[key], value) if both else value
    return patch


def json_patch(doc: Any, ops: Any) -> Any:
    """The document after all operations; none is applied if one fails."""
    if not isinstance(ops, list):
        raise BadRequest("a JSON patch must be a list of operations")
    if len(ops) > _MAX_OPERATIONS:
        raise BadRequest(f"a JSON patch may have at most {_MAX_OPERATIONS} operations")
    checked = [_checked(op, index) for index, op in enumerate(ops)]
    result = copy_json(doc)
    for op in checked:
        result = _apply(result, op)
    return result


def _checked(op: Any, index: int) -> Mapping[str, Any]:
    where = f"operation {index} of the JSON patch"
    if not isinstance(op, Mapping):
        raise BadRequest(f"{where} must be an object")
    name = op.get("op")
    if name not in ("add", "remove", "replace", "move", "copy", "test"):
        raise Invalid(f"{where} has the unknown op {compact(name)}")
    for field in ("path", *(("from",) if name in _NEEDS_FROM else ())):
        pointer = op.get(field)
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
            raise Invalid(f"{where} ({name}) needs '{field}': a JSON pointer such as /spec/a")
    if name in _NEEDS_VALUE and "value" not in op:
        raise Invalid(f"{where} ({name}) needs 'value'")
    return op


def _apply(doc: Any, op: Mapping[str, Any]) -> Any:
    name, path = op["op"], op["path"]
    match name:
        case "add":
            return _add(doc, path, copy_json(op["value"]))
        case "remove":
            return _remove(doc, path)
        case "replace":
            return _replace(doc, path, copy_json(op["value"]))
        case "move":
            source = op["from"]
            if path.startswith(source + "/"):
                raise _failed(f"can't move {source} into itself")
            value = _get(doc, source)
            return _add(_remove(doc, source), path, value)
        case "copy":
            return _add(doc, path, copy_json(_get(doc, op["from"])))
        case _:
            _test(doc, path, op["value"])
            return doc


def _test(doc: Any, path: str, expected: Any) -> None:
    try:
        found = _get(doc, path)
    except Invalid:
        # Kubernetes lets a test for null pass where there is nothing.
        if expected is None:
            return
        raise
    if not json_equal(found, expected):
        raise _failed(f"testing value {path} failed")


def _parts(pointer: str) -> list[str]:
    return [p.replace("~1", "/").replace("~0", "~") for p in pointer.split("/")[1:]]


def _get(doc: Any, pointer: str) -> Any:
    for part in _parts(pointer):
        doc = _member(doc, part, pointer)
    return doc


def _member(container: Any, part: str, pointer: str) -> Any:
    if isinstance(container, dict):
        if part not in container:
            raise _failed(f"path {pointer} does not exist: no member '{part}'")
        return container[part]
    if isinstance(container, list):
        return container[_index(container, part, pointer, len(container) - 1)]
    raise _failed(f"path {pointer} does not exist: '{part}' is inside a plain value")


def _parent(doc: Any, pointer: str) -> tuple[Any, str]:
    *parents, last = _parts(pointer)
    for part in parents:
        doc = _member(doc, part, pointer)
    if not isinstance(doc, dict | list):
        raise _failed(f"path {pointer} does not exist: '{last}' is inside a plain value")
    return doc, last


def _index(container: Sequence[Any], part: str, pointer: str, highest: int) -> int:
    digits = part.isascii() and part.isdigit()
    if not digits or (len(part) > 1 and part[0] == "0"):
        raise _failed(f"path {pointer}: '{part}' is not a list index")
    if len(part) > 9 or int(part) > highest:
        raise _failed(f"path {pointer}: index {part[:20]} is beyond {len(container)} items")
    return int(part)


def _add(doc: Any, pointer: str, value: Any) -> Any:
    if not pointer:
        return value
    parent, last = _parent(doc, pointer)
    if isinstance(parent, dict):
        parent[last] = value
    elif last == "-":
        parent.append(value)
    else:
        parent.insert(_index(parent, last, pointer, len(parent)), value)
    return doc


def _replace(doc: Any, pointer: str, value: Any) -> Any:
    if not pointer:
        return value
    parent, last = _parent(doc, pointer)
    if not isinstance(parent, dict):
        _member(parent, last, pointer)
    parent[last if isinstance(parent, dict) else int(last)] = value
    return doc


def _remove(doc: Any, pointer: str) -> Any:
    if not pointer:
        return None
    parent, last = _parent(doc, pointer)
    _member(parent, last, pointer)
    del parent[last if isinstance(parent, dict) else int(last)]
    return doc


def _failed(why: str) -> Invalid:
    return Invalid(f"the server rejected our request due to an error in our request: {why}")


def json_patch_diff(old: Any, new: Any) -> list[Object]:
    """Operations that turn ``old`` into ``new``, in a fixed order."""
    ops: list[Object] = []
    _diff(old, new, "", ops)
    return ops


def _diff(old: Any, new: Any, path: str, ops: list[Object]) -> None:
    if json_equal(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in new:
                ops.append({"op": "remove", "path": inner})
            elif key not in old:
                ops.append({"op": "add", "path": inner, "value": new[key]})
            else:
                _diff(old[key], new[key], inner, ops)
    elif isinstance(old, list) and isinstance(new, list):
        _diff_lists(old, new, path, ops)
    else:
        ops.append({"op": "replace", "path": path, "value": new})


def _diff_lists(old: list[Any], new: list[Any], path: str, ops: list[Object]) -> None:
    """Keeps the common beginning and end; patches what lies between item by item."""
    start = 0
    shorter = min(len(old), len(new))
    while start < shorter and json_equal(old[start], new[start]):
        start += 1
    end = 0
    while end < shorter - start and json_equal(old[-1 - end], new[-1 - end]):
        end += 1
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    shared = min(len(middle_old), len(middle_new))
    for offset in range(shared):
        _diff(middle_old[offset], middle_new[offset], f"{path}/{start + offset}", ops)
    for offset in reversed(range(shared, len(middle_old))):
        ops.append({"op": "remove", "path": f"{path}/{start + offset}"})
    for offset in range(shared, len(middle_new)):
        ops.append({"op": "add", "path": f"{path}/{start + offset}", "value": middle_new[offset]})
