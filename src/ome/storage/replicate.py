"""Copying a model from one storage to another, streaming: nothing touches this machine's disk.

Into a folder a copy is a download, with all that it guarantees. Into a bucket files go a few at a
time, each hashed on its way and checked against what the source says; a file whose hash is wrong is
removed again. What is finished is noted in ``.ome-copy.json`` beside the files, so that a copy that
was stopped goes on with the files that are missing (a file that was under way starts over). Last of
all the manifest is written: a bucket with a manifest holds all of the model, and whoever reads it
through OME gets the hashes back.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ome.storage import manifest
from ome.storage.engine import Options
from ome.storage.errors import (
    CorruptDownload,
    InvalidLocation,
    SourceChanged,
    StorageError,
    UnsupportedScheme,
)
from ome.storage.folder import folder_of
from ome.storage.manifest import Manifest
from ome.storage.meter import Meter, Progress
from ome.storage.opening import open_source
from ome.storage.pace import Backoff, Bandwidth
from ome.storage.sink import Sink, open_sink
from ome.storage.source import MANIFEST_NAME, FileEntry, Source, SourceSpec, Staged
from ome.storage.transfer import download, select

STATE_NAME = ".ome-copy.json"
_FILES_AT_ONCE = 4
_NOTE_EVERY = 5.0
_FOLDERS = ("local", "pvc")


async def replicate(
    source: SourceSpec,
    target: SourceSpec,
    *,
    options: Options | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
    rng: random.Random | None = None,
) -> Manifest:
    """Make ``target`` hold the files of ``source``. Raises a :class:`StorageError`.

    ``options`` are those of a download; include and exclude patterns, the bandwidth and the
    retries count for buckets too. ``report`` is called from the event loop.
    """
    if source.uri == target.uri:
        raise InvalidLocation(f"{source.uri} can't be copied onto itself", remedy="name two places")
    options = options or Options()
    opened = open_source(source)
    try:
        if target.scheme in _FOLDERS:
            folder = folder_of(target)
            return await download(opened, folder, options=options, report=report)
        sink = open_sink(target)
        try:
            copy = _Copy(opened, sink, options, clock, rng or random.Random())
            return await copy.run(report)
        finally:
            await sink.close()
    finally:
        await opened.close()


class _Copy:
    """One copy into a bucket. Use once."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        options: Options,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._source = source
        self._sink = sink
        self._options = options
        self._rng = rng
        self._meter = Meter(clock)
        self._bandwidth = Bandwidth(options.bandwidth, time.monotonic)
        self._done: dict[str, tuple[FileEntry, str]] = {}
        self._identity: dict[str, Any] = {}
        self._noted = 0.0
        self._noting = asyncio.Lock()

    async def run(self, report: Callable[[Progress], None]) -> Manifest:
        reporter = asyncio.create_task(self._report(report))
        try:
            return await self._run()
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)
            report(self._meter.snapshot())

    async def _report(self, report: Callable[[Progress], None]) -> None:
        while True:
            report(self._meter.snapshot())
            await asyncio.sleep(self._options.report_every)

    async def _run(self) -> Manifest:
        if isinstance(self._source, Staged):
            raise UnsupportedScheme(
                f"{self._source.uri} is unpacked on disk and can't be streamed into a bucket",
                remedy="copy it to a folder first, and the folder to the bucket",
            )
        files = select(
            await self._source.list(),
            self._options.include,
            self._options.exclude,
            self._source.uri,
        )
        self._identity = {
            "uri": self._source.uri,
            "revision": self._source.revision,
            "include": list(self._options.include),
            "exclude": list(self._options.exclude),
        }
        present = await self._sink.stored()
        whole = await self._whole(files, present)
        if whole is not None:
            return whole
        await self._resume(files, present)
        self._meter.total_bytes = sum(entry.size for entry in files)
        self._meter.total_files = len(files)
        self._meter.begin("downloading")
        if MANIFEST_NAME in present:
            await self._sink.remove(MANIFEST_NAME)
        await self._copy_all([entry for entry in files if entry.path not in self._done])
        return await self._finish(files)

    async def _whole(
        self, files: Sequence[FileEntry], present: Mapping[str, tuple[int, str]]
    ) -> Manifest | None:
        """The manifest there, if it is of exactly these files and they are all there."""
        raw = await self._sink.read(MANIFEST_NAME) if MANIFEST_NAME in present else None
        try:
            found = manifest.parse(json.loads(raw)) if raw else None
        except ValueError:
            return None
        if found is None or found.revision != self._source.revision:
            return None
        stated = {entry.path: entry for entry in found.files}
        for entry in files:
            other = stated.get(entry.path)
            if other is None or present.get(entry.path, (-1, ""))[0] != entry.size:
                return None
            if not self._same(entry, other):
                return None
        return found

    def _same(self, entry: FileEntry, copied: FileEntry) -> bool:
        """By their hashes; hubs have none of the contents of small files, but one of git's."""
        if entry.sha256:
            return copied.sha256 == entry.sha256
        return bool(entry.git_sha1) and copied.git_sha1 == entry.git_sha1

    async def _resume(
        self, files: Sequence[FileEntry], present: Mapping[str, tuple[int, str]]
    ) -> None:
        """What an earlier attempt noted counts where both sides are still what they were."""
        raw = await self._sink.read(STATE_NAME) if STATE_NAME in present else None
        try:
            state = json.loads(raw) if raw else {}
            notes = {note["path"]: note for note in state.get("done", ())}
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if state.get("of") != self._identity:
            return
        for entry in files:
            note = notes.get(entry.path)
            if note is None or present.get(entry.path) != (entry.size, note["stored"]):
                continue
            if note["version"] == entry.version and entry.sha256 in ("", note["sha256"]):
                self._done[entry.path] = (replace(entry, sha256=note["sha256"]), note["stored"])
                self._meter.completed_bytes += entry.size
                self._meter.completed_files += 1

    async def _copy_all(self, files: Sequence[FileEntry]) -> None:
        waiting = iter(files)

        async def work() -> None:
            for entry in waiting:
                await self._copy(entry)

        tasks = [asyncio.create_task(work()) for _ in range(_FILES_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._done:
                await asyncio.shield(self._note())

    async def _copy(self, entry: FileEntry) -> None:
        """One file, tried again as a whole where the bucket failed."""
        options = self._options
        backoff = Backoff(options.retry_base, options.retry_cap, self._rng)
        while True:
            content = _Content(self._source, entry, self._options, self._meter, self._rng)
            try:
                self._meter.current_file = entry.path
                await self._sink.write(entry.path, entry.size, content.pieces(self._bandwidth))
                digest = content.verify()
                break
            except StorageError as error:
                failure = content.failure or error
                self._meter.lost(content.position)
                if isinstance(failure, CorruptDownload):
                    await self._sink.remove(entry.path)
                if not failure.retryable or isinstance(failure, SourceChanged):
                    raise failure from error
                if backoff.attempt >= options.attempts:
                    raise failure from error
                await asyncio.sleep(backoff.next(failure.retry_after))
        self._meter.completed_files += 1
        self._done[entry.path] = (replace(entry, sha256=digest), "")
        if time.monotonic() - self._noted > _NOTE_EVERY:
            await self._note()

    async def _note(self) -> None:
        """Write down what is finished. Only what the bucket lists counts."""
        async with self._noting:
            self._noted = time.monotonic()
            present = await self._sink.stored()
            notes = [
                {
                    "path": entry.path,
                    "version": entry.version,
                    "sha256": entry.sha256,
                    "stored": present[entry.path][1],
                }
                for entry, _ in self._done.values()
                if present.get(entry.path, (-1, ""))[0] == entry.size
            ]
            raw = json.dumps({"of": self._identity, "done": notes}).encode()
            await self._sink.write(STATE_NAME, len(raw), _once(raw))

    async def _finish(self, files: Sequence[FileEntry]) -> Manifest:
        """Everything must be there with its size; then the manifest says that it is."""
        self._meter.begin("finalizing")
        present = await self._sink.stored()
        for entry in files:
            size = present.get(entry.path, (-1, ""))[0]
            if size != entry.size:
                raise CorruptDownload(
                    f"{self._sink.uri} holds {max(size, 0)} bytes of {entry.path} after the copy, "
                    f"not {entry.size}",
                    remedy="copy again; does anybody else write there?",
                )
        copied = tuple(self._done[entry.path][0] for entry in files)
        selection = (self._options.include, self._options.exclude)
        result = Manifest(self._source.uri, self._source.revision, copied, selection)
        raw = json.dumps(result.to_json(), indent=1).encode()
        await self._sink.write(MANIFEST_NAME, len(raw), _once(raw))
        await self._sink.remove(STATE_NAME)
        return result


class _Content:
    """The bytes of one file on their way: retried, counted, hashed."""

    def __init__(
        self,
        source: Source,
        entry: FileEntry,
        options: Options,
        meter: Meter,
        rng: random.Random,
    ) -> None:
        self._source = source
        self._entry = entry
        self._options = options
        self._meter = meter
        self._rng = rng
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._git = hashlib.sha1(b"blob %d\0" % entry.size, usedforsecurity=False)
        self.position = 0
        self.failure: StorageError | None = None
        """Why the source could not go on: libraries don't hand it through unharmed."""

    async def pieces(self, bandwidth: Bandwidth) -> AsyncIterator[bytes]:
        entry = self._entry
        backoff = Backoff(self._options.retry_base, self._options.retry_cap, self._rng)
        while self.position < entry.size:
            before = self.position
            try:
                async for piece in self._source.read(entry, self.position, entry.size):
                    await bandwidth.take(len(piece))
                    self._take(piece)
                    yield piece
                if self.position >= entry.size:
                    return
                error = StorageError(f"{entry.path} ended after {self.position} bytes")
            except StorageError as failure:
                error = failure
                if not failure.retryable or isinstance(failure, SourceChanged):
                    self.failure = failure
                    raise
            if self.position > before:
                backoff.reset()
            if backoff.attempt >= self._options.attempts or not self._source.ranged:
                self.failure = error
                raise error
            await asyncio.sleep(backoff.next(error.retry_after))

    def _take(self, piece: bytes) -> None:
        self.position += len(piece)
        if self.position > self._entry.size:
            self.failure = SourceChanged(
                f"the source sent more than the {self._entry.size} bytes of {self._entry.path}",
                remedy="copy again",
            )
            raise self.failure
        self._sha256.update(piece)
        if self._entry.md5:
            self._md5.update(piece)
        if self._entry.git_sha1:
            self._git.update(piece)
        self._meter.arrived(len(piece))

    def verify(self) -> str:
        """The sha256. Raises ``CorruptDownload`` where a hash is not what the source says."""
        entry = self._entry
        digest = self._sha256.hexdigest()
        wrong = (
            (entry.sha256 and digest != entry.sha256.lower())
            or (entry.md5 and self._md5.hexdigest() != entry.md5.lower())
            or (entry.git_sha1 and self._git.hexdigest() != entry.git_sha1.lower())
        )
        if wrong:
            raise CorruptDownload(
                f"{entry.path} arrived damaged: its hash is not what the source says",
                remedy="OME copies it again; if this repeats, a proxy or the source is at fault",
            )
        return digest


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw
