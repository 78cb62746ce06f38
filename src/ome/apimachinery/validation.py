"""Checking a value against a structural schema, with the field paths and words of the API server.

A direct walk over the object: nothing is compiled ahead, the constraints of a node are prepared
when the first value meets it. Only what the object contains is looked at, so a schema may be cyclic
and large.

Patterns are written for Go's regular expressions. They are run by Python's ``re`` with ASCII
classes and ``$`` as the very end; a pattern that Python does not understand is not enforced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ome.apimachinery import formats, quantity
from ome.apimachinery.errors import FieldError
from ome.apimachinery.jsonvalues import compact, json_equal

if TYPE_CHECKING:
    from ome.apimachinery.schema import Schema

MOST_ERRORS = 100
"""Nobody reads more, and a large list of wrong items must not become a larger list of errors."""

Check = Callable[[Any, str], "FieldError | None"]


class Checks(NamedTuple):
    """What must hold for the values of one node, beside its type and its members."""

    simple: tuple[Check, ...]
    required: tuple[str, ...]
    all_of: tuple[Schema, ...]
    any_of: tuple[Schema, ...]
    one_of: tuple[Schema, ...]
    never: Schema | None
    combined: bool


_Seen = set[tuple[int, int]]
"""Ids of schemas and of parts that have been found good for them."""


def validate(
    schema: Schema, value: Any, path: str = "", *, repeats: bool = False
) -> list[FieldError]:
    """All problems of ``value``; ``path`` is where it stands.

    With ``repeats`` a part that is there more than once, as one object
    (:func:`ome.apimachinery.jsonvalues.shared`), is looked at once.
    """
    errors: list[FieldError] = []
    _walk(schema, value, path, errors, set() if repeats else None)
    if len(errors) > MOST_ERRORS:
        del errors[MOST_ERRORS:]
        text = f"Too many: there are more problems than these {MOST_ERRORS}"
        errors.append(FieldError(path, text, "FieldValueTooMany"))
    return errors


def shown(value: Any) -> str:
    """A value as messages show it."""
    if isinstance(value, str | bool | int | float) or value is None:
        return compact(value)
    text = compact(value)
    return text if len(text) <= 200 else text[:200] + "…"


def type_name(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() and abs(value) < 2**63 else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _walk(
    schema: Schema, value: Any, path: str, errors: list[FieldError], seen: _Seen | None = None
) -> None:
    if value is None and schema.nullable:
        return
    if seen is not None and (id(schema), id(value)) in seen:
        return
    before = len(errors)
    if not _has_type(schema, value):
        errors.append(_wrong_type(schema, value, path))
        if schema.raw.get("enum") and not schema.core:
            problem = _enum(schema.raw["enum"])(value, path)
            errors += [problem] if problem else []
        return
    checks = schema.checks
    if checks is None:
        checks = schema.checks = _prepare(schema)
    for check in checks.simple:
        error = check(value, path)
        if error is not None:
            errors.append(error)
    if isinstance(value, dict):
        _walk_object(schema, checks, value, path, errors, seen)
    elif isinstance(value, list):
        _walk_list(schema, value, path, errors, seen)
    if checks.combined:
        errors.extend(_combined(checks, value, path))
    if seen is not None and len(errors) == before and isinstance(value, dict | list):
        seen.add((id(schema), id(value)))


def _walk_object(
    schema: Schema,
    checks: Checks,
    value: dict[str, Any],
    path: str,
    errors: list[FieldError],
    seen: _Seen | None,
) -> None:
    prefix = f"{path}." if path else ""
    for name in checks.required:
        if name not in value:
            errors.append(FieldError(f"{prefix}{name}", "Required value", "FieldValueRequired"))
    if schema.embedded:
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                errors.append(
                    FieldError(
                        f"{prefix}{name}", "Required value: must not be empty", "FieldValueRequired"
                    )
                )
    for name, inner in value.items():
        child = schema.child(name)
        if child is not None:
            _walk(child, inner, prefix + name, errors, seen)
            if len(errors) > MOST_ERRORS:
                return


def _walk_list(
    schema: Schema, value: list[Any], path: str, errors: list[FieldError], seen: _Seen | None
) -> None:
    items = schema.items
    for index, inner in enumerate(value):
        _walk(items, inner, f"{path}[{index}]", errors, seen)
        if len(errors) > MOST_ERRORS:
            return
    # Kubernetes' own kinds accept repeated items except where their validation says otherwise
    # (two environment variables of one name are legal); custom resources never do.
    if schema.list_type == "map" and not schema.core:
        _unique_keys(schema, value, path, errors)
    elif schema.list_type == "set" and not schema.core:
        _unique_items(value, path, errors)


def _unique_keys(schema: Schema, value: list[Any], path: str, errors: list[FieldError]) -> None:
    seen = set()
    defaults = schema.key_defaults
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            continue
        key = {k: item[k] if k in item else defaults.get(k) for k in schema.map_keys}
        text = compact(key)
        if text in seen:
            errors.append(
                FieldError(f"{path}[{index}]", f"Duplicate value: {text}", "FieldValueDuplicate")
            )
        seen.add(text)


def _unique_items(value: list[Any], path: str, errors: list[FieldError]) -> None:
    seen = set()
    for index, item in enumerate(value):
        text = compact(item)
        if text in seen:
            errors.append(
                FieldError(f"{path}[{index}]", f"Duplicate value: {text}", "FieldValueDuplicate")
            )
        seen.add(text)


def _has_type(schema: Schema, value: Any) -> bool:
    if schema.int_or_string:
        if schema.format == "quantity":
            return quantity.is_valid(value)
        return isinstance(value, str) or _is_int64(value)
    match schema.type:
        case "object":
            return isinstance(value, dict)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "integer":
            return _is_int64(value)
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True


def _is_int64(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -(2**63) <= value < 2**63 and value == int(value)


def _wrong_type(schema: Schema, value: Any, path: str) -> FieldError:
    found = type_name(value)
    if schema.is_quantity and isinstance(value, str):
        message = f'Invalid value: "{value}": must be a quantity such as 500m, 4 or 1.5Gi'
        return FieldError(path, message, "FieldValueInvalid")
    wanted = "a quantity" if schema.is_quantity else f"of type {schema.type}"
    if schema.int_or_string and not schema.is_quantity:
        wanted = "of type integer or string"
    where = path or "object"
    message = f'Invalid value: "{found}": {where} in body must be {wanted}: "{found}"'
    return FieldError(path, message, "FieldValueTypeInvalid")


def _prepare(schema: Schema) -> Checks:
    raw = schema.raw
    any_of = raw.get("anyOf") or ()
    if schema.int_or_string and all(set(option) <= {"type"} for option in any_of):
        any_of = ()  # the mandated "integer or string" is what the type check does already

    def variants(options: Sequence[Mapping[str, Any]]) -> tuple[Schema, ...]:
        return tuple(schema.variant(option) for option in options)

    all_of, one_of, never = raw.get("allOf") or (), raw.get("oneOf") or (), raw.get("not")
    return Checks(
        simple=tuple(_simple_checks(raw, core=schema.core)),
        required=tuple(raw.get("required") or ()),
        all_of=variants(all_of),
        any_of=variants(any_of),
        one_of=variants(one_of),
        never=schema.variant(never) if never else None,
        combined=bool(all_of or any_of or one_of or never),
    )


def _simple_checks(raw: Mapping[str, Any], *, core: bool) -> Iterator[Check]:
    if raw.get("enum"):
        yield _enum(raw["enum"])
    if raw.get("pattern"):
        yield _pattern(raw["pattern"])
    format_ = raw.get("format")
    if format_ and format_ in formats.CHECKS and (core or format_ not in formats.OF_GO):
        yield _format(format_)
    if raw.get("minimum") is not None:
        yield _minimum(raw["minimum"], bool(raw.get("exclusiveMinimum")))
    if raw.get("maximum") is not None:
        yield _maximum(raw["maximum"], bool(raw.get("exclusiveMaximum")))
    if raw.get("multipleOf") is not None:
        yield _multiple(raw["multipleOf"])
    for keyword, kind, unit in _SIZES:
        if raw.get(keyword) is not None:
            yield _size(raw[keyword], kind, unit, at_least=keyword.startswith("min"))
    if raw.get("uniqueItems"):
        yield _no_repeats


_SIZES: tuple[tuple[str, type[Sized], str], ...] = (
    ("minLength", str, "characters long"),
    ("maxLength", str, "characters"),
    ("minItems", list, "items"),
    ("maxItems", list, "items"),
    ("minProperties", dict, "properties"),
    ("maxProperties", dict, "properties"),
)


def _enum(allowed: list[Any]) -> Check:
    supported = ", ".join(compact(a) for a in allowed)

    def check(value: Any, path: str) -> FieldError | None:
        if any(json_equal(value, a) for a in allowed):
            return None
        message = f"Unsupported value: {shown(value)}: supported values: {supported}"
        return FieldError(path, message, "FieldValueNotSupported")

    return check


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """A Go regular expression as a Python one; None where Python does not understand it."""
    text = pattern.replace(r"\z", r"\Z")
    # "$" must mean the end of the text, not the place before a last newline.
    text = re.sub(r"(?<!\\)((?:\\\\)*)\$(?=\)|\||$)", r"\1\\Z", text)
    try:
        return re.compile(text, re.ASCII)
    except re.error:
        return None


def _pattern(pattern: str) -> Check:
    compiled = compile_pattern(pattern)

    def check(value: Any, path: str) -> FieldError | None:
        if compiled is None or not isinstance(value, str) or compiled.search(value):
            return None
        return _invalid(value, path, f"should match '{pattern}'")

    return check


def _format(name: str) -> Check:
    holds = formats.CHECKS[name]

    def check(value: Any, path: str) -> FieldError | None:
        if holds(value):
            return None
        problem = _invalid(value, path, f"must be of type {name}: {shown(value)}")
        return FieldError(path, problem.message, "FieldValueTypeInvalid")

    return check


def _minimum(limit: float, exclusive: bool) -> Check:
    def check(value: Any, path: str) -> FieldError | None:
        if not _is_number(value) or value > limit or (value == limit and not exclusive):
            return None
        words = "greater than" if exclusive else "greater than or equal to"
        return _invalid(value, path, f"should be {words} {shown(limit)}")

    return check


def _maximum(limit: float, exclusive: bool) -> Check:
    def check(value: Any, path: str) -> FieldError | None:
        if not _is_number(value) or value < limit or (value == limit and not exclusive):
            return None
        words = "less than" if exclusive else "less than or equal to"
        return _invalid(value, path, f"should be {words} {shown(limit)}")

    return check


def _multiple(step: float) -> Check:
    def check(value: Any, path: str) -> FieldError | None:
        if not _is_number(value) or abs(value / step - round(value / step)) < 1e-9:
            return None
        return _invalid(value, path, f"should be a multiple of {shown(step)}")

    return check


def _size(limit: int, kind: type[Sized], unit: str, *, at_least: bool) -> Check:
    def check(value: Any, path: str) -> FieldError | None:
        if not isinstance(value, kind):
            return None
        size = len(value)
        if size >= limit if at_least else size <= limit:
            return None
        if at_least:
            bound = f"should be at least {limit} {unit}"
            if kind is not str:
                bound = f"should have at least {limit} {unit}"
            return _invalid(value, path, bound)
        if kind is str:
            return FieldError(
                path, f"Too long: may not be more than {limit} {unit}", "FieldValueTooLong"
            )
        return FieldError(
            path, f"Too many: {size}: must have at most {limit} {unit}", "FieldValueTooMany"
        )

    return check


def _no_repeats(value: Any, path: str) -> FieldError | None:
    if not isinstance(value, list) or len({compact(v) for v in value}) == len(value):
        return None
    return _invalid(value, path, "shouldn't contain duplicates")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invalid(value: Any, path: str, words: str) -> FieldError:
    where = path or "object"
    return FieldError(path, f"Invalid value: {shown(value)}: {where} in body {words}")


def _combined(checks: Checks, value: Any, path: str) -> Iterator[FieldError]:
    """``allOf``, ``anyOf``, ``oneOf`` and ``not``. They state value rules, no structure."""
    for option in checks.all_of:
        yield from validate(option, value, path)
    if checks.any_of:
        problems = [validate(option, value, path) for option in checks.any_of]
        if all(problems):
            yield _invalid(value, path, "must validate at least one schema (anyOf)")
            yield from min(problems, key=len)
    if checks.one_of:
        problems = [validate(option, value, path) for option in checks.one_of]
        valid = sum(not p for p in problems)
        if valid != 1:
            found = f"Found {valid} valid alternatives" if valid else "Found none valid"
            yield _invalid(value, path, f"must validate one and only one schema (oneOf). {found}")
            if not valid:
                yield from min(problems, key=len)
    if checks.never is not None and not validate(checks.never, value, path):
        yield _invalid(value, path, "must not validate the schema (not)")
