"""``s3://``, ``gs://`` and ``az://``: a prefix of a bucket, through obstore (Rust, imported late).

obstore signs, pools connections and knows each cloud's chain of identities (keys, roles, workload
identity, metadata service); the bytes go through OME's engine, so resuming, limits and hashes are
the same as everywhere. A read names the ETag that ``list`` saw: an object that was replaced in
between is an error, never a mixture. Buckets give no sha256; where a copy by OME left its manifest
beside the files, the hashes in it are used.

An endpoint that the model's author chose gets the model's own credentials only, never this
machine's identity.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from ome.storage import manifest
from ome.storage.errors import CorruptDownload, SourceChanged, SourceNotFound
from ome.storage.objecterrors import Place, explain
from ome.storage.source import MANIFEST_NAME, FileEntry, SourceSpec

_LARGEST_MANIFEST = 64 * 1024 * 1024
_PIECE = 512 * 1024


class ObjectSource:
    """What lies below ``prefix`` in a bucket, or the one object of that name."""

    ranged = True
    revision = ""

    def __init__(self, place: Place, store: Any, prefix: str) -> None:
        self.uri = place.uri
        self._place = place
        self._store = store
        self._prefix = prefix.strip("/")
        self._keys: dict[str, str] = {}

    async def list(self) -> Sequence[FileEntry]:
        found = await self._below()
        if not found and self._prefix:
            found = await self._alone()
        if not found:
            raise SourceNotFound(
                f"{self._place} has no objects below {self._prefix!r}"
                if self._prefix
                else f"{self._place} is empty",
                remedy="check the prefix in the storage URI",
            )
        return await self._with_hashes(found)

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        if end <= start:
            return
        obstore = import_module("obstore")
        options: dict[str, Any] = {"range": (start, end)}
        if entry.version:
            options["if_match"] = entry.version
        key = self._keys.get(entry.path) or self._key(entry.path)
        try:
            answer = await obstore.get_async(self._store, key, options=options)
            self._same(entry, answer.meta)
            async for piece in answer.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except Exception as error:
            raise explain(error, self._place, entry.path) from error

    async def close(self) -> None:
        return None

    def _same(self, entry: FileEntry, meta: Mapping[str, Any]) -> None:
        """Not every server heeds the condition in the request."""
        now = meta["e_tag"] or ""
        if meta["size"] != entry.size or (
            entry.version and now and now.strip('"') != entry.version.strip('"')
        ):
            raise SourceChanged(
                f"{entry.path} in {self._place} changed at the source while it was read",
                remedy="OME lists the source again and starts over",
            )

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path

    async def _below(self) -> Sequence[FileEntry]:
        obstore = import_module("obstore")
        skip = len(self._prefix) + 1 if self._prefix else 0
        found = []
        try:
            async for batch in obstore.list(self._store, self._prefix or None, chunk_size=1000):
                for item in batch:
                    path = item["path"][skip:]
                    if path:
                        found.append(_entry(path, item))
        except Exception as error:
            raise explain(error, self._place, self._prefix) from error
        # Consoles mark folders with empty objects that bear the folder's name.
        folders = {f.path[:at] for f in found for at in _slashes(f.path)}
        return [f for f in found if f.size or f.path not in folders]

    async def _alone(self) -> Sequence[FileEntry]:
        """The prefix may name one object."""
        obstore = import_module("obstore")
        try:
            item = await obstore.head_async(self._store, self._prefix)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise explain(error, self._place, self._prefix) from error
        name = self._prefix.rpartition("/")[2]
        self._keys[name] = self._prefix
        return [_entry(name, item)]

    async def _with_hashes(self, found: Sequence[FileEntry]) -> Sequence[FileEntry]:
        own = next((f for f in found if f.path == MANIFEST_NAME), None)
        if own is None:
            return found
        files = [f for f in found if f is not own]
        if own.size > _LARGEST_MANIFEST:
            return files
        raw = b"".join([piece async for piece in self.read(own, 0, own.size)])
        return with_hashes(files, raw, self.uri)


def with_hashes(files: Sequence[FileEntry], raw: bytes, uri: str) -> list[FileEntry]:
    """The files with the hashes of the manifest that a copy by OME left beside them."""
    try:
        known = manifest.parse(json.loads(raw))
    except ValueError as error:
        raise CorruptDownload(
            f"{MANIFEST_NAME} in {uri} can't be read", remedy="copy the model there again"
        ) from error
    stated = {entry.path: entry for entry in known.files}
    result = []
    for entry in files:
        other = stated.get(entry.path)
        same = other is not None and other.size == entry.size
        digest = other.sha256 if other is not None and same else ""
        result.append(
            FileEntry(entry.path, entry.size, digest, version=entry.version, md5=entry.md5)
        )
    return result


def _entry(path: str, item: Any) -> FileEntry:
    return FileEntry(path, item["size"], version=item["e_tag"] or "")


def _slashes(path: str) -> list[int]:
    return [at for at, letter in enumerate(path) if letter == "/"]


def open_objects(spec: SourceSpec) -> ObjectSource:
    """``container`` is the bucket, ``path`` the prefix, ``region`` and ``account`` as the URI."""
    from ome.storage.objectconfig import open_store

    place, store = open_store(spec)
    return ObjectSource(place, store, spec.path)
