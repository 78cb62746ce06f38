"""The cache of one kind: an object is its bytes plus the few fields that name it.

Who asks gets a fresh dict each time, which is theirs to change. What only needs a look gets a
:class:`Snapshot`, which decodes no more than it is asked for. Indexes are kept up to date with
every change, so that "all pods of this service" is a lookup.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ome.apimachinery.objects import Key, Object, Resource
from ome.kube import wire

log = logging.getLogger("ome.kube.store")

IndexFunction = Callable[[Any], Iterable[str]]
Transform = Callable[[bytes], bytes]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One object as it is held."""

    key: Key
    uid: str
    resource_version: str
    raw: bytes

    @classmethod
    def of(cls, data: bytes | msgspec.Raw, transform: Transform | None = None) -> Entry:
        """``data`` may point into a larger buffer: what is kept is a copy."""
        meta = wire.decode_meta(data)
        raw = bytes(data)
        if transform is not None:
            raw = transform(raw)
        return cls(meta.key, meta.uid, meta.resource_version, raw)

    def same_version(self, other: Entry) -> bool:
        return self.resource_version == other.resource_version and self.uid == other.uid


class Snapshot(Mapping[str, Any]):
    """An object, read-only and decoded on demand: first its metadata, the rest when needed.

    Reads like the dict it stands for. ``object()`` gives that dict, fresh.
    """

    __slots__ = ("_entry", "_metadata", "_object", "_resource")

    def __init__(self, entry: Entry, resource: Resource) -> None:
        self._entry = entry
        self._resource = resource
        self._metadata: Object | None = None
        self._object: Object | None = None

    @property
    def key(self) -> Key:
        return self._entry.key

    @property
    def resource(self) -> Resource:
        return self._resource

    @property
    def uid(self) -> str:
        return self._entry.uid

    @property
    def resource_version(self) -> str:
        return self._entry.resource_version

    @property
    def metadata(self) -> Mapping[str, Any]:
        if self._metadata is None:
            self._metadata = wire.decode_metadata(self._entry.raw)
        return self._metadata

    def object(self) -> Object:
        """A dict of one's own."""
        return wire.decode_as(self._entry.raw, self._resource)

    def __getitem__(self, name: str) -> Any:
        if name == "metadata":
            return self.metadata
        return self._whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> Object:
        return self.object()

    def __deepcopy__(self, memo: dict[int, Any]) -> Object:
        return self.object()

    def __repr__(self) -> str:
        return f"<{self._resource.kind} {self.key} at {self.resource_version}>"

    def _whole(self) -> Object:
        if self._object is None:
            self._object = self.object()
        return self._object


class Store:
    """Entries by key, and keys by index value."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._entries: dict[Key, Entry] = {}
        self._indexes: dict[str, _Index] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def entries(self, namespace: str = "") -> list[Entry]:
        if not namespace:
            return list(self._entries.values())
        return [entry for key, entry in self._entries.items() if key.namespace == namespace]

    def put(self, entry: Entry) -> Snapshot:
        """The snapshot that the indexes have looked at: what they decoded need not be again."""
        self._entries[entry.key] = entry
        snapshot = Snapshot(entry, self.resource)
        for index in self._indexes.values():
            index.put(entry.key, snapshot)
        return snapshot

    def remove(self, key: Key) -> None:
        if self._entries.pop(key, None) is not None:
            for index in self._indexes.values():
                index.remove(key)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Also covers what is in the store already. Raises ValueError for a name in use."""
        if name in self._indexes:
            raise ValueError(f"{self.resource} have an index {name!r} already")
        index = self._indexes[name] = _Index(function)
        for key, entry in self._entries.items():
            index.put(key, Snapshot(entry, self.resource))

    def keys_by_index(self, name: str, value: str) -> list[Key]:
        if name not in self._indexes:
            known = ", ".join(sorted(self._indexes)) or "none"
            raise KeyError(f"{self.resource} have no index {name!r} (there are: {known})")
        return self._indexes[name].keys(value)


class _Index:
    """Keys by value, and what each key has been filed under."""

    def __init__(self, function: IndexFunction) -> None:
        self._function = function
        self._keys: dict[str, dict[Key, None]] = {}
        self._values: dict[Key, tuple[str, ...]] = {}

    def keys(self, value: str) -> list[Key]:
        return list(self._keys.get(value, ()))

    def put(self, key: Key, obj: Snapshot) -> None:
        try:
            values = tuple(dict.fromkeys(self._function(obj)))
        except MemoryError:
            raise
        except Exception:
            # One odd object must not stop the cache of all the others.
            log.exception("an index function failed on %r: it is filed under nothing", obj)
            values = ()
        if values == self._values.get(key):
            return
        self.remove(key)
        for value in values:
            self._keys.setdefault(value, {})[key] = None
        if values:
            self._values[key] = values

    def remove(self, key: Key) -> None:
        for value in self._values.pop(key, ()):
            filed = self._keys[value]
            del filed[key]
            if not filed:
                del self._keys[value]
