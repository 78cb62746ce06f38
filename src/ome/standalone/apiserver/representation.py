"""An object, a list or a watch event in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Iterable

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import tables
from ome.standalone.apiserver.codec import decode_stored, encode
from ome.standalone.apiserver.engine import Engine
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.listing import Page
from ome.standalone.apiserver.printing import Printer
from ome.standalone.apiserver.requests import Accept
from ome.standalone.apiserver.store import TYPE_NAMES, Entry
from ome.standalone.apiserver.watching import BOOKMARK, Seen

FORMS = ("Table", "PartialObjectMetadata")
_META_VERSION = "meta.k8s.io/v1"


class Representation:
    def __init__(self, engine: Engine, kind: Kind, accept: Accept, include: str) -> None:
        self._engine = engine
        self._kind = kind
        self.accept = accept
        self._include = include
        self._header = True
        self._printer: Printer | None = None
        if accept.form == "Table":
            if include not in ("", "None", "Metadata", "Object"):
                raise BadRequest(
                    f'includeObject must be "None", "Metadata" or "Object", not "{include[:40]}"'
                )
            self._printer = tables.printer_for(kind)

    def one(self, entry: Entry) -> bytes:
        data = self._engine.served(self._kind, entry)
        if self._printer is not None:
            obj = decode_stored(data)
            meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return self._table(self._printer, [obj], meta)
        if self.accept.form == "PartialObjectMetadata":
            return encode(partial(decode_stored(data)))
        return data

    def many(self, page: Page) -> bytes:
        meta: Object = {"resourceVersion": str(page.revision)}
        if page.token:
            meta["continue"] = page.token
        if page.remaining:
            meta["remainingItemCount"] = page.remaining
        if self._printer is not None:
            objects = [decode_stored(self._engine.served(self._kind, e)) for e in page.entries]
            return self._table(self._printer, objects, meta)
        items: Iterable[bytes] = (self.one(entry) for entry in page.entries)
        kind, version = self._kind.list_kind, self._kind.resource.api_version
        if self.accept.form == "PartialObjectMetadata":
            kind, version = "PartialObjectMetadataList", _META_VERSION
        head = encode({"kind": kind, "apiVersion": version, "metadata": meta})
        return head[:-1] + b',"items":[' + b",".join(items) + b"]}\n"

    def _table(self, printer: Printer, objects: list[Object], meta: Object) -> bytes:
        """In a watch only the first table has column definitions."""
        header, self._header = self._header, False
        return encode(tables.table(printer, objects, meta, include=self._include, header=header))

    def event(self, seen: Seen) -> bytes:
        if seen.type == BOOKMARK:
            return encode({"type": "BOOKMARK", "object": self._bookmark(seen)}) + b"\n"
        assert seen.entry is not None
        kind = TYPE_NAMES[seen.type]
        return b'{"type":"' + kind.encode() + b'","object":' + self.one(seen.entry) + b"}\n"

    def _bookmark(self, seen: Seen) -> Object:
        meta: Object = {"resourceVersion": str(seen.revision)}
        if seen.initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = self._kind.resource
        obj: Object = {
            "kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta,
        }  # fmt: skip
        if self._printer is not None:
            # A row without cells carries the bookmark's metadata.
            row: Object = {"cells": [], "object": partial(obj)}
            return {
                "kind": "Table", "apiVersion": _META_VERSION, "metadata": meta,
                "columnDefinitions": [], "rows": [row],
            }  # fmt: skip
        return partial(obj) if self.accept.form == "PartialObjectMetadata" else obj


def partial(obj: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": _META_VERSION,
        "metadata": obj["metadata"],
    }
