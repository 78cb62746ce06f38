"""Fetching the bytes of many files at once, so that any interruption costs at most a block.

The model: every file is cut into chunks, one ranged request each; a fixed crew of tasks takes
chunks in order, and :class:`~ome.storage.pace.Concurrency` decides how many of them may be on the
wire. Bytes are written where they belong as they come, and every block is entered in the journal
after it was written. A chunk that fails goes on from where it stopped; only attempts that brought
nothing count towards giving up. A file whose hash is wrong is fetched once more from nothing.

Guarantees: after a crash less than one chunk is fetched again (blocks are so small that all
requests together lose less than a chunk); when :meth:`Engine.run` returns, every file is complete
and every hash that the source gave is right.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ome.storage import disk
from ome.storage.errors import (
    CorruptDownload,
    RangeNotSupported,
    RateLimited,
    ServerFailed,
    SourceChanged,
    StorageError,
    Unreachable,
    UnsafeName,
)
from ome.storage.journal import Journal
from ome.storage.meter import Meter
from ome.storage.pace import Backoff, Bandwidth, Concurrency
from ome.storage.source import FileEntry, Source
from ome.storage.verify import STEP, Verifier


@dataclass(frozen=True, slots=True)
class Options:
    """How a download behaves. Sizes in bytes, times in seconds, ``bandwidth`` in bytes a second.

    ``include`` and ``exclude`` are shell patterns over relative paths; an empty ``include`` takes
    everything. ``block_size * highest_concurrency`` must stay below ``chunk_size``.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    chunk_size: int = 32 * 1024 * 1024
    block_size: int = 1024 * 1024
    concurrency: int = 4
    highest_concurrency: int = 16
    bandwidth: float | None = None
    attempts: int = 8
    retry_base: float = 0.5
    retry_cap: float = 30.0
    patience: float = 300.0
    """A longer wait than this that the other side asks for ends the attempt."""
    report_every: float = 0.5
    flush_every: float = 15.0

    def __post_init__(self) -> None:
        if self.block_size * self.highest_concurrency > self.chunk_size:
            raise ValueError("block_size times highest_concurrency must not exceed chunk_size")


@dataclass(slots=True, eq=False)
class _Job:
    """One file on its way."""

    index: int
    entry: FileEntry
    path: Path
    verifier: Verifier
    sequential: bool
    descriptor: int | None = None
    dirty: bool = False
    in_flight: int = 0
    rounds: int = 0
    finishing: bool = False
    restart: bool = False
    digest: str = ""
    hashing: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class _Chunk:
    job: _Job
    start: int
    end: int


