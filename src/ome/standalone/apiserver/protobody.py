"""Protobuf request bodies, as JSON values.

Clients written in Go (parts of kubectl, helm) send built-in kinds as protobuf and take JSON back.
The wire form has only field numbers, so their names come from a vendored table
(``tools/vendor_protobuf.py``). Imported only when a client sends protobuf.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import struct
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources as package_files
from typing import Any, Final

import msgspec

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import decode_body

_MAGIC: Final = b"k8s\x00"
_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1."
_RAW: Final = frozenset(
    {
        f"{_META}FieldsV1",
        "k8s.io.apimachinery.pkg.runtime.RawExtension",
        "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON",
    }
)
_EITHER: Final = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOr"
_DEPTH: Final = 128

Field = tuple[str, str, str]


class _Table(msgspec.Struct):
    origin: str
    kinds: dict[str, str]
    messages: dict[str, msgspec.Raw]


@cache
def _table() -> _Table:
    packed = package_files.files(__package__).joinpath("_protobuf.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=_Table)


@cache
def _fields(message: str) -> dict[int, Field]:
    return msgspec.json.decode(_table().messages[message], type=dict[int, Field])


def decode(data: bytes) -> Object:
    """The object in a body. Raises 400 for anything that is not one of the known kinds."""
    if not data.startswith(_MAGIC):
        raise BadRequest("the request body is not Kubernetes protobuf: it has no k8s prefix")
    try:
        return _envelope(data[len(_MAGIC) :])
    except (IndexError, ValueError, struct.error, KeyError) as error:
        raise BadRequest(f"the request body is not valid protobuf: {error}") from None


def _envelope(data: bytes) -> Object:
    api_version = kind = media = ""
    raw = b""
    for number, value in _wire(data):
        if number == 1:
            for inner, text in _wire(_bytes(value)):
                if inner == 1:
                    api_version = _bytes(text).decode()
                elif inner == 2:
                    kind = _bytes(text).decode()
        elif number == 2:
            raw = _bytes(value)
        elif number == 4:
            media = _bytes(value).decode()
    if media == "application/json":
        decoded = decode_body(raw)
        if not isinstance(decoded, dict):
            raise BadRequest("the request body must be an object")
        return decoded
    kinds = _table().kinds
    message = kinds.get(kind) or kinds.get(f"{api_version}/{kind}")
    if message is None:
        raise BadRequest(f"{api_version} {kind} is not known in protobuf here; send JSON")
    return {"apiVersion": api_version, "kind": kind, **_message(message, raw, 0)}


def _message(name: str, data: bytes, depth: int) -> Object:
    if depth > _DEPTH:
        raise BadRequest(f"the request body is nested more than {_DEPTH} levels deep")
    fields = _fields(name)
    result: Object = {}
    for number, value in _wire(data):
        field = fields.get(number)
        if field is None:  # of a newer Kubernetes
            continue
        json_name, type_, flags = field
        if "m" in flags:
            key, item = _map_entry(type_, _bytes(value), depth)
            result.setdefault(json_name, {})[key] = item
            continue
        if "r" in flags:
            result.setdefault(json_name, []).extend(_repeated(type_, value, depth))
            continue
        item = _value(type_, value, depth)
        if not json_name:
            if isinstance(item, dict):
                result.update(item)
        elif item is not None and (item or "k" in flags or isinstance(item, dict)):
            result[json_name] = item
    return result


def _repeated(type_: str, value: Any, depth: int) -> list[Any]:
    scalar = type_ in _NUMBERS
    if scalar and isinstance(value, bytes):  # packed
        return [_value(type_, number, depth) for number in _varints(value)]
    return [_value(type_, value, depth)]


def _map_entry(type_: str, data: bytes, depth: int) -> tuple[str, Any]:
    key, item = "", _value(type_, b"", depth) if type_ not in _NUMBERS else _value(type_, 0, depth)
    for number, value in _wire(data):
        if number == 1:
            key = _bytes(value).decode()
        elif number == 2:
            item = _value(type_, value, depth)
    return key, item


def _value(type_: str, value: Any, depth: int) -> Any:
    number = _NUMBERS.get(type_)
    if number is not None:
        return number(value)
    data = _bytes(value)
    if type_ == "string":
        return data.decode()
    if type_ == "bytes":
        return base64.b64encode(data).decode()
    special = _SPECIAL.get(type_)
    if special is not None:
        return special(data)
    if type_ in _RAW:
        raw = next((_bytes(v) for n, v in _wire(data) if n == 1), b"")
        return decode_body(raw) if raw else None
    if type_.startswith(_EITHER):
        return _schema_or_else(type_, data, depth)
    return _message(type_, data, depth + 1)


# -- scalars and types with a JSON form of their own ---------------------------------------


def _signed(value: Any) -> int:
    number = int(value)
    return number - (1 << 64) if number >= 1 << 63 else number


def _double(value: Any) -> float:
    return float(struct.unpack("<d", int(value).to_bytes(8, "little"))[0])


_NUMBERS: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": bool,
    "int32": _signed,
    "int64": _signed,
    "uint32": int,
    "uint64": int,
    "double": _double,
}


def _quantity(data: bytes) -> str:
    return next((_bytes(v).decode() for n, v in _wire(data) if n == 1), "0")


def _int_or_string(data: bytes) -> int | str:
    found = dict(_wire(data))
    if found.get(1, 0) == 1:
        return _bytes(found.get(3, b"")).decode()
    return _signed(found.get(2, 0))


def _time(data: bytes) -> str | None:
    """RFC 3339; None for the zero time, which JSON leaves out."""
    return _moment(data, micros=False)


def _micro_time(data: bytes) -> str | None:
    return _moment(data, micros=True)


def _moment(data: bytes, *, micros: bool) -> str | None:
    found = dict(_wire(data))
    seconds, nanos = _signed(found.get(1, 0)), int(found.get(2, 0))
    if not data or (not seconds and not nanos) or seconds < 0:
        return None
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    fraction = f".{nanos // 1000:06d}" if micros else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _duration(data: bytes) -> str:
    nanos = _signed(dict(_wire(data)).get(1, 0))
    return f"{nanos / 1e9:g}s"


def _items(data: bytes) -> list[str]:
    return [_bytes(v).decode() for n, v in _wire(data) if n == 1]


_SPECIAL: Final[dict[str, Callable[[bytes], Any]]] = {
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    f"{_META}Time": _time,
    f"{_META}MicroTime": _micro_time,
    f"{_META}Duration": _duration,
    f"{_META}Verbs": _items,
    "k8s.io.api.authentication.v1.ExtraValue": _items,
    "k8s.io.api.authorization.v1.ExtraValue": _items,
}


def _schema_or_else(type_: str, data: bytes, depth: int) -> Any:
    """Schemas that are a schema, or a boolean, or a list: one of them is set."""
    found = _message(type_, data, depth + 1)
    for name in ("schema", "Schema", "jSONSchemas", "JSONSchemas", "property", "Property"):
        if found.get(name):
            return found[name]
    return found.get("allows", found.get("Allows", False))


# -- the wire ------------------------------------------------------------------------------


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where text or a message belongs")
    return value


def _wire(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values: bytes, or an unsigned number."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("it ends in the middle of a field")
            yield tag >> 3, data[at : at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if at + size > end:
                raise ValueError("it ends in the middle of a field")
            yield tag >> 3, int.from_bytes(data[at : at + size], "little")
            at += size
        else:
            raise ValueError(f"unknown wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value
