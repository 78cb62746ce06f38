"""Whether the schema of a CRD is structural: what Kubernetes demands of one before it serves it.

Every node has a type, arrays say what is in them, list maps say by which keys, defaults fit their
own schema, and nothing is used that a structural schema can't have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ome.apimachinery.errors import FieldError
from ome.apimachinery.schema import Schema

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES: Final = ("atomic", "map", "set")
_FORBIDDEN: Final = (
    "$ref",
    "$schema",
    "additionalItems",
    "definitions",
    "dependencies",
    "id",
    "patternProperties",
)
_ONLY_GO: Final = (r"\p", r"\P", "[[:", r"\z", r"\Q", "(?U")
"""Parts of Go's regular expressions that Python has no word for; such patterns are not judged."""

Raw = Mapping[str, Any]


def problems(schema: Raw, path: str) -> list[FieldError]:
    """What is wrong with an ``openAPIV3Schema`` at ``path``."""
    return list(_node(schema, path, set()))


def _node(raw: Raw, path: str, clean: set[int]) -> Iterator[FieldError]:
    """``clean``: ids of nodes with nothing wrong in them. Schemas repeat themselves, and what is
    equal was made one object when it was decoded."""
    for name in _FORBIDDEN:
        if name in raw:
            yield _forbidden(f"{path}.{name}", f"{name} is not supported")
    if raw.get("uniqueItems"):
        yield _forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true")
    yield from _type(raw, path)
    yield from _pattern(raw, path)
    yield from _default(raw, path)
    if raw.get("properties") and raw.get("additionalProperties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield _forbidden(f"{path}.additionalProperties", text)
    for name, inner in (raw.get("properties") or {}).items():
        yield from _inner(inner, f"{path}.properties[{name}]", clean)
    yield from _inner(raw.get("additionalProperties"), f"{path}.additionalProperties", clean)
    if raw.get("type") == "array":
        yield from _array(raw, path)
    if isinstance(raw.get("items"), Mapping):
        yield from _inner(raw["items"], f"{path}.items", clean)


def _inner(raw: Any, path: str, clean: set[int]) -> Iterator[FieldError]:
    if type(raw) is not dict or id(raw) in clean:
        return
    found = list(_node(raw, path, clean))
    if not found:
        clean.add(id(raw))
    yield from found


def _type(raw: Raw, path: str) -> Iterator[FieldError]:
    kind = raw.get("type")
    if not kind and "$ref" not in raw:
        if not raw.get("x-kubernetes-int-or-string") and not raw.get(
            "x-kubernetes-preserve-unknown-fields"
        ):
            yield _required(f"{path}.type", "must not be empty for specified object fields")
    elif kind and kind not in _TYPES:
        listed = ", ".join(f'"{t}"' for t in _TYPES)
        text = f'Unsupported value: "{kind}": supported values: {listed}'
        yield FieldError(f"{path}.type", text, "FieldValueNotSupported")


def _pattern(raw: Raw, path: str) -> Iterator[FieldError]:
    pattern = raw.get("pattern")
    if not isinstance(pattern, str) or any(only_go in pattern for only_go in _ONLY_GO):
        return
    try:
        re.compile(pattern)
    except re.error as error:
        text = f'Invalid value: "{pattern}": must be a valid regular expression: {error}'
        yield FieldError(f"{path}.pattern", text)


def _default(raw: Raw, path: str) -> Iterator[FieldError]:
    if raw.get("default") is None or "$ref" in raw:
        return
    for error in Schema(raw).validate(raw["default"]):
        yield FieldError(f"{path}.default", error.message)


def _array(raw: Raw, path: str) -> Iterator[FieldError]:
    items = raw.get("items")
    if not isinstance(items, Mapping):
        yield _required(f"{path}.items", "must be specified")
        return
    kind, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys") or ()
    if kind is not None and kind not in _LIST_TYPES:
        text = f'Unsupported value: "{kind}": supported values: "atomic", "map", "set"'
        yield FieldError(f"{path}.x-kubernetes-list-type", text, "FieldValueNotSupported")
    if kind != "map":
        if keys:
            text = "may only be set if x-kubernetes-list-type is map"
            yield _forbidden(f"{path}.x-kubernetes-list-map-keys", text)
        return
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        yield _required(f"{path}.x-kubernetes-list-map-keys", text)
    known = items.get("properties") or {}
    for index, key in enumerate(keys):
        where = f"{path}.x-kubernetes-list-map-keys[{index}]"
        if key not in known:
            text = f'Invalid value: "{key}": entries must all be names of item properties'
            yield FieldError(where, text)
        elif key not in (items.get("required") or ()) and "default" not in known[key]:
            where = f"{path}.items.properties[{key}].default"
            yield _required(where, "a key of a list map must be required or have a default")


def _required(path: str, text: str) -> FieldError:
    return FieldError(path, f"Required value: {text}", "FieldValueRequired")


def _forbidden(path: str, text: str) -> FieldError:
    return FieldError(path, f"Forbidden: {text}", "FieldValueForbidden")
