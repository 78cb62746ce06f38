"""What a controller did and its cache does not show yet.

A ReplicaSet that created a pod must not count pods before its cache has that pod, or it creates
another. Entries are kept by the uid that the server answered with, and forgotten after a while so
that a lost watch event can't stop a controller for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

TIMEOUT = 300.0


class Expectations:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._created: dict[Hashable, dict[str, float]] = {}
        self._deleted: dict[Hashable, dict[str, float]] = {}

    def created(self, key: Hashable, uid: str) -> None:
        self._created.setdefault(key, {})[uid] = self._clock()

    def deleted(self, key: Hashable, uid: str) -> None:
        self._deleted.setdefault(key, {})[uid] = self._clock()

    def satisfied(
        self, key: Hashable, exists: Callable[[str], bool], leaving: Callable[[str], bool]
    ) -> bool:
        """Whether the cache has caught up: ``exists(uid)`` and ``leaving(uid)`` (deleted or being
        deleted) say what it shows."""
        now = self._clock()
        created = self._created.get(key, {})
        for uid in [u for u, at in created.items() if exists(u) or now - at > TIMEOUT]:
            del created[uid]
        deleted = self._deleted.get(key, {})
        for uid in [u for u, at in deleted.items() if leaving(u) or now - at > TIMEOUT]:
            del deleted[uid]
        return not created and not deleted

    def forget(self, key: Hashable) -> None:
        self._created.pop(key, None)
        self._deleted.pop(key, None)
