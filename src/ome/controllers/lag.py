"""Whether the caches have seen what we wrote ourselves.

A plan made from a cache that lags would do everything a second time. So whoever wrote waits until
the cache shows it: by resource version, and not for ever, since a later version may never come
(the object was deleted meanwhile).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ome.apimachinery.objects import Key, Object, Resource, key_of, metadata

PATIENCE_SECONDS = 2.0
"""So long a write is waited for."""
LOOK_AGAIN_SECONDS = 0.05

Seen = Callable[[Resource, Key], str | None]
"""The version of an object in the cache; None where it isn't there."""


@dataclass(frozen=True, slots=True)
class _Write:
    resource: Resource
    key: Key
    version: str
    until: float


class Lag:
    """Writes that the cache has not shown yet, by the service that they were made for."""

    def __init__(self, seen: Seen, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen, self._clock = seen, clock
        self._writes: dict[Key, list[_Write]] = {}

    def wrote(self, service: Key, resource: Resource, answer: Object) -> None:
        """``answer`` is what the server said that it has now."""
        version = str(metadata(answer).get("resourceVersion") or "")
        write = _Write(resource, key_of(answer), version, self._clock() + PATIENCE_SECONDS)
        self._writes.setdefault(service, []).append(write)

    def awaited(self, service: Key) -> frozenset[tuple[Resource, str]]:
        """What was written for the service and is not in the cache."""
        written = self._writes.get(service, ()) if self.behind(service) else ()
        return frozenset((write.resource, write.key.name) for write in written)

    def behind(self, service: Key) -> bool:
        """True while something that was written for the service is not in the cache."""
        left = [write for write in self._writes.get(service, ()) if self._awaited(write)]
        if left:
            self._writes[service] = left
        else:
            self._writes.pop(service, None)
        return bool(left)

    def forget(self, service: Key) -> None:
        self._writes.pop(service, None)

    def _awaited(self, write: _Write) -> bool:
        if self._clock() >= write.until:
            return False
        seen = self._seen(write.resource, write.key)
        if seen is None:
            return True
        if seen.isdigit() and write.version.isdigit():
            return int(seen) < int(write.version)
        return False  # versions of a kind that can't be compared: take what is there
