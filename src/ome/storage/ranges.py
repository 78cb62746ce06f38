"""Which parts of a file are on disk: sorted, disjoint, merged half-open ranges."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator


class Ranges:
    """A set of half-open ranges ``[start, end)``."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        if end <= start:
            return
        first = bisect_left(self._ends, start)
        last = first
        while last < len(self._starts) and self._starts[last] <= end:
            start = min(start, self._starts[last])
            end = max(end, self._ends[last])
            last += 1
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def clear(self) -> None:
        self._starts.clear()
        self._ends.clear()

    def total(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def prefix(self) -> int:
        """How many bytes from the beginning are there without a gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def missing(self, size: int) -> Iterator[tuple[int, int]]:
        """The gaps in ``[0, size)``, in order."""
        position = 0
        for start, end in zip(self._starts, self._ends, strict=True):
            if start >= size:
                break
            if start > position:
                yield position, start
            position = max(position, end)
        if position < size:
            yield position, size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._ends, strict=True))
