"""Comparing and copying JSON values, which Python's own ``==`` and ``deepcopy`` do not do well.

``True == 1`` in Python but ``true`` and ``1`` differ in JSON; ``copy.deepcopy`` is several times
slower than a copy that knows there are only dicts, lists and immutable leaves.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def copy_json(value: _T) -> _T:
    """A deep copy of a JSON value."""
    return cast("_T", _copy(value))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) if isinstance(v, dict | list) else v for k, v in value.items()}
    if isinstance(value, list):
        return [_copy(v) if isinstance(v, dict | list) else v for v in value]
    return value


def json_equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: ``1`` equals ``1.0`` but not ``true``."""
    # Loosely unequal values are never equal; the walk is only for what looks the same.
    return a is b or (a == b and _same_booleans(a, b))


def _same_booleans(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(v is b[k] or _same_booleans(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return all(x is y or _same_booleans(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, bool) == isinstance(b, bool)


def compact(value: Any) -> str:
    """The one-line JSON with sorted keys that messages and field paths use."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def shared(value: Any, pool: dict[Any, Any] | None = None) -> Any:
    """A copy in which equal parts are one and the same object.

    For large values that are only read and repeat themselves, such as the schema of a CRD that
    embeds the pod spec ten times: it then takes the memory of one. Nobody may change the result.
    """
    pool = {} if pool is None else pool
    if isinstance(value, dict):
        made = {shared(k, pool): shared(v, pool) for k, v in value.items()}
        # Parts are already shared, so their identity stands for their content.
        key: Any = ("{", *((id(k), id(v)) for k, v in made.items()))
        return pool.setdefault(key, made)
    if isinstance(value, list):
        items = [shared(v, pool) for v in value]
        return pool.setdefault(("[", *map(id, items)), items)
    return pool.setdefault((type(value), value), value)
