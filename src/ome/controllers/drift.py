"""Whether a live object already is what we want, without asking the server.

Two questions, both pure:

* :func:`contains`: is everything that we want in the live object, with the same value? What the
  server or others added beside it doesn't matter, but in selectors.
* :func:`unwanted`: do we own a field (by ``managedFields``) that we no longer want?

For a child that was created and never changed since, the second question is: was it made from
this very object (:mod:`ome.controllers.ownership`)?

Only where nothing differs is there nothing to write. That keeps a restart with a thousand healthy
services silent, and still heals edits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object, metadata
from ome.controllers.ownership import created_from, digest

_IDENTITY = ("apiVersion", "kind")
_ATOMIC = ("selector", "nodeSelector")
"""Maps that have one owner: what somebody adds to a selector changes what it selects."""
_LIST_KEYS = ("name", "mountPath", "containerPort", "port", "ip", "topologyKey", "uid", "key")


def contains(live: Any, wanted: Any) -> bool:
    """True where ``wanted`` is part of ``live``."""
    if type(wanted) is dict:
        return _contains_members(live, wanted)
    if isinstance(wanted, list):
        return _contains_list(live, wanted)
    if live == wanted and isinstance(live, bool) == isinstance(wanted, bool):
        return True
    return _same_quantity(live, wanted)


def _contains_members(live: Any, wanted: Object) -> bool:
    if type(live) is not dict:
        return not wanted and live is None
    for key, value in wanted.items():
        if value is None:
            continue
        found = live.get(key)
        if key in _ATOMIC and isinstance(value, Mapping):
            if found != value:
                return False
            continue
        # Most of an object is texts that are the same: no call for these.
        if not (type(value) is str and found == value) and not contains(found, value):
            return False
    return True


def _contains_list(live: Any, wanted: list[Any]) -> bool:
    if not isinstance(live, list):
        return not wanted and live is None
    if len(live) == len(wanted) and all(map(contains, live, wanted)):
        return True
    key = _list_key(wanted)
    if key is None:
        return False
    by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(item[key] in by_key and contains(by_key[item[key]], item) for item in wanted)


def _list_key(items: Sequence[Any]) -> str | None:
    """The field that tells the items of this list apart, if they are objects that have one."""
    for key in _LIST_KEYS:
        values = [item.get(key) for item in items if isinstance(item, Mapping)]
        complete = bool(values) and len(values) == len(items) and None not in values
        if complete and len(set(map(str, values))) == len(values):
            return key
    return None


def _same_quantity(live: Any, wanted: Any) -> bool:
    """``1`` and ``"1000m"``; the server writes quantities in its own form."""
    if isinstance(live, bool) or isinstance(wanted, bool):
        return False
    if not (isinstance(live, str | int | float) and isinstance(wanted, str | int | float)):
        return False
    if not (_starts_as_number(live) and _starts_as_number(wanted)):
        return False
    try:
        return quantity.parse(live) == quantity.parse(wanted)
    except ValueError:
        return False


def _starts_as_number(value: str | int | float) -> bool:
    return not isinstance(value, str) or value[:1].isdigit()


def applied_by(live: Object, manager: str) -> Mapping[str, Any] | None:
    """The field set that ``manager`` owns by server-side apply; None if it never applied."""
    for entry in metadata(live).get("managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            return entry.get("fieldsV1") or {}
    return None


def unwanted(owned: Mapping[str, Any], wanted: Any) -> Iterator[str]:
    """Paths that are owned but no longer part of ``wanted``."""
    yield from _unwanted(owned, wanted, "")


def _unwanted(owned: Mapping[str, Any], wanted: Any, path: str) -> Iterator[str]:
    for segment, below in owned.items():
        if segment == ".":
            continue
        kind, _, rest = segment.partition(":")
        here = f"{path}.{rest}" if kind == "f" else f"{path}[{rest}]"
        value = _step(kind, rest, wanted)
        if value is _ABSENT:
            yield here
        elif below:
            yield from _unwanted(below, value, here)


_ABSENT = object()


def _step(kind: str, rest: str, wanted: Any) -> Any:
    if kind == "f":
        if isinstance(wanted, Mapping) and wanted.get(rest) is not None:
            return wanted[rest]
        return _ABSENT
    if kind == "v":
        value = json.loads(rest)
        return value if isinstance(wanted, list) and value in wanted else _ABSENT
    if kind == "k" and isinstance(wanted, list):
        keys = json.loads(rest)
        for item in wanted:
            if isinstance(item, Mapping) and all(
                item.get(key, _defaulted(key)) == value for key, value in keys.items()
            ):
                return item
        return _ABSENT
    if kind == "i" and isinstance(wanted, list) and int(rest) < len(wanted):
        return wanted[int(rest)]
    return _ABSENT


def _defaulted(key: str) -> Any:
    """Keys of list items that the server fills in when they are left out."""
    return "TCP" if key == "protocol" else None


def needs_apply(live: Object | None, wanted: Object, manager: str) -> str:
    """Why ``wanted`` has to be applied, as a word for logs; empty if there is nothing to do."""
    if live is None:
        return "create"
    content = {key: value for key, value in wanted.items() if key not in _IDENTITY}
    if not contains(live, content):
        return "update"
    owned = applied_by(live, manager)
    if owned is None:
        origin = created_from(live)
        if not origin:
            return "adopt"
        return "" if origin == digest(wanted) else "prune"
    identity = {"namespace", "name"}
    meta = {k: v for k, v in metadata(wanted).items() if k not in identity}
    if next(unwanted(owned, {**content, "metadata": meta}), None) is not None:
        return "prune"
    return ""
