"""How many services follow a change of something shared at the same time.

A service asks for a slot before it rolls because of someone else's change, and gives it back when
its roll is through. A roll that gets stuck keeps its slot: a bad runtime stops after ``limit``
services instead of taking all of them down.
"""

from __future__ import annotations

from itertools import islice

from ome.apimachinery.objects import Key


class Waves:
    """Slots of one operator. After a restart :meth:`hold` gives them to what is found rolling."""

    def __init__(self) -> None:
        self._rolling: dict[Key, None] = {}
        self._waiting: dict[Key, None] = {}
        self._limit = 1

    def holds(self, key: Key) -> bool:
        return key in self._rolling

    def hold(self, key: Key) -> None:
        """It rolls already, whoever allowed that."""
        self._rolling[key] = None

    def acquire(self, key: Key, limit: int) -> bool:
        """A slot for the service, if one is free; else it is remembered as waiting."""
        self._limit = limit
        if key in self._rolling:
            return True
        if len(self._rolling) >= limit:
            self._waiting[key] = None
            return False
        self._waiting.pop(key, None)
        self._rolling[key] = None
        return True

    def release(self, key: Key) -> list[Key]:
        """Gives the slot back, or forgets the wish. Returns who should try now: as many as there
        are free slots, because nothing else may bring them."""
        wanted_one = key in self._rolling or key in self._waiting
        self._rolling.pop(key, None)
        self._waiting.pop(key, None)
        if not wanted_one:
            return []
        return list(islice(self._waiting, max(0, self._limit - len(self._rolling))))

    @property
    def rolling(self) -> int:
        return len(self._rolling)

    @property
    def waiting(self) -> int:
        return len(self._waiting)
