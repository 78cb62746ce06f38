"""Bytes to objects and back.

Bodies are limited in size and in nesting, so that nothing behind this module can be made to use
unbounded memory or stack. Numbers that JSON can't carry, YAML aliases and tags are refused.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from ome.apimachinery.errors import BadRequest, StatusError
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import sparejson

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

MAX_BODY = 3 << 20
MAX_DEPTH = 128
LARGE = 64 << 10
"""Above this size equal parts of an object are one in memory."""
_WIDE = 1000


class TooLarge(StatusError):  # noqa: N818 - reads as the state it reports
    code = 413
    reason = "RequestEntityTooLarge"


def _number(text: str) -> int | float:
    """A number with a point or an exponent; whole ones are stored and shown without, as Go does."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


_decode = msgspec.json.Decoder(float_hook=_number).decode
encode = msgspec.json.Encoder().encode


def decode_stored(data: bytes) -> Object:
    """An object from bytes that this server wrote. Its parts must not be changed."""
    if len(data) > LARGE:
        return sparejson.decode(data, MAX_DEPTH * 2)  # type: ignore[no-any-return]
    return _decode(data)  # type: ignore[no-any-return]


def decode_copy(data: bytes) -> Object:
    """Like :func:`decode_stored`, for whoever wants to change the object."""
    return _decode(data)  # type: ignore[no-any-return]


def encode_object(obj: Object) -> bytes:
    """Bytes for the store: ``apiVersion``, ``kind`` and ``metadata`` come first."""
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
    head.update(obj)
    return encode(head)


def decode_body(data: bytes, *, yaml: bool = False) -> Any:
    """Any JSON value from a request body; YAML too where the client says so."""
    if not data:
        raise BadRequest("the request body is empty")
    try:
        value = _decode(data) if len(data) <= LARGE else sparejson.decode(data, MAX_DEPTH)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not yaml:
            raise BadRequest(f"the request body is not valid JSON: {_sentence(error)}") from None
        value = _decode_yaml(data)
    _check_depth(value)
    return value


def decode_object(data: bytes, media: str = JSON) -> Object:
    """An object from a request body; anything but a mapping is refused."""
    if media == PROTOBUF:
        from ome.standalone.apiserver import protobody  # late: few clients send it

        return protobody.decode(data)
    value = decode_body(data, yaml=media == YAML)
    if not isinstance(value, dict):
        raise BadRequest(f"the request body must be an object, not {_type_name(value)}")
    return value


def duplicate_fields(data: bytes) -> list[str]:
    """Paths of fields that a JSON body gives more than once (the last one counts)."""
    seen: list[Object] = []

    def hook(pairs: list[tuple[str, Any]]) -> Object:
        obj = dict(pairs)
        if len(obj) != len(pairs):
            seen.append(obj)
        return obj

    try:
        root = json.loads(data, object_pairs_hook=hook)
    except (ValueError, RecursionError):
        return []
    if not seen:
        return []
    return _duplicate_paths(data, root)


def _duplicate_paths(data: bytes, root: Any) -> list[str]:
    """Slow second pass, only where there is a duplicate: pairs are kept to know the paths."""
    found: list[str] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, _Pairs):
            names: set[str] = set()
            for name, child in node.pairs:
                where = f"{path}.{name}" if path else name
                if name in names and where not in found:
                    found.append(where)
                names.add(name)
                walk(child, where)
        elif isinstance(node, list):
            for index, child in enumerate(node):
                walk(child, f"{path}[{index}]")

    walk(json.loads(data, object_pairs_hook=_Pairs), "")
    return found


class _Pairs:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for node in level:
            if type(node) is dict:
                deeper += [v for v in node.values() if type(v) is dict or type(v) is list]
            elif type(node) is list:
                deeper += [v for v in node if type(v) is dict or type(v) is list]
        if not deeper:
            return
        if len(deeper) > _WIDE:  # equal parts of what is large are one object
            deeper = list({id(node): node for node in deeper}.values())
        level = deeper
    raise BadRequest(f"the request body is nested more than {MAX_DEPTH} levels deep")


def _decode_yaml(data: bytes) -> Any:
    from ome.standalone.apiserver import yamlbody  # late: PyYAML costs memory, kubectl sends JSON

    return yamlbody.decode(data, MAX_DEPTH)


def _sentence(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def _type_name(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
