"""Keeps a copy of one collection true to the server, for as long as it runs.

How it goes: read everything once (pages of a list, or a streaming list), then follow the watch from
that version on. What happens then:

======================================  ==========================================================
the server ends the watch               go on from the last version seen (bookmarks move it too)
the connection is cut, mid-line or not  the same, after a pause that grows with each failure, and
                                        starts anew after a watch that held for a while
410, as answer or as ERROR event        read everything again, after a random pause
any other error, again and again        read everything again
======================================  ==========================================================

Reading again is compared with what is held: objects that vanished meanwhile are reported as
deleted, changed ones as changed, and nothing is reported for the rest. No version of an object is
reported twice. An object's old bytes are kept when its version did not change, so that reading
again does not double the memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ome.apimachinery.errors import BadRequest, Expired, Forbidden, Invalid, StatusError
from ome.apimachinery.objects import Key, Resource
from ome.kube import wire
from ome.kube.backoff import Backoff
from ome.kube.client import Client
from ome.kube.errors import KubeError
from ome.kube.store import Entry, Transform

log = logging.getLogger("ome.kube.reflector")

_GIVE_UP_POSITION_AFTER = 5
_STREAMING_PATIENCE = 10.0
_HELD = 10.0
"""Seconds after which a watch that is cut was none that failed: proxies cut what is quiet."""


class Sink(Protocol):
    """What takes the changes. Calls are synchronous and must be short."""

    def entry(self, key: Key) -> Entry | None: ...
    def replace(self, entries: dict[Key, Entry]) -> None: ...
    def upsert(self, entry: Entry) -> None: ...
    def remove(self, entry: Entry) -> None: ...


@dataclass(slots=True)
class ReflectorStats:
    """Counters since the start, for metrics and for questions like "why is this slow"."""

    lists: int = 0
    watches: int = 0
    events: int = 0
    bookmarks: int = 0
    expired: int = 0
    failures: int = 0
    last_error: str = ""
    last_contact: float = 0.0  # time.monotonic() of the last word from the server


class Reflector:
    """``streaming``: ask for a streaming list (WatchList) first; a server that refuses it, or does
    not know it, gets plain lists from then on. Lists are the default: they cost the same here and
    every server has them. ``metadata_only``: nothing but the objects' metadata is read."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        streaming: bool = False,
        metadata_only: bool = False,
        watch_seconds: tuple[int, int] = (300, 600),
        relist_jitter: float = 1.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.stats = ReflectorStats()
        self._client = client
        self._resource = resource
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._streaming = streaming
        self._metadata_only = metadata_only
        self._watch_seconds = watch_seconds
        self._relist_jitter = relist_jitter
        self._backoff = backoff or Backoff()
        self._position = ""
        self._opened = 0.0
        """When the present watch began, by time.monotonic(); 0 while there is none."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            begin = time.monotonic()
            heard = self.stats.events + self.stats.bookmarks
            try:
                if not self._position and not self._streaming:
                    await self._list()
                await self._watch()
            except Expired as error:
                self._expired(error)
                await asyncio.sleep(random.random() * self._relist_jitter)
            except (StatusError, KubeError, msgspec.MsgspecError) as error:
                await asyncio.sleep(self._failed(error))
            else:
                if not self._position:
                    continue  # no streaming list was to be had: on with a plain one
                self._recovered()
                if time.monotonic() - begin < 1 and heard == (
                    self.stats.events + self.stats.bookmarks
                ):
                    # A server that ends watches at once must not be asked without a pause.
                    await asyncio.sleep(1 + random.random())

    async def _list(self) -> None:
        self.stats.lists += 1
        entries: dict[Key, Entry] = {}
        version = ""
        pages = self._client.pages(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        )
        async with aclosing(pages):
            async for page, first in pages:
                if first:
                    entries.clear()
                for raw in page.items or ():
                    entry = self._entry(raw)
                    entries[entry.key] = entry
                version = page.metadata.resource_version
        if not version:
            raise KubeError("the list has no resourceVersion: this kind can't be watched")
        self._sink.replace(entries)
        self._position = version
        self._recovered()

    async def _watch(self) -> None:
        """One watch, to its end."""
        initial: dict[Key, Entry] | None = None if self._position else {}
        self.stats.watches += 1
        self._opened = 0.0
        events = self._client.watch_raw(
            self._resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._position,
            initial_events=initial is not None,
            timeout_seconds=random.randint(*self._watch_seconds),
            metadata_only=self._metadata_only,
            opened=self._agreed,
        )
        patience = _STREAMING_PATIENCE if initial is not None else None
        try:
            async with aclosing(events), asyncio.timeout(patience) as limit:
                async for event in events:
                    self.stats.last_contact = time.monotonic()
                    if initial is None:
                        self._follow(event)
                        continue
                    limit.reschedule(asyncio.get_running_loop().time() + _STREAMING_PATIENCE)
                    if self._collect(event, initial):
                        limit.reschedule(None)
                        initial = None
        except (BadRequest, Invalid, Forbidden) as error:
            if initial is None or isinstance(error, Forbidden):
                raise
            self._no_streaming(str(error))
        except TimeoutError:
            self._no_streaming("no end of the initial events came")
        else:
            if initial is not None:
                self._no_streaming("the watch ended before the end of the initial events")

    def _collect(self, event: wire.RawEvent, initial: dict[Key, Entry]) -> bool:
        """One event of a streaming list; True for the one that completes it."""
        if event.type != "BOOKMARK":
            entry = self._entry(event.object)
            if event.type == "DELETED":
                initial.pop(entry.key, None)
            else:
                initial[entry.key] = entry
            return False
        if not wire.ends_initial_events(event.object):
            return False
        self.stats.lists += 1
        self._sink.replace(initial)
        self._position = wire.decode_meta(event.object).resource_version
        self._recovered()
        return True

    def _follow(self, event: wire.RawEvent) -> None:
        if event.type == "BOOKMARK":
            self.stats.bookmarks += 1
            self._position = wire.decode_meta(event.object).resource_version
            return
        self.stats.events += 1
        entry = Entry.of(event.object, self._transform)
        if event.type == "DELETED":
            self._sink.remove(entry)
        else:
            self._sink.upsert(entry)
        self._position = entry.resource_version

    def _entry(self, raw: msgspec.Raw) -> Entry:
        """What is held already is kept where the version is the same."""
        meta = wire.decode_meta(raw)
        held = self._sink.entry(meta.key)
        if held is not None and (held.resource_version, held.uid) == (
            meta.resource_version,
            meta.uid,
        ):
            return held
        return Entry.of(raw, self._transform)

    def _no_streaming(self, why: str) -> None:
        log.info("%s: streaming lists are not to be had (%s); using lists", self._resource, why)
        self._streaming = False

    def _expired(self, error: Expired) -> None:
        self.stats.expired += 1
        self._position = ""
        log.info("%s: the watch fell behind (%s); reading everything again", self._resource, error)

    def _agreed(self) -> None:
        """A watch stands. Nothing may happen for minutes, and nothing is wrong meanwhile."""
        self._opened = self.stats.last_contact = time.monotonic()
        if self._position:
            self.stats.last_error = ""

    def _recovered(self) -> None:
        self.stats.last_contact = time.monotonic()
        if self._backoff.failures > 1:
            log.info("%s: the server answers again", self._resource)
        self._backoff.reset()
        self.stats.last_error = ""

    def _failed(self, error: Exception) -> float:
        """Notes a failure; seconds to wait."""
        self.stats.failures += 1
        self.stats.last_error = str(error)
        if self._opened and time.monotonic() - self._opened > _HELD:
            self._backoff.reset()
        self._opened = 0.0
        wait = self._backoff.next()
        if isinstance(error, StatusError):
            wait = max(wait, min(error.retry_after or 0.0, 60.0))
        if self._backoff.failures >= _GIVE_UP_POSITION_AFTER and not isinstance(error, KubeError):
            self._position = ""  # such as a version from the future after a restored backup
        level = logging.WARNING if self._backoff.failures == 2 else logging.DEBUG
        log.log(level, "%s: %s; trying again", self._resource, error)
        return wait
