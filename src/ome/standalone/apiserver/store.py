"""Objects and their changes: in memory for reading, in SQLite for keeping.

The model
---------
Every kind has a *bucket* (``apps/deployments``). The store keeps the newest state of each object
as the JSON bytes that the API serves (:class:`Entry`), and a window of changes (:class:`Event`).
Each change has a *revision*, which is the object's ``resourceVersion``: one counter for all
buckets.

The guarantees
--------------
* A write is visible (to readers and watchers) only after it is durable, and writes become visible
  in the order of their revisions. ``Store.revision`` is the newest visible one.
* Writes that come while the disk is busy go into one transaction together (group commit).
* A write names the revision it replaces; if that is no longer the newest, visible or on its way,
  the write fails with :class:`Stale` and nothing happens.
* Changes after any revision can be read until they leave the window; then :class:`Compacted`.

Methods must be called from one event loop; only the writer thread touches SQLite for writing.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import logging
import queue
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ome.standalone.apiserver.disk import Disk, Row, StoreError

log = logging.getLogger(__name__)

ADDED, MODIFIED, DELETED = 1, 2, 3
TYPE_NAMES = {ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED"}

GROUP_LIMIT = 64
"""Most writes in one transaction."""

LARGE = 64 << 10
"""Bytes of JSON from which on an object is kept compressed in memory."""

EntryKey = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""


class Stale(Exception):  # noqa: N818 - reads as the state it reports
    """The object changed since the revision that the write is based on."""


class Compacted(Exception):  # noqa: N818
    """The changes asked for are no longer kept."""


class StoreFull(StoreError):  # noqa: N818
    """The disk did not take a write. Nothing was changed."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One state of one object, as the JSON bytes that are served.

    Made with :meth:`of`. Large ones are kept compressed: the eight CRDs alone are 2 MB of JSON
    that hardly anybody reads, and a millisecond of unpacking each when somebody does.
    """

    namespace: str
    name: str
    rv: int
    kept: bytes
    packed: bool = False

    @classmethod
    def of(cls, namespace: str, name: str, rv: int, data: bytes) -> Entry:
        if len(data) <= LARGE:
            return cls(namespace, name, rv, data)
        return cls(namespace, name, rv, zlib.compress(data, 1), packed=True)

    @property
    def data(self) -> bytes:
        return zlib.decompress(self.kept) if self.packed else self.kept


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change. For a deletion ``entry`` is the last state, with the deletion's revision."""

    type: int
    entry: Entry
    previous: bytes | None

    @property
    def rv(self) -> int:
        return self.entry.rv


@dataclass(slots=True)
class Limits:
    """How much history is kept: on disk, and of that in memory for each bucket."""

    log_rows: int = 10_000
    log_bytes: int = 64 << 20
    ring_rows: int = 256
    ring_bytes: int = 512 << 10


class Bucket:
    """All objects of one kind, the newest changes, and who waits for more."""

    __slots__ = ("_order", "_ring_bytes", "entries", "ring", "ring_start", "waiters")

    def __init__(self, start: int) -> None:
        self.entries: dict[EntryKey, Entry] = {}
        self.ring: deque[Event] = deque()
        self.ring_start = start
        """Every change of this bucket after this revision is in ``ring``."""
        self.waiters: set[asyncio.Event] = set()
        self._ring_bytes = 0
        self._order: list[EntryKey] | None = None

    def order(self) -> list[EntryKey]:
        """All keys, sorted."""
        if self._order is None:
            self._order = sorted(self.entries)
        return self._order

    def select(self, namespace: str) -> list[Entry]:
        """Entries of a namespace (all if empty), sorted by key."""
        order = self.order()
        if not namespace:
            return [self.entries[key] for key in order]
        first = bisect.bisect_left(order, (namespace, ""))
        last = bisect.bisect_left(order, (namespace + "\0", ""))
        return [self.entries[key] for key in order[first:last]]

    def apply(self, event: Event, limits: Limits) -> None:
        entry = event.entry
        key = (entry.namespace, entry.name)
        if event.type == DELETED:
            self.entries.pop(key, None)
            self._order = None
        else:
            if key not in self.entries:
                self._order = None
            self.entries[key] = entry
        self.ring.append(event)
        self._ring_bytes += len(entry.kept)
        while len(self.ring) > limits.ring_rows or (
            self._ring_bytes > limits.ring_bytes and len(self.ring) > 1
        ):
            dropped = self.ring.popleft()
            self._ring_bytes -= len(dropped.entry.kept)
            self.ring_start = dropped.rv
        for waiter in self.waiters:
            waiter.set()


@dataclass(slots=True)
class _Write:
    bucket: str
    event: Event
    done: asyncio.Future[Entry]

    def row(self) -> Row:
        entry = self.event.entry
        return Row(
            entry.rv,
            self.event.type,
            self.bucket,
            entry.namespace,
            entry.name,
            entry.data,
            self.event.previous,
        )


