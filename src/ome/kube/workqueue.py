"""A queue of keys for level-triggered work, on one event loop.

A key names what to look at, never what happened. From that follow the guarantees:

* **One at a time.** A key that was handed out is not handed out again before ``done(key)``.
* **No repeats.** A key that waits is queued once, however often it is added.
* **Nothing lost.** A key that is added while it is being worked on is queued again on ``done``.
* **First come, first served** among keys that are ready, but what was held back (``add_after``) and
  is due, or came while it was being worked on, goes before what is new, up to :data:`DUE_IN_A_ROW`
  times in a row: what has been begun is finished before more is begun, and nothing starves.
* ``add_after`` holds a key back; of several delays the earliest counts, and a plain ``add``
  overtakes them all.
* ``retry`` waits exponentially longer for each failure of the same key, with jitter, and all
  retries together draw from one token bucket. ``forget`` clears a key's failures.
* After ``shutdown`` nothing can be added and ``get`` raises QueueShutdown once the ready keys are
  handed out; with ``drop=True`` at once.

All methods but ``get`` and ``drained`` are plain calls and must be made on the loop's thread.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ome.kube.backoff import exponential

K = TypeVar("K", bound=Hashable)
DUE_IN_A_ROW = 3
"""So many keys that were held back are handed out before one that is new, if there is one."""


class QueueShutdown(Exception):  # noqa: N818 - an end, not an error
    """The queue gives out nothing more."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``base * 2**failures`` up to ``cap`` seconds; ``rate`` a second, ``burst`` at once."""

    base: float = 0.05
    cap: float = 300.0
    rate: float = 50.0
    burst: int = 500


class TokenBucket:
    """``rate`` tokens a second, ``burst`` saved up at most. Tokens can be taken on credit."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = 0.0

    def reserve(self, now: float) -> float:
        """Takes a token; seconds until it is due."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def try_take(self, now: float) -> bool:
        """Takes a token if there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class WorkQueue(Generic[K]):
    def __init__(self, retry_policy: RetryPolicy | None = None) -> None:
        self._policy = retry_policy or RetryPolicy()
        self._bucket = TokenBucket(self._policy.rate, self._policy.burst)
        self._ready: deque[K] = deque()
        self._ready_due: deque[K] = deque()
        self._due_in_a_row = 0
        self._dirty: set[K] = set()  # ready, or to be queued again when done
        self._working: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._failures: dict[K, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._getters: deque[asyncio.Future[None]] = deque()
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._closed = False
        self.observer: Callable[[float], None] | None = None
        """Called with the seconds that a key was ready before it was handed out."""
        self._since: dict[K, float] = {}

    # -- putting in ---------------------------------------------------------------------------

    def add(self, key: K) -> None:
        """Ready now."""
        self._add(key, self._ready)

    def _add(self, key: K, ready: deque[K]) -> None:
        if self._closed:
            return
        self._due.pop(key, None)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if self.observer is not None:
            self._since[key] = time.perf_counter()
        if key not in self._working:
            ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Ready in ``seconds``, unless it is sooner for another reason."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        if key in self._dirty:
            return  # it is looked at sooner anyway, and says then when to look again
        when = asyncio.get_running_loop().time() + seconds
        known = self._due.get(key)
        if known is not None and known <= when:
            return
        self._due[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        self._arm()

    def retry(self, key: K) -> float:
        """Ready after a pause that grows with this key's failures; the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause = exponential(self._policy.base, self._policy.cap, failures)
        pause = max(pause, self._bucket.reserve(asyncio.get_running_loop().time()))
        self.add_after(key, pause)
        return pause

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    # -- taking out ---------------------------------------------------------------------------

    async def get(self) -> K:
        """The next key. It is the caller's until ``done``. Raises QueueShutdown."""
        while not len(self):
            if self._closed:
                raise QueueShutdown
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif getter.done() and not getter.cancelled():
                    self._wake()  # the call was ours: hand it on
                raise
        key = self._next()
        self._dirty.discard(key)
        self._working.add(key)
        self._idle.clear()
        since = self._since.pop(key, None)
        if since is not None and self.observer is not None:
            self.observer(time.perf_counter() - since)
        return key

    def _next(self) -> K:
        if self._ready_due and (self._due_in_a_row < DUE_IN_A_ROW or not self._ready):
            self._due_in_a_row += 1
            return self._ready_due.popleft()
        self._due_in_a_row = 0
        return self._ready.popleft()

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._ready_due.append(key)
            self._wake()
        if not self._working:
            self._idle.set()

    # -- the end ------------------------------------------------------------------------------

    def shutdown(self, *, drop: bool = False) -> None:
        """Takes no more; ``drop`` also forgets what is ready."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()
        self._due.clear()
        if drop:
            self._dirty.clear()
            self._ready.clear()
            self._ready_due.clear()
            self._since.clear()
        while self._getters:
            self._wake()

    async def drained(self) -> None:
        """Waits until no key is being worked on."""
        await self._idle.wait()

    # -- looking ------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Keys that are ready."""
        return len(self._ready) + len(self._ready_due)

    @property
    def delayed(self) -> int:
        return len(self._due)

    @property
    def working(self) -> int:
        return len(self._working)

    # -- inside -------------------------------------------------------------------------------

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        """One timer, for the earliest key that is held back."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # overtaken
        when = self._heap[0][0] if self._heap else None
        if self._timer is not None:
            if when is not None and self._timer.when() <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._timer = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + 0.001
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                self._add(key, self._ready_due)
        self._arm()
