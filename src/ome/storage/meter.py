"""Progress of one download, as values: bytes, total, rate, time left, current file, stalls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["scanning", "downloading", "finalizing", "verifying"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a download. Times are seconds since the epoch; ``rate`` is bytes a second.

    ``eta_seconds`` is None where nothing can be said. ``stalled_since`` is the time of the last
    byte, if that was longer ago than :data:`STALL_SECONDS`.
    """

    phase: Phase = "scanning"
    total_bytes: int = 0
    completed_bytes: int = 0
    total_files: int = 0
    completed_files: int = 0
    rate: float = 0.0
    eta_seconds: float | None = None
    current_file: str = ""
    stalled_since: float | None = None
    updated: float = 0.0


STALL_SECONDS = 10.0
_WINDOW_SECONDS = 10.0


class Meter:
    """Counts, and makes a :class:`Progress` when asked. ``clock`` is wall time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.phase: Phase = "scanning"
        self.total_bytes = 0
        self.completed_bytes = 0
        self.total_files = 0
        self.completed_files = 0
        self.current_file = ""
        self._last_byte = clock()
        self._samples: deque[tuple[float, int]] = deque()
        self._arrived = 0

    def begin(self, phase: Phase) -> None:
        self.phase = phase
        self._last_byte = self._clock()

    def arrived(self, count: int) -> None:
        """New bytes came over the wire."""
        now = self._clock()
        self.completed_bytes += count
        self._arrived += count
        self._last_byte = now
        if not self._samples or now - self._samples[-1][0] >= 0.25:
            self._samples.append((now, self._arrived))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()

    def lost(self, count: int) -> None:
        """Bytes that were counted turned out useless and come again."""
        self.completed_bytes -= count

    def snapshot(self) -> Progress:
        now = self._clock()
        rate = self._rate(now)
        left = max(0, self.total_bytes - self.completed_bytes)
        waiting = self.phase == "downloading" and now - self._last_byte > STALL_SECONDS
        return Progress(
            phase=self.phase,
            total_bytes=self.total_bytes,
            completed_bytes=self.completed_bytes,
            total_files=self.total_files,
            completed_files=self.completed_files,
            rate=rate,
            eta_seconds=left / rate if rate > 0 and self.phase == "downloading" else None,
            current_file=self.current_file,
            stalled_since=self._last_byte if waiting else None,
            updated=now,
        )

    def _rate(self, now: float) -> float:
        if self.phase != "downloading" or not self._samples:
            return 0.0
        began, count = self._samples[0]
        elapsed = now - began
        if elapsed < 0.2 or now - self._last_byte > _WINDOW_SECONDS:
            return 0.0
        return (self._arrived - count) / elapsed
