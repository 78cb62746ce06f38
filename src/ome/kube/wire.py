"""Kubernetes' JSON as it crosses the wire, decoded only as deep as needed.

Lists and watch events are taken apart into one slice of bytes per object; of an object only the few
fields that name it are decoded until somebody looks inside. That is what keeps 5,000 objects at
their own size in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec

from ome.apimachinery.objects import Key, Object, Resource


class ListMeta(msgspec.Struct, rename="camel", frozen=True):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class RawList(msgspec.Struct, frozen=True):
    """One page of a list. The items point into the page's bytes."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class RawEvent(msgspec.Struct, frozen=True):
    """One event of a watch. ``object`` points into the line's bytes."""

    type: str
    object: msgspec.Raw


class Meta(msgspec.Struct, rename="camel", frozen=True):
    """The metadata that names an object and its version."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""

    @property
    def key(self) -> Key:
        return Key(self.namespace or "", self.name)


class _Named(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()


class _Annotated(msgspec.Struct, frozen=True):
    annotations: dict[str, Any] | None = None


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: _Annotated = _Annotated()


class _WithMetadata(msgspec.Struct, frozen=True):
    metadata: Object | None = None


_list_decoder = msgspec.json.Decoder(RawList)
_event_decoder = msgspec.json.Decoder(RawEvent)
_named_decoder = msgspec.json.Decoder(_Named)
_bookmark_decoder = msgspec.json.Decoder(_Bookmark)
_metadata_decoder = msgspec.json.Decoder(_WithMetadata)
_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()

decode_list = _list_decoder.decode
decode_event = _event_decoder.decode
encode = _encoder.encode


def decode(data: bytes | msgspec.Raw) -> Object:
    """A JSON object."""
    return _decoder.decode(data)


def decode_as(data: bytes | msgspec.Raw, resource: Resource) -> Object:
    """An object, with the ``apiVersion`` and ``kind`` that items of built-in lists come without."""
    obj = _decoder.decode(data)
    if "kind" not in obj or "apiVersion" not in obj:
        return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
    return obj


def decode_meta(data: bytes | msgspec.Raw) -> Meta:
    return _named_decoder.decode(data).metadata


def decode_metadata(data: bytes) -> Object:
    """The whole of ``metadata``, and nothing else of the object."""
    return _metadata_decoder.decode(data).metadata or {}


def ends_initial_events(data: bytes | msgspec.Raw) -> bool:
    """Whether a bookmark closes the initial events of a streaming list."""
    annotations = _bookmark_decoder.decode(data).metadata.annotations or {}
    return annotations.get("k8s.io/initial-events-end") == "true"


def drop_managed_fields(data: bytes) -> bytes:
    """The object without ``metadata.managedFields``, for caches that never look at them."""
    if b'"managedFields"' not in data:
        return data
    shallow = cast("dict[str, Any]", msgspec.json.decode(data, type=dict[str, msgspec.Raw]))
    metadata = msgspec.json.decode(shallow["metadata"], type=dict[str, msgspec.Raw])
    if metadata.pop("managedFields", None) is None:
        return data
    shallow["metadata"] = metadata
    return _encoder.encode(shallow)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines out of chunks that end anywhere. What a cut left unfinished is dropped."""
    begun: list[bytes] = []
    async for chunk in chunks:
        head, *rest = chunk.split(b"\n")
        if not rest:
            begun.append(chunk)
            continue
        if begun:
            head = b"".join((*begun, head))
            begun.clear()
        if head.strip():
            yield head
        for line in rest[:-1]:
            if line.strip():
                yield line
        if rest[-1]:
            begun.append(rest[-1])
