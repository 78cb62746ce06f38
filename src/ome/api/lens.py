"""Lenses: typed, read-only views of raw objects.

An object is the dict that the API server gave; it stays the truth. A lens types the fields that
are OME's own. Everything else (an inlined pod spec, unknown fields, newer ones) stays in the raw
form, reachable as ``.raw`` of every struct: ``.pod_spec`` or ``.container`` of the structs that
inline one. Merging, patching and admission work on raw.

Rules:

* Absent and ``null`` read the same in a lens (``None``, or an empty tuple or dict for lists and
  maps), because Kubernetes prunes a null of a non-nullable field. Where the difference matters
  (patches), look at ``.raw``.
* Unknown fields are ignored, values are not checked against enumerations: the schema does that at
  admission, and a lens must read objects that were stored before the schema existed.
* A field of the wrong type is a :class:`DecodeError` that lists *every* such field by its path.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from ome.api.fields import Inline
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Key, Object

RAW = "$raw"
"""Encoded name of the hidden member that keeps a struct's raw form. Never sent anywhere."""


if typing.TYPE_CHECKING:
    AsItIs: typing.TypeAlias = Object
else:
    AsItIs = Any  # msgspec copies what is typed as a dict, and hands on what is typed as anything


class Lens(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all structs of the contract."""

    inline: ClassVar[Inline | None] = None

    raw: AsItIs = msgspec.field(name=RAW, default_factory=dict)
    """The dict that this struct views: the very one, not a copy."""

    @property
    def rest(self) -> Object:
        """The raw fields that are not this struct's own: the inlined fragment, unknown ones."""
        own = _own_names(type(self))
        return {name: value for name, value in self.raw.items() if name not in own}


class ObjectMeta(Lens, frozen=True, kw_only=True, rename="camel"):
    """The parts of ``metadata`` that OME reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[Object, ...] = ()


class KubeObject(Lens, frozen=True, kw_only=True, rename="camel"):
    """Base of the kinds."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> Key:
        return Key(self.metadata.namespace, self.metadata.name)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace


class DecodeError(ValueError):
    """An object that a lens can't read. ``errors`` has every wrong field."""

    def __init__(self, kind: str, name: str, errors: list[FieldError]) -> None:
        self.kind, self.name, self.errors = kind, name, errors
        listed = "; ".join(map(str, errors))
        super().__init__(f"{kind} {name!r} can't be read: {listed}")


T = TypeVar("T", bound=Lens)


def decode(cls: type[T], obj: Mapping[str, Any], path: str = "") -> T:
    """View ``obj`` as ``cls``. Raises :class:`DecodeError`; ``path`` prefixes error paths."""
    try:
        return msgspec.convert(_prepare(cls, obj), cls)
    except (msgspec.ValidationError, _Mismatch):
        errors = list(_problems(cls, obj, path))
        name = (obj.get("metadata") or {}).get("name", "") if isinstance(obj, Mapping) else ""
        raise DecodeError(cls.__name__, name, errors) from None


def problems(cls: type[Lens], obj: Mapping[str, Any], path: str = "") -> list[FieldError]:
    """Every field of ``obj`` that :func:`decode` would refuse."""
    return list(_problems(cls, obj, path))


# --- how a struct is prepared: nulls dropped, the raw form attached ---------------------------


class _Mismatch(Exception):  # noqa: N818 - control flow inside this module
    """A value that can't be the struct it should be."""


class Member(typing.NamedTuple):
    """One member of a struct, resolved: JSON name, Python type and what its annotations say."""

    name: str
    attribute: str
    type: Any
    shape: str  # "leaf" | "struct" | "list" | "map"
    item: Any
    required: bool
    default: Any
    notes: tuple[Any, ...]


@cache
def members(cls: type[Lens]) -> tuple[Member, ...]:
    """The struct's own members in order of definition, without the hidden raw one."""
    hints = typing.get_type_hints(cls, include_extras=True)
    found = []
    for info in msgspec.structs.fields(cls):
        if info.encode_name == RAW:
            continue
        bare, notes = strip(hints[info.name])
        shape, item = _shape(bare)
        default = None if info.default is msgspec.NODEFAULT else info.default
        found.append(
            Member(info.encode_name, info.name, bare, shape, item, info.required, default, notes)
        )
    return tuple(found)


@cache
def _own_names(cls: type[Lens]) -> frozenset[str]:
    return frozenset(member.name for member in members(cls))


def strip(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without ``Annotated`` and ``None``, and all notes that were attached on the way."""
    notes: tuple[Any, ...] = ()
    while True:
        if typing.get_origin(hint) is Annotated:
            hint, *more = typing.get_args(hint)
            notes += tuple(more)
            continue
        arguments = typing.get_args(hint)
        if type(None) in arguments:
            kept = [a for a in arguments if a is not type(None)]
            if len(kept) == 1:
                hint = kept[0]
                continue
        return hint, notes


def is_lens(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Lens)


def _shape(bare: Any) -> tuple[str, Any]:
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if is_lens(bare):
        return "struct", bare
    if origin is tuple and is_lens(strip(arguments[0])[0]):
        return "list", strip(arguments[0])[0]
    if origin is dict and is_lens(strip(arguments[1])[0]):
        return "map", strip(arguments[1])[0]
    return "leaf", None


def _prepare(cls: type[Lens], obj: Any) -> Object:
    if not isinstance(obj, Mapping):
        raise _Mismatch
    out: Object = {RAW: obj}
    for member in members(cls):
        value = obj.get(member.name)
        if value is None:
            continue
        if member.shape == "struct":
            value = _prepare(member.item, value)
        elif member.shape == "list" and isinstance(value, list):
            value = [_prepare(member.item, entry) for entry in value]
        elif member.shape == "map" and isinstance(value, Mapping):
            value = {name: _prepare(member.item, v) for name, v in value.items()}
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        out[member.name] = value
    return out


# --- naming everything that is wrong ----------------------------------------------------------

_AT = re.compile(r" - at `\$?(.*)`$")
_NAMES = {
    "str": "a string",
    "int": "an integer",
    "bool": "true or false",
    "float": "a number",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _problems(cls: type[Lens], obj: Any, path: str) -> typing.Iterator[FieldError]:
    if not isinstance(obj, Mapping):
        yield FieldError(path, f"must be an object, not {_kind_of(obj)}", "FieldValueTypeInvalid")
        return
    for member in members(cls):
        value, where = obj.get(member.name), f"{path}.{member.name}" if path else member.name
        if value is None:
            if member.required:
                yield FieldError(where, "is required", "FieldValueRequired")
        elif member.shape == "struct":
            yield from _problems(member.item, value, where)
        elif member.shape == "list" and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from _problems(member.item, entry, f"{where}[{index}]")
        elif member.shape == "map" and isinstance(value, Mapping):
            for name, entry in value.items():
                yield from _problems(member.item, entry, f"{where}[{name}]")
        else:
            yield from _leaf_problem(member.type, value, where)


def _leaf_problem(type_: Any, value: Any, path: str) -> typing.Iterator[FieldError]:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if typing.get_origin(type_) is dict and isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _leaf_problem(typing.get_args(type_)[1], entry, f"{path}[{name}]")
        return
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        if at := _AT.search(text):
            path += at[1].replace("[...]", "[]")
            text = text[: at.start()]
        yield FieldError(path, in_words(text), "FieldValueTypeInvalid")


def in_words(text: str) -> str:
    """msgspec says "Expected `int | null`, got `str`"; people read "must be an integer"."""
    found = re.fullmatch(r"Expected `(.+)`, got `(.+)`", text)
    if not found:
        return text
    wanted = " or ".join(_NAMES.get(part, part) for part in found[1].split(" | ") if part != "null")
    return f"must be {wanted}, not {_NAMES.get(found[2], found[2])}"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return _NAMES["bool"]
    name = "array" if isinstance(value, list) else type(value).__name__
    return _NAMES.get(name, name)
