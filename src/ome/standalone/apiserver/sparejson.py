"""Decoding large JSON documents that repeat themselves, with little memory.

A CRD of OME holds the schema of a pod ten times: 760 kB of text, 20 times that as Python objects.
Here equal parts become one object, and a part whose text was seen before is not even decoded. So
the result must never be changed, not even a part that only one place seems to use.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.jsonvalues import shared

_SMALL = 4096
"""Parts up to this many bytes are decoded at once."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_whole = msgspec.json.Decoder().decode


def decode(data: bytes, max_depth: int) -> Any:
    """The value of a JSON text. Raises ``msgspec.DecodeError``, or BadRequest beyond the depth."""
    return _Decoder(max_depth).decode(data, 0)


class _Decoder:
    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._pool: dict[Any, Any] = {}
        self._seen: dict[bytes, Any] = {}

    def decode(self, data: bytes | msgspec.Raw, depth: int) -> Any:
        if len(data) <= _SMALL:
            return shared(_whole(data), self._pool)
        if depth > self._max_depth:
            raise BadRequest(f"the body is nested more than {self._max_depth} levels deep")
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in self._seen:
            return self._seen[digest]
        first = bytes(memoryview(data)[:64]).lstrip()[:1]
        value: Any
        if first == b"{":
            value = {k: self.decode(v, depth + 1) for k, v in _members(data).items()}
        elif first == b"[":
            value = [self.decode(v, depth + 1) for v in _items(data)]
        else:
            value = _whole(data)
        self._seen[digest] = value
        return value
