"""Making :class:`FieldError`\\ s in the words that Kubernetes uses for each kind of problem."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ome.apimachinery.errors import FieldError
from ome.apimachinery.jsonvalues import compact


def _shown(value: Any) -> str:
    text = compact(value)
    return text if len(text) <= 200 else text[:200] + "…"


def required(path: str, detail: str = "") -> FieldError:
    message = f"Required value: {detail}" if detail else "Required value"
    return FieldError(path, message, "FieldValueRequired")


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, f"Invalid value: {_shown(value)}: {detail}", "FieldValueInvalid")


def all_invalid(path: str, value: Any, details: Iterable[str]) -> list[FieldError]:
    """One problem for each sentence that a checker of :mod:`ome.apimachinery.names` gave."""
    return [invalid(path, value, detail) for detail in details]


def unsupported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    listed = ", ".join(f'"{s}"' for s in supported)
    message = f"Unsupported value: {_shown(value)}: supported values: {listed}"
    return FieldError(path, message, "FieldValueNotSupported")


def one_of(path: str, value: Any, supported: Iterable[str]) -> list[FieldError]:
    """Nothing if the value is absent or among the supported ones."""
    allowed = list(supported)
    return [] if value is None or value in allowed else [unsupported(path, value, allowed)]


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError(path, f"Forbidden: {detail}", "FieldValueForbidden")


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(path, f"Duplicate value: {_shown(value)}", "FieldValueDuplicate")


def not_found(path: str, value: Any) -> FieldError:
    return FieldError(path, f"Not found: {_shown(value)}", "FieldValueNotFound")


def immutable(path: str, value: Any) -> FieldError:
    return invalid(path, value, "field is immutable")


def at_least(path: str, value: Any, least: int) -> list[FieldError]:
    """Nothing if the number is absent or large enough."""
    if value is None or value >= least:
        return []
    return [invalid(path, value, f"must be greater than or equal to {least}")]


def repeated(path: str, values: Iterable[Any]) -> list[FieldError]:
    """A problem for each value that stood in the list before; None is skipped. ``path`` has
    ``{}`` where the index goes."""
    seen: set[str] = set()
    found = []
    for index, value in enumerate(values):
        if value is None:
            continue
        text = compact(value)
        if text in seen:
            found.append(duplicate(path.format(index), value))
        seen.add(text)
    return found
