"""When to try a failed model again.

What can cure itself (network, limits, a full disk) is tried again soon, with growing pauses. What
needs somebody's hand (a wrong name, missing access, a broken file) is tried again as soon as the
model's spec or its secret changes; and because not every hand shows here (an access granted at the
hub, a file put right where it is published), there is a slow look now and then.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ome.agent.messages import Failure
from ome.agent.target import Target
from ome.apimachinery.objects import Key

_BASE = 5.0
_CAP = 600.0
SECRET_LOOK = 60.0
LOCAL_LOOK = 60.0
SLOW_BASE = 300.0
SLOW_CAP = 3600.0


@dataclass(frozen=True, slots=True)
class Failed:
    """``again_at``: monotonic seconds; None where only another spec can help. ``since``: wall
    time."""

    failure: Failure
    fingerprint: str
    generation: int
    attempts: int
    since: float
    again_at: float | None
    secret_version: str


class Failures:
    """``clock`` is monotonic, ``wall`` is the time since the epoch."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], rng: random.Random
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._failed: dict[Key, Failed] = {}

    def get(self, target: Target) -> Failed | None:
        """The failure, if it is of this very spec."""
        found = self._failed.get(target.key)
        if found is None or found.fingerprint != target.fingerprint:
            return None
        return found if found.generation == target.generation else None

    def due_in(self, failed: Failed) -> float | None:
        """Seconds until the next attempt; 0 for now, None where only another spec can help."""
        return None if failed.again_at is None else max(0.0, failed.again_at - self._clock())

    def add(self, target: Target, failure: Failure, secret_version: str) -> Failed:
        before = self.get(target)
        attempts = before.attempts + 1 if before else 1
        same = before is not None and before.failure.reason == failure.reason
        failed = Failed(
            failure,
            target.fingerprint,
            target.generation,
            attempts,
            before.since if before and same else self._wall(),
            self._next(target, failure, attempts),
            secret_version,
        )
        self._failed[target.key] = failed
        return failed

    def forget(self, key: Key) -> None:
        self._failed.pop(key, None)

    def _next(self, target: Target, failure: Failure, attempts: int) -> float | None:
        if failure.retryable:
            wait = self._jittered(_BASE, _CAP, attempts)
            return self._clock() + max(wait, failure.retry_after or 0.0)
        if target.how == "local":
            return self._clock() + LOCAL_LOOK
        return self._clock() + self._jittered(SLOW_BASE, SLOW_CAP, attempts)

    def _jittered(self, base: float, cap: float, attempts: int) -> float:
        ceiling = min(cap, base * 2.0 ** min(attempts - 1, 30))
        return ceiling / 2 + self._rng.random() * ceiling / 2