class Engine:
    """Fetches the files of one source into one folder. Use once."""

    def __init__(
        self,
        source: Source,
        files: Sequence[FileEntry],
        tree: Path,
        journal: Journal,
        meter: Meter,
        options: Options,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._source = source
        self._files = files
        self._tree = tree
        self._journal = journal
        self._meter = meter
        self._options = options
        self._rng = rng
        self._bandwidth = Bandwidth(options.bandwidth, clock)
        self._concurrency = Concurrency(
            clock,
            start=options.concurrency,
            highest=options.highest_concurrency,
        )
        self._pending: deque[_Chunk] = deque()
        self._unfinished = 0
        self._wake = asyncio.Condition()

    async def run(self) -> list[FileEntry]:
        """Fetch and verify everything; the files with their sha256 filled in."""
        jobs = self._prepare()
        try:
            await self._fetch(jobs)
        finally:
            for job in jobs:
                _close(job)
        return [replace(job.entry, sha256=job.digest) for job in jobs]

    def _prepare(self) -> list[_Job]:
        """Give every file its full size, so that a full disk shows now and not later."""
        jobs: list[_Job] = []
        for index, entry in enumerate(self._files):
            path = self._tree / entry.path
            self._make_file(index, entry, path)
            verifier = Verifier(entry, path)
            jobs.append(_Job(index, entry, path, verifier, sequential=not self._source.ranged))
        return jobs

    def _make_file(self, index: int, entry: FileEntry, path: Path) -> None:
        complete = self._journal.done[index].total() == entry.size
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            status = path.lstat() if os.path.lexists(path) else None
            if status and status.st_size == entry.size and (complete or status.st_nlink == 1):
                return
            # Another size is no use, and a hard link into another model is never written through.
            if status:
                path.unlink()
            if self._journal.done[index].total():
                self._journal.reset(index)
            _create(path, entry.size)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise UnsafeName(
                f"the source has both a file and a folder at {entry.path!r}",
                remedy="exclude one of them",
            ) from error

    async def _fetch(self, jobs: list[_Job]) -> None:
        self._unfinished = len(jobs)
        for job in jobs:
            self._meter.completed_bytes += self._journal.done[job.index].total()
            self._plan(job)
        crew: list[Coroutine[Any, Any, None]] = [
            self._work() for _ in range(self._options.highest_concurrency)
        ]
        crew.append(self._finish_complete(jobs))
        flusher = asyncio.create_task(self._flush(jobs))
        try:
            await _all_or_first_failure(crew)
        finally:
            flusher.cancel()
            await asyncio.gather(flusher, return_exceptions=True)

    def _plan(self, job: _Job) -> None:
        """Queue what is missing of a file. A file that can't be read in parts starts over."""
        done = self._journal.done[job.index]
        size = job.entry.size
        if job.sequential:
            if done.total() not in (0, size):
                self._forget(job)
            if not done.total() and size:
                self._pending.append(_Chunk(job, 0, size))
            return
        step = self._options.chunk_size
        for start, end in done.missing(size):
            for at in range(start, end, step):
                self._pending.append(_Chunk(job, at, min(at + step, end)))

    async def _finish_complete(self, jobs: list[_Job]) -> None:
        """Files that an earlier attempt (or nothing at all) had completed still need their hash."""
        for job in jobs:
            if self._journal.done[job.index].total() == job.entry.size:
                await self._settle(job)

    async def _work(self) -> None:
        while (chunk := await self._take()) is not None:
            await self._concurrency.enter()
            try:
                self._meter.current_file = chunk.job.entry.path
                await self._fetch_chunk(chunk)
            except RangeNotSupported as error:
                if chunk.job.sequential:
                    raise ServerFailed(error.message, remedy=error.remedy) from error
                chunk.job.restart = True
            finally:
                chunk.job.in_flight -= 1
                await self._concurrency.leave()
            await self._settle(chunk.job)

    async def _take(self) -> _Chunk | None:
        async with self._wake:
            await self._wake.wait_for(lambda: self._pending or self._unfinished == 0)
            if not self._pending:
                return None
            chunk = self._pending.popleft()
            chunk.job.in_flight += 1
            return chunk

    async def _settle(self, job: _Job) -> None:
        """After a chunk: hash what can be hashed, finish what is complete, begin again if need."""
        if job.restart:
            await self._read_in_order(job)
            return
        done = self._journal.done[job.index]
        if done.total() < job.entry.size:
            if done.prefix() - job.verifier.hashed >= STEP and not job.hashing.locked():
                async with job.hashing:
                    await job.verifier.advance(done.prefix())
            return
        if job.finishing:
            return
        job.finishing = True
        try:
            async with job.hashing:
                job.digest = await job.verifier.finish()
        except CorruptDownload:
            if job.rounds:
                self._journal.reset(job.index)
                raise
            await self._again(job)
            return
        if job.descriptor is not None:
            await asyncio.to_thread(os.fsync, job.descriptor)
            _close(job)
        async with self._wake:
            self._unfinished -= 1
            self._meter.completed_files += 1
            self._wake.notify_all()

    async def _read_in_order(self, job: _Job) -> None:
        """The server ignores ranges: drop this file's other chunks and read it in one go."""
        self._pending = deque(c for c in self._pending if c.job is not job)
        if job.in_flight:
            return
        job.restart = False
        job.sequential = True
        self._forget(job)
        async with self._wake:
            self._plan(job)
            self._wake.notify_all()

    async def _again(self, job: _Job) -> None:
        """A new, empty file in place of a damaged one (which may be linked from elsewhere)."""
        self._forget(job)
        _close(job)
        job.path.unlink(missing_ok=True)
        _create(job.path, job.entry.size)
        job.rounds += 1
        job.finishing = False
        async with self._wake:
            self._plan(job)
            self._wake.notify_all()

    def _forget(self, job: _Job) -> None:
        self._meter.lost(self._journal.done[job.index].total())
        self._journal.reset(job.index)
        job.verifier = Verifier(job.entry, job.path)

    async def _fetch_chunk(self, chunk: _Chunk) -> None:
        options = self._options
        backoff = Backoff(options.retry_base, options.retry_cap, self._rng)
        position = chunk.start
        while position < chunk.end and not chunk.job.restart:
            before = position
            try:
                position = await self._attempt(chunk, position)
                error: StorageError = Unreachable(
                    f"the connection ended {chunk.end - position} bytes too early "
                    f"while reading {chunk.job.entry.path}",
                    remedy="check the network; OME tries again by itself",
                )
            except StorageError as failure:
                if not failure.retryable or isinstance(failure, SourceChanged):
                    raise
                error = failure
                position = self._reached(chunk, before)
            if position >= chunk.end:
                return
            if position > before:
                backoff.reset()
            if backoff.attempt >= options.attempts:
                raise error
            if chunk.job.sequential:
                self._forget(chunk.job)
                position = chunk.start
            wait = backoff.next(error.retry_after)
            if wait > max(options.patience, options.retry_cap):
                raise error
            if isinstance(error, RateLimited | ServerFailed):
                self._concurrency.slow_down(error.retry_after or 0.0)
            await asyncio.sleep(wait)

    def _reached(self, chunk: _Chunk, position: int) -> int:
        """How far the chunk's bytes are on disk without a gap, after a failed attempt."""
        for start, end in self._journal.done[chunk.job.index].missing(chunk.end):
            if end > position:
                return max(start, position)
        return chunk.end

    async def _attempt(self, chunk: _Chunk, position: int) -> int:
        """One request: write and record what comes. Returns where it ended."""
        job = chunk.job
        recorded = position
        if job.descriptor is None:
            job.descriptor = os.open(job.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            async for piece in self._source.read(job.entry, position, chunk.end):
                if position + len(piece) > chunk.end:
                    raise SourceChanged(
                        f"the source sent more than {chunk.end} bytes of {job.entry.path}, "
                        f"which should have {job.entry.size}",
                        remedy="OME lists the source again and starts over",
                    )
                await self._bandwidth.take(len(piece))
                _write_all(job.descriptor, piece, position)
                job.dirty = True
                position += len(piece)
                self._meter.arrived(len(piece))
                self._concurrency.arrived(len(piece))
                if position - recorded >= self._options.block_size:
                    self._journal.record(job.index, recorded, position)
                    recorded = position
        finally:
            if position > recorded:
                self._journal.record(job.index, recorded, position)
        return position

    async def _flush(self, jobs: list[_Job]) -> None:
        """Now and then make the data durable and say so in the journal (for power cuts)."""
        while True:
            await asyncio.sleep(self._options.flush_every)
            mark = self._journal.mark()
            for job in jobs:
                if not job.dirty or job.descriptor is None:
                    continue
                job.dirty = False
                descriptor = os.dup(job.descriptor)
                try:
                    await asyncio.to_thread(os.fdatasync, descriptor)
                finally:
                    os.close(descriptor)
            self._journal.flushed(mark)


def _create(path: Path, size: int) -> None:
    """A new file with its full size reserved."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        disk.reserve(descriptor, size, path)
    finally:
        os.close(descriptor)


def _close(job: _Job) -> None:
    if job.descriptor is not None:
        os.close(job.descriptor)
        job.descriptor = None


def _write_all(descriptor: int, piece: bytes, position: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(descriptor, view, position)
        view = view[written:]
        position += written


async def _all_or_first_failure(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all; when one fails, stop the others and raise its error."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
