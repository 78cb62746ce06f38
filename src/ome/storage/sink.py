"""Where a copy of a model may go: the counterpart of a source, as small as one.

A :class:`Sink` stores whole files and says what it holds. Buckets show an object only when it is
complete, so a copy that stops leaves no half file behind. Folders need no sink: downloading into
them is the engine's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from ome.storage.errors import SourceNotFound, UnsupportedScheme
from ome.storage.objecterrors import Place, explain
from ome.storage.source import SourceSpec

MIB = 1024 * 1024
SMALLEST_PART = 8 * MIB
MOST_PARTS = 9_000
AT_ONCE = 3


class Sink(Protocol):
    """A prefix of a bucket that can be written to. Paths are relative to it."""

    uri: str

    async def stored(self) -> Mapping[str, tuple[int, str]]:
        """Size and version (ETag) of everything below the prefix. Raises a ``StorageError``."""
        ...

    async def write(self, path: str, size: int, content: AsyncIterator[bytes]) -> None:
        """Store a file of exactly ``size`` bytes; it appears when it is complete, or never."""
        ...

    async def read(self, path: str) -> bytes | None:
        """A small file; None where there is none."""
        ...

    async def remove(self, path: str) -> None: ...

    async def close(self) -> None: ...


def part_size(size: int) -> int:
    """How large the parts of a file are: whole mebibytes, and not too many of them."""
    return max(SMALLEST_PART, -(-size // MOST_PARTS // MIB) * MIB)


class ObjectSink:
    """S3, Google and Azure through obstore."""

    def __init__(self, place: Place, store: Any, prefix: str) -> None:
        self.uri = place.uri
        self._place = place
        self._store = store
        self._prefix = prefix.strip("/")

    async def stored(self) -> Mapping[str, tuple[int, str]]:
        obstore = import_module("obstore")
        skip = len(self._prefix) + 1 if self._prefix else 0
        found = {}
        try:
            async for batch in obstore.list(self._store, self._prefix or None, chunk_size=1000):
                for item in batch:
                    found[item["path"][skip:]] = (item["size"], item["e_tag"] or "")
        except Exception as error:
            raise explain(error, self._place, self._prefix) from error
        return found

    async def write(self, path: str, size: int, content: AsyncIterator[bytes]) -> None:
        obstore = import_module("obstore")
        part = part_size(size)
        try:
            if size <= part:
                await obstore.put_async(
                    self._store, self._key(path), await gathered(content), use_multipart=False
                )
            else:
                await obstore.put_async(
                    self._store,
                    self._key(path),
                    content,
                    use_multipart=True,
                    chunk_size=part,
                    max_concurrency=AT_ONCE,
                )
        except Exception as error:
            raise explain(error, self._place, path) from error

    async def read(self, path: str) -> bytes | None:
        obstore = import_module("obstore")
        try:
            answer = await obstore.get_async(self._store, self._key(path))
            return bytes(await answer.bytes_async())
        except FileNotFoundError:
            return None
        except Exception as error:
            raise explain(error, self._place, path) from error

    async def remove(self, path: str) -> None:
        obstore = import_module("obstore")
        try:
            await obstore.delete_async(self._store, self._key(path))
        except FileNotFoundError:
            return
        except Exception as error:
            raise explain(error, self._place, path) from error

    async def close(self) -> None:
        return None

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


class OciSink:
    """Oracle's object storage."""

    def __init__(self, spec: SourceSpec) -> None:
        from ome.storage.oci import Bucket

        self.uri = spec.uri
        self._bucket = Bucket(spec)
        self._prefix = spec.path.strip("/")

    async def stored(self) -> Mapping[str, tuple[int, str]]:
        from ome.storage.oci import listed

        await self._bucket.open()
        skip = len(self._prefix) + 1 if self._prefix else 0
        prefix = f"{self._prefix}/" if self._prefix else ""
        return {
            item["name"][skip:]: (int(item.get("size") or 0), item.get("etag") or "")
            for item in await listed(self._bucket, prefix)
        }

    async def write(self, path: str, size: int, content: AsyncIterator[bytes]) -> None:
        await self._bucket.open()
        key = self._key(path)
        part = part_size(size)
        if size <= part:
            await self._bucket.call(
                "PUT", self._bucket.object_url(key), path, content=await gathered(content)
            )
            return
        begun, _ = await self._bucket.call(
            "POST", self._bucket.url("/u"), path, body={"object": key}
        )
        query = f"uploadId={begun['uploadId']}"
        try:
            parts = await self._parts(key, path, query, part, content)
            body = {"partsToCommit": parts}
            url = self._bucket.object_url(key, kind="u", query=query)
            await self._bucket.call("POST", url, path, body=body)
        except BaseException:
            await self._abort(key, path, query)
            raise

    async def _parts(
        self, key: str, path: str, query: str, size: int, content: AsyncIterator[bytes]
    ) -> Sequence[dict[str, Any]]:
        """Upload the parts, a few at once; their numbers and ETags."""
        at_once = asyncio.Semaphore(AT_ONCE)

        async def upload(number: int, data: bytes) -> dict[str, Any]:
            try:
                url = self._bucket.object_url(
                    key, kind="u", query=f"{query}&uploadPartNum={number}"
                )
                _, headers = await self._bucket.call("PUT", url, path, content=data)
                return {"partNum": number, "etag": headers["ETag"]}
            finally:
                at_once.release()

        tasks: list[asyncio.Task[dict[str, Any]]] = []
        try:
            async for data in in_parts(content, size):
                await at_once.acquire()
                if any(t.done() and t.exception() for t in tasks):
                    break
                tasks.append(asyncio.create_task(upload(len(tasks) + 1, data)))
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _abort(self, key: str, path: str, query: str) -> None:
        """Parts that nobody will use cost money. Best effort: the failure itself is reported."""
        from ome.storage.errors import StorageError

        try:
            url = self._bucket.object_url(key, kind="u", query=query)
            await asyncio.shield(self._bucket.call("DELETE", url, path))
        except StorageError:
            return

    async def read(self, path: str) -> bytes | None:
        await self._bucket.open()
        try:
            return await self._bucket.content(self._key(path), path)
        except SourceNotFound:
            return None

    async def remove(self, path: str) -> None:
        await self._bucket.open()
        try:
            await self._bucket.call("DELETE", self._bucket.object_url(self._key(path)), path)
        except SourceNotFound:
            return

    async def close(self) -> None:
        await self._bucket.close()

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


def open_sink(spec: SourceSpec) -> Sink:
    """The bucket of a location, for writing. Raises ``UnsupportedScheme``, ``InvalidLocation``."""
    if spec.scheme in ("s3", "gs", "az"):
        from ome.storage.objectconfig import open_store

        place, store = open_store(spec)
        return ObjectSink(place, store, spec.path)
    if spec.scheme == "oci":
        return OciSink(spec)
    raise UnsupportedScheme(
        f"OME can't write to {spec.scheme}:// ({spec.uri})",
        remedy="copy to s3://, gs://, az://, oci://, local:// or a mounted pvc://",
    )


async def gathered(content: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in content])


async def in_parts(content: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of exactly ``size``, but for the last."""
    held = bytearray()
    async for piece in content:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
