"""Waiting longer after each failure, and never all at the same moment."""

from __future__ import annotations

import random


class Backoff:
    """Seconds to wait after each failure in a row: ``base`` doubled up to ``cap``, with jitter."""

    def __init__(self, base: float = 0.2, cap: float = 30.0) -> None:
        self._base = base
        self._cap = cap
        self.failures = 0

    def next(self) -> float:
        wait = exponential(self._base, self._cap, self.failures)
        self.failures += 1
        return wait

    def reset(self) -> None:
        self.failures = 0


def exponential(base: float, cap: float, failures: int) -> float:
    """The wait after ``failures`` earlier ones: 75 % to 125 % of ``base * 2**failures``."""
    full = min(cap, base * 2.0 ** min(failures, 40))
    return full * (0.75 + 0.5 * random.random())
