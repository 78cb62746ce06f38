"""A live, queryable copy of one kind, and a set of them that share a client.

* ``synced()`` returns once everything that existed at the start is in the cache **and** has been
  given to the handlers that were there.
* Handlers are called in order, on the event loop, one call per change: ``(event, old, new)`` with
  :class:`ome.kube.store.Snapshot` objects that decode only what is looked at. They must be quick
  and must not change what they get; typically they put a key on a queue. A handler that raises is
  logged and does not stop the others (out of memory ends the informer: it would miss changes). A
  handler that is added late is told of what is there.
* ``get``, ``list`` and ``by_index`` give fresh dicts. They show what the server said a moment ago:
  write with a resource version, or by server-side apply, never on trust.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

from ome.apimachinery.objects import Key, Object, Resource
from ome.kube import wire
from ome.kube.client import Client
from ome.kube.reflector import Reflector, ReflectorStats
from ome.kube.store import Entry, IndexFunction, Snapshot, Store, Transform

log = logging.getLogger("ome.kube.informer")

Objects: TypeAlias = list[Object]
Keys: TypeAlias = list[Key]
Snapshots: TypeAlias = list[Snapshot]
EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
Handler: TypeAlias = Callable[[EventType, Any, Any], None]
"""``(event, old, new)``: ``old`` is None for ADDED, ``new`` is None for DELETED."""


class Informer:
    """Options beyond the selectors go to :class:`ome.kube.reflector.Reflector`.

    ``transform`` maps an object's bytes before they are kept
    (:func:`ome.kube.wire.drop_managed_fields`).
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = None,
        **options: Any,
    ) -> None:
        self.resource = resource
        self._store = Store(resource)
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._running = False
        self._reflector = Reflector(
            client,
            resource,
            self,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            transform=transform,
            **options,
        )

    # -- reading ------------------------------------------------------------------------------

    def get(self, namespace: str, name: str) -> Object | None:
        entry = self._store.entry(Key(namespace, name))
        return None if entry is None else wire.decode_as(entry.raw, self.resource)

    def list(self, namespace: str = "") -> Objects:
        return [wire.decode_as(e.raw, self.resource) for e in self._store.entries(namespace)]

    def by_index(self, index: str, value: str) -> Objects:
        found = (self._store.entry(key) for key in self._store.keys_by_index(index, value))
        return [wire.decode_as(e.raw, self.resource) for e in found if e is not None]

    def keys_by_index(self, index: str, value: str) -> Keys:
        """Like ``by_index`` where the names are enough."""
        return self._store.keys_by_index(index, value)

    def keys(self, namespace: str = "") -> Keys:
        return [entry.key for entry in self._store.entries(namespace)]

    def snapshot(self, namespace: str, name: str) -> Snapshot | None:
        """A look that decodes no more than is asked of it."""
        entry = self._store.entry(Key(namespace, name))
        return None if entry is None else Snapshot(entry, self.resource)

    def snapshots(self, namespace: str = "") -> Snapshots:
        return [Snapshot(entry, self.resource) for entry in self._store.entries(namespace)]

    def __len__(self) -> int:
        return len(self._store)

    # -- wiring -------------------------------------------------------------------------------

    def add_index(self, name: str, fn: IndexFunction) -> None:
        self._store.add_index(name, fn)

    def add_handler(self, fn: Handler) -> None:
        self._handlers.append(fn)
        for entry in self._store.entries():
            self._call(fn, "ADDED", None, Snapshot(entry, self.resource))

    # -- running ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Failures of the server are waited out, never raised."""
        if self._running:
            raise RuntimeError(f"the informer of {self.resource} runs already")
        self._running = True
        try:
            await self._reflector.run()
        finally:
            self._running = False

    async def synced(self) -> None:
        """Waits for the first complete reading."""
        await self._synced.wait()

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def stats(self) -> ReflectorStats:
        return self._reflector.stats

    # -- what the reflector calls -------------------------------------------------------------

    def entry(self, key: Key) -> Entry | None:
        return self._store.entry(key)

    def replace(self, entries: dict[Key, Entry]) -> None:
        for held in self._store.entries():
            if held.key not in entries:
                self.remove(held)
        for entry in entries.values():
            self.upsert(entry)
        self._synced.set()

    def upsert(self, entry: Entry) -> None:
        held = self._store.entry(entry.key)
        if held is not None and held.same_version(entry):
            return
        if held is not None and held.uid != entry.uid:
            self.remove(held)  # deleted and made anew while nobody watched
            held = None
        before = None if held is None else Snapshot(held, self.resource)
        self._notify("MODIFIED" if held else "ADDED", before, self._store.put(entry))

    def remove(self, entry: Entry) -> None:
        """``entry`` is the last state. Nothing happens where the object is unknown."""
        held = self._store.entry(entry.key)
        if held is None or held.uid != entry.uid:
            return
        self._store.remove(entry.key)
        self._notify("DELETED", Snapshot(entry, self.resource), None)

    def _notify(self, event: EventType, old: Snapshot | None, new: Snapshot | None) -> None:
        for handler in self._handlers:
            self._call(handler, event, old, new)

    def _call(
        self, handler: Handler, event: EventType, old: Snapshot | None, new: Snapshot | None
    ) -> None:
        try:
            handler(event, old, new)
        except MemoryError:
            raise
        except Exception:
            subject = new if new is not None else old
            log.exception("a handler failed on %s of %r", event, subject)


class InformerSet:
    """Informers that are shared: one per kind, namespace and selectors.

    ``run()`` runs all of them, also those that are asked for later.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[Resource, str, str, str], Informer] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def informer(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        **options: Any,
    ) -> Informer:
        """The one informer for this; ``options`` count only where it is made now."""
        wanted = (resource, namespace, label_selector, field_selector)
        informer = self._informers.get(wanted)
        if informer is None:
            informer = self._informers[wanted] = Informer(
                self._client,
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                **options,
            )
            if self._tasks is not None:
                self._tasks.create_task(informer.run(), name=f"informer {resource}")
        return informer

    def __iter__(self) -> Iterator[Informer]:
        return iter(tuple(self._informers.values()))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for (resource, *_), informer in self._informers.items():
                    tasks.create_task(informer.run(), name=f"informer {resource}")
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def synced(self) -> None:
        for informer in tuple(self._informers.values()):
            await informer.synced()

    def waiting_for(self) -> list[str]:
        """What has not been read yet, with the last error: for readiness and messages."""
        return [
            f"{informer.resource}: {informer.stats.last_error or 'reading'}"
            for informer in self._informers.values()
            if not informer.has_synced
        ]
