"""How a ConfigMap becomes configuration: value by value, and never with an exception.

Types, enumerations and examples come from the annotations of the section's struct; rules of single
settings (templates, quantities, paths) are in :func:`_check`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from ome.api.fields import Field
from ome.api.lens import Lens, Member, in_words, members
from ome.apimachinery import quantity
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

Config = TypeVar("Config", bound=Lens)


def read_sections(
    cls: type[Config], config_map: str, data: Mapping[str, str] | None, last: Config | None
) -> tuple[Config, list[FieldError]]:
    """``cls`` has a member per data key, each a section; ``last`` is the last good reading."""
    problems: list[FieldError] = []
    sections: Object = {}
    for member in members(cls):
        path = f"{config_map}.data[{member.name}]"
        before = getattr(last, member.attribute) if last is not None else member.item()
        text = (data or {}).get(member.name)
        if text is None:
            sections[member.attribute] = member.item()
            continue
        raw, problem = _json_object(text)
        if raw is None:
            problems.append(kept(path, problem, "write one JSON object, for example {}"))
            sections[member.attribute] = before
        else:
            sections[member.attribute] = _section(member.item, raw, before, path, problems)
    return cls(**sections), problems


def _json_object(text: str) -> tuple[Object | None, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, f"is not JSON ({error})"
    if not isinstance(value, dict):
        return None, "must be a JSON object"
    return value, ""


def _section(
    cls: type[Lens], raw: Object, before: Lens, path: str, problems: list[FieldError]
) -> Lens:
    values: Object = {}
    for member in members(cls):
        where, value = f"{path}.{member.name}", raw.get(member.name)
        before_value = getattr(before, member.attribute)
        if value is None:
            continue
        if member.shape == "struct" and isinstance(value, dict):
            values[member.attribute] = _section(member.item, value, before_value, where, problems)
            continue
        try:
            usable = msgspec.convert(_as_text(value, member), member.type)
            _check(member, usable)
        except msgspec.ValidationError as error:
            problems.append(kept(where, in_words(str(error)), _remedy(member)))
            values[member.attribute] = before_value
        except ValueError as error:
            problems.append(kept(where, str(error), _remedy(member)))
            values[member.attribute] = before_value
        else:
            values[member.attribute] = usable
    known = [member.name for member in members(cls)]
    for name in sorted(raw.keys() - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        problems.append(FieldError(f"{path}.{name}", f"there is no such setting; {hint}"))
    return cls(raw=raw, **values)


def _as_text(value: Any, member: Member) -> Any:
    """Texts may be written as what they mean: ``2`` for a quantity, ``true`` for "true"."""
    if member.type is not str or not isinstance(value, bool | int | float):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


_QUANTITIES: Final = frozenset({"cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"})
_TEMPLATES: Final = frozenset({"domainTemplate", "pathTemplate"})


def _check(member: Member, value: Any) -> None:
    """Raises ValueError with what is wrong with a value of the right type."""
    facts = _facts(member)
    if facts.enum and value not in facts.enum:
        raise ValueError(f"{value!r} is not supported" if value else "must not be empty")
    if member.name in _QUANTITIES and value:
        quantity.parse(value)
    if member.name in _TEMPLATES and _unbalanced(value):
        raise ValueError(f"{value!r} is not a template: an action is not closed")
    if member.type is int and value < 1:
        raise ValueError(f"{value} must be at least 1")
    if member.name == "root" and (not value.startswith("/") or ".." in value.split("/")):
        raise ValueError(f"{value!r} must be an absolute path without '..'")
    if member.name == "omeIngressGateway" and value.strip("/").count("/") > 1:
        raise ValueError(f"{value!r} must be namespace/name")
    if member.name == "scalingThreshold" and not re.fullmatch(
        r"-?\d+(\.\d+)?([eE][-+]?\d+)?", value
    ):
        raise ValueError(f"{value!r} must be a finite number")


def _unbalanced(template: str) -> bool:
    bare = re.sub(r"\{\{.*?\}\}", "", template, flags=re.DOTALL)
    return "{{" in bare or "}}" in bare


def _facts(member: Member) -> Field:
    return next((note for note in member.notes if isinstance(note, Field)), Field(""))


def _remedy(member: Member) -> str:
    facts = _facts(member)
    if facts.enum:
        return f"write one of {', '.join(facts.enum)}"
    if facts.example is not None:
        return f"write for example {json.dumps(facts.example)}"
    return "correct or remove it"


def kept(path: str, problem: str, remedy: str) -> FieldError:
    """The report of a value that can't be used."""
    return FieldError(path, f"{problem}; the last good value stays. What to do: {remedy}")
