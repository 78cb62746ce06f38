"""How fast to go: retries with jitter, a limit on bandwidth, and how many requests at once.

Nothing here knows what is transferred. Clocks and randomness are passed in.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Waiting times that double up to a cap, each drawn at random from the upper half."""

    base: float = 0.5
    cap: float = 30.0
    rng: random.Random = field(default_factory=random.Random)
    attempt: int = 0

    def next(self, asked: float | None = None) -> float:
        """Seconds to wait now. A time that the other side asked for is a lower bound."""
        ceiling = min(self.cap, self.base * 2.0**self.attempt)
        self.attempt += 1
        wait = ceiling / 2 + self.rng.random() * ceiling / 2
        return max(wait, asked) if asked is not None else wait

    def reset(self) -> None:
        self.attempt = 0


class Bandwidth:
    """At most ``rate`` bytes a second over all who ask, with bursts of a fifth of a second."""

    def __init__(self, rate: float | None, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._free_at = 0.0

    async def take(self, count: int) -> None:
        if not self._rate:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now - 0.2) + count / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Concurrency:
    """How many requests run at once: climbs while climbing pays, halves when told to slow down.

    Every ``period`` seconds the throughput is compared with that before the last step. More than
    five per cent better: one more. Otherwise the step is taken back and rests for a while.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        start: int = 4,
        highest: int = 16,
        period: float = 2.0,
    ) -> None:
        self.limit = max(1, min(start, highest))
        self._highest = highest
        self._clock = clock
        self._period = period
        self._running = 0
        self._window = (clock(), 0)
        self._last_rate = 0.0
        self._climbed = False
        self._rest_until = 0.0
        self._paused_until = 0.0
        self._changed = asyncio.Condition()

    async def enter(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._running < self.limit)
            self._running += 1
        pause = self._paused_until - self._clock()
        if pause > 0:
            await asyncio.sleep(pause)

    async def leave(self) -> None:
        async with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def arrived(self, count: int) -> None:
        """Count bytes; now and then decide on a step."""
        began, total = self._window
        total += count
        now = self._clock()
        elapsed = now - began
        if elapsed < self._period:
            self._window = (began, total)
            return
        self._window = (now, 0)
        self._step(total / elapsed, now)

    def _step(self, rate: float, now: float) -> None:
        better = rate > self._last_rate * 1.05
        if self._climbed and not better:
            self.limit = max(1, self.limit - 1)
            self._climbed = False
            self._rest_until = now + 10 * self._period
        elif now >= self._rest_until and self.limit < self._highest:
            self.limit += 1
            self._climbed = True
        self._last_rate = rate

    def slow_down(self, pause: float = 0.0) -> None:
        """The other side is overloaded: half as many, and nobody starts before the pause ends."""
        now = self._clock()
        self.limit = max(1, self.limit // 2)
        self._climbed = False
        self._rest_until = now + 5 * self._period
        self._paused_until = max(self._paused_until, now + pause)