@dataclass(slots=True)
class _KeyLock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Store:
    """See the module's text. Open with :meth:`open`, end with :meth:`close`."""

    def __init__(self, disk: Disk, limits: Limits) -> None:
        self._disk = disk
        self._limits = limits
        self.revision = disk.revision()
        self.compacted = disk.compacted()
        self._next = self.revision
        self._buckets: dict[str, Bucket] = {}
        self._pending: dict[tuple[str, str, str], _Write] = {}
        self._locks: dict[tuple[str, str, str], _KeyLock] = {}
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        for bucket, namespace, name, rv, data in disk.objects():
            self.bucket(bucket).entries[namespace, name] = Entry.of(namespace, name, rv, data)
        self._thread = threading.Thread(target=self._run, name="ome-store", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, limits: Limits | None = None) -> Store:
        """Open or create the store. Raises :class:`StoreError` with one clear sentence."""
        return cls(Disk(Path(path)), limits or Limits())

    # -- reading ---------------------------------------------------------------------------

    def bucket(self, name: str) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(self.revision)
        return found

    def get(self, bucket: str, namespace: str, name: str) -> Entry | None:
        return self.bucket(bucket).entries.get((namespace, name))

    def select(self, bucket: str, namespace: str = "") -> list[Entry]:
        return self.bucket(bucket).select(namespace)

    async def changes(self, bucket: str, after: int, limit: int = 500) -> Sequence[Event]:
        """Changes of a bucket after a revision, oldest first, at most about ``limit``.

        Empty means that there are none up to ``Store.revision`` at the time of return. Raises
        :class:`Compacted` if some of them are no longer kept.
        """
        ring = self.bucket(bucket)
        if after >= ring.ring_start:
            return _tail(ring.ring, after, limit)
        if after < self.compacted:
            raise Compacted
        rows = await asyncio.to_thread(self._disk.read_log, bucket, after, limit)
        if after < self.compacted:
            raise Compacted
        if not rows:
            return _tail(ring.ring, after, limit)
        return [
            Event(row.type, Entry.of(row.namespace, row.name, row.rv, row.data), row.previous)
            for row in rows
        ]

    @contextlib.contextmanager
    def wakeup(self, bucket: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the bucket changes."""
        event = asyncio.Event()
        waiters = self.bucket(bucket).waiters
        waiters.add(event)
        try:
            yield event
        finally:
            waiters.discard(event)

    def wake_all(self) -> None:
        """Set every event that :meth:`wakeup` gave out."""
        for bucket in self._buckets.values():
            for waiter in bucket.waiters:
                waiter.set()

    # -- writing ---------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def lock(self, bucket: str, namespace: str, name: str) -> AsyncIterator[None]:
        """Serialises read-change-write of one object. A write that its maker no longer waits for
        is waited for here."""
        key = (bucket, namespace, name)
        entry = self._locks.setdefault(key, _KeyLock())
        entry.users += 1
        try:
            async with entry.lock:
                while (write := self._pending.get(key)) is not None:
                    await asyncio.wait([write.done])
                yield
        finally:
            entry.users -= 1
            if not entry.users:
                del self._locks[key]

    def next_revision(self) -> int:
        """Take a revision for a write. It must be handed to :meth:`write` before any ``await``."""
        self._next += 1
        return self._next

    def write(
        self,
        bucket: str,
        entry: Entry,
        *,
        expected: int,
        delete: bool = False,
        previous: bytes | None = None,
    ) -> asyncio.Future[Entry]:
        """Replace the state of revision ``expected`` (0: create). The future is done when the
        change is durable and visible; it fails with :class:`StoreFull` if the disk refuses.

        Raises :class:`Stale` at once if ``expected`` is not the newest revision.
        """
        if self._closed:
            raise StoreError("the store is closed")
        key = (bucket, entry.namespace, entry.name)
        pending = self._pending.get(key)
        newest = pending.event if pending else None
        found = newest.entry if newest else self.get(*key)
        gone = found is None or (newest is not None and newest.type == DELETED)
        if (0 if gone or found is None else found.rv) != expected:
            raise Stale
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        kind = DELETED if delete else (MODIFIED if expected else ADDED)
        done: asyncio.Future[Entry] = self._loop.create_future()
        write = self._pending[key] = _Write(bucket, Event(kind, entry, previous), done)
        self._queue.put(write)
        return done

    def close(self) -> None:
        """Finish the queued writes and close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._disk.close()

    # -- the writer ------------------------------------------------------------------------

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            last = False
            while len(group) < GROUP_LIMIT:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                group.append(more)
            error: Exception | None = None
            try:
                self._disk.append([write.row() for write in group])
            except sqlite3.Error as problem:
                error = StoreFull(f"{self._disk.path} did not take the write: {problem}")
                log.error("%s", error)
            self._notify(group, error)
            if last:
                return
            self._compact_if_due()

    def _notify(self, group: list[_Write], error: Exception | None) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._finish, group, error)

    def _compact_if_due(self) -> None:
        limits = self._limits
        slack = 1.25  # so that compaction is rare and its cost is spread
        rows, size = self._disk.log_rows, self._disk.log_bytes
        if rows <= limits.log_rows * slack and size <= limits.log_bytes * slack:
            return
        try:
            point = self._disk.compaction_point(limits.log_rows, limits.log_bytes)
            # Announced before the rows go, so that no reader takes a gap for silence.
            self.compacted = max(self.compacted, point)
            self._disk.drop_log(point)
        except sqlite3.Error as problem:
            log.warning("could not shorten the log of %s: %s", self._disk.path, problem)

    def _finish(self, group: list[_Write], error: Exception | None) -> None:
        for write in group:
            entry = write.event.entry
            key = (write.bucket, entry.namespace, entry.name)
            if self._pending.get(key) is write:
                del self._pending[key]
            if error is None:
                self.revision = entry.rv
                self.bucket(write.bucket).apply(write.event, self._limits)
            if write.done.done():
                continue
            if error is None:
                write.done.set_result(entry)
            else:
                write.done.set_exception(error)


def _tail(ring: deque[Event], after: int, limit: int) -> list[Event]:
    """Events after a revision, looked up from the new end, because watchers are mostly there."""
    found: list[Event] = []
    for event in reversed(ring):
        if event.rv <= after:
            break
        found.append(event)
    found.reverse()
    return found[:limit]
