"""WATCH: changes of a kind from a revision on, as a stream.

A watcher is a cursor into the log of changes, not a queue: it holds no events, so a slow client
costs no memory and disturbs nobody. It reads from the ring in memory, from the log on disk when
it has fallen behind that, and ends with 410 when the log no longer reaches back so far.

With selectors a change can move an object into or out of what the client sees; it is then shown as
ADDED or DELETED, the latter with the labels and fields by which it was seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from ome.apimachinery.errors import Expired
from ome.standalone.apiserver.failures import bad_option
from ome.standalone.apiserver.listing import check_revision, parse_revision
from ome.standalone.apiserver.selecting import Selection, as_selected
from ome.standalone.apiserver.store import ADDED, DELETED, MODIFIED, Compacted, Entry, Event, Store

BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as a client sees it. ``entry`` is None for a bookmark; ``initial_end`` marks the
    bookmark after the initial events."""

    type: int
    entry: Entry | None
    revision: int
    initial_end: bool = False


BOOKMARK = 0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    resource_version: str = ""
    match: str = ""
    bookmarks: bool = False
    initial_events: bool | None = None
    seconds: float = 1800.0
    bookmark_seconds: float = BOOKMARK_SECONDS


def start(store: Store, selection: Selection, options: WatchOptions) -> Watch:
    """Check what is asked and take the starting point. Raises 410 if it is out of reach."""
    _check(options)
    wanted = parse_revision(options.resource_version)
    if options.initial_events is not None:
        check_revision(options.resource_version or "0", options.match, store.revision)
        initial = options.initial_events
        first = store.revision if initial or not wanted else wanted
    else:
        initial = not wanted
        first = store.revision if initial else wanted
    if first > store.revision:
        raise too_old(f"too large resource version: {first}, current: {store.revision}; list again")
    if first < store.compacted:
        raise too_old(f"too old resource version: {first} ({store.compacted})")
    entries = _initial(store, selection) if initial else []
    return Watch(store, selection, options, first, entries)


def _check(options: WatchOptions) -> None:
    if options.initial_events is not None and options.match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise bad_option("ListOptions", "resourceVersionMatch", f"Forbidden: {text}")
    if options.initial_events is None and options.match:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise bad_option("ListOptions", "resourceVersionMatch", f"Forbidden: {text}")


def too_old(message: str) -> Expired:
    return Expired(message)


def _initial(store: Store, selection: Selection) -> list[Entry]:
    found = store.select(selection.kind.bucket, selection.namespace)
    if selection.everything:
        return found
    return [entry for entry in found if selection.matches(entry)]


class Watch:
    """One running watch. Iterate :meth:`batches`."""

    def __init__(
        self,
        store: Store,
        selection: Selection,
        options: WatchOptions,
        revision: int,
        initial: list[Entry],
    ) -> None:
        self._store = store
        self._selection = selection
        self._options = options
        self._revision = revision
        self._initial = initial

    async def batches(self, stopping: Callable[[], bool]) -> AsyncIterator[Sequence[Seen]]:
        """Events in order, some at a time. Ends at the time limit, or when the server stops
        (which wakes all watches). Raises Expired."""
        options = self._options
        clock = time.monotonic
        end = clock() + options.seconds
        yield self._first_batch()
        bookmark_at = clock() + options.bookmark_seconds
        bucket = self._selection.kind.bucket
        with self._store.wakeup(bucket) as changed:
            while not stopping():
                changed.clear()
                reached = self._store.revision
                events = await self._read(bucket)
                if events:
                    self._revision = events[-1].rv
                    batch = [s for e in events if (s := self._see(e)) is not None]
                    if batch:
                        yield batch
                    continue
                self._revision = max(self._revision, reached)
                now = clock()
                if now >= end:
                    return
                if options.bookmarks and now >= bookmark_at:
                    yield [Seen(BOOKMARK, None, self._revision)]
                    bookmark_at = now + options.bookmark_seconds
                    continue
                pause = (min(end, bookmark_at) if options.bookmarks else end) - now
                try:
                    async with asyncio.timeout(pause):
                        await changed.wait()
                except TimeoutError:
                    continue

    def _first_batch(self) -> Sequence[Seen]:
        batch = [Seen(ADDED, entry, entry.rv) for entry in self._initial]
        if self._options.initial_events and self._options.bookmarks:
            batch.append(Seen(BOOKMARK, None, self._revision, initial_end=True))
        self._initial = []
        return batch

    async def _read(self, bucket: str) -> Sequence[Event]:
        try:
            return await self._store.changes(bucket, self._revision)
        except Compacted:
            raise too_old(
                f"too old resource version: {self._revision} ({self._store.compacted}): "
                "the client was too slow"
            ) from None

    def _see(self, event: Event) -> Seen | None:
        selection = self._selection
        entry = event.entry
        if not selection.in_scope(entry):
            return None
        if selection.everything:
            return Seen(event.type, entry, event.rv)
        after = selection.matches(entry)
        before = after if event.previous is None else selection.matches_part(event.previous)
        if event.type == ADDED:
            return Seen(ADDED, entry, event.rv) if after else None
        if event.type == DELETED:
            return Seen(DELETED, entry, event.rv) if before else None
        if after:
            return Seen(MODIFIED if before else ADDED, entry, event.rv)
        if not before:
            return None
        if event.previous is not None:
            entry = as_selected(entry, event.previous)
        return Seen(DELETED, entry, event.rv)
