"""Runs a reconcile function for keys, as often as needed and no oftener.

The contract with ``reconcile(key)``:

* It is given only a key and looks up for itself what is and what should be (level-triggered). It is
  called again whenever something may have changed, so it must be harmless to call.
* It never runs twice at once for one key, and for up to ``workers`` keys at once.
* It returns None, or ``Result(requeue_after=seconds)`` to be called again without a change.
* It raises to be retried: with a growing, jittered pause. ``Terminal`` says that only an edit can
  help: it is logged and not retried. A ``Conflict`` means that its cache was behind: it is retried
  soon, without an error in the log; only when it keeps happening is it treated as any failure. An
  answer with ``Retry-After`` is waited for at least that long.
* Out of memory ends the controller: what holds half of its state can't be trusted to act.
* When the controller is cancelled, running calls are cancelled too and nothing else is started.
  ``stop()`` lets running calls finish instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum

from ome.apimachinery.errors import Conflict, StatusError
from ome.apimachinery.objects import Key
from ome.kube.errors import KubeError
from ome.kube.workqueue import QueueShutdown, RetryPolicy, WorkQueue

_QUICK_CONFLICTS = 5


@dataclass(frozen=True, slots=True)
class Result:
    """Call again after so many seconds, even if nothing changes."""

    requeue_after: float | None = None


class Terminal(Exception):  # noqa: N818 - a verdict, not an error class
    """Trying again can't help before someone edits something."""


class Outcome(Enum):
    DONE = "done"
    REQUEUED = "requeued"
    CONFLICT = "conflict"
    FAILED = "failed"
    TERMINAL = "terminal"
    CANCELLED = "cancelled"


Reconcile = Callable[[Key], Awaitable[Result | None]]
ReconcileObserver = Callable[[str, Key, Outcome, float], None]
"""Called after each call with controller name, key, outcome and seconds."""

CURRENT: ContextVar[tuple[str, Key] | None] = ContextVar("ome.kube.controller", default=None)
"""Controller and key that the running task works on, for log lines."""


class Controller:
    """``timeout``: seconds after which a call is cancelled and counts as failed."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        workers: int = 4,
        *,
        retry_policy: RetryPolicy | None = None,
        timeout: float | None = None,
        observer: ReconcileObserver | None = None,
    ) -> None:
        self.name = name
        self.observer = observer
        self.queue: WorkQueue[Key] = WorkQueue(retry_policy)
        self._reconcile = reconcile
        self._workers = workers
        self._timeout = timeout
        self._log = logging.getLogger(f"ome.controller.{name}")

    def enqueue(self, key: Key) -> None:
        """Have a look at ``key`` as soon as possible."""
        self.queue.add(key)

    def enqueue_after(self, key: Key, seconds: float) -> None:
        self.queue.add_after(key, seconds)

    async def run(self) -> None:
        """Works until cancelled or stopped."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._workers):
                    tasks.create_task(self._work(), name=f"{self.name} {number}")
        finally:
            self.queue.shutdown(drop=True)

    async def stop(self) -> None:
        """Starts nothing new, and waits for what is running."""
        self.queue.shutdown(drop=True)
        await self.queue.drained()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueShutdown:
                return
            begin = time.perf_counter()
            outcome = Outcome.CANCELLED
            CURRENT.set((self.name, key))
            try:
                outcome = await self._once(key)
            finally:
                CURRENT.set(None)
                self.queue.done(key)
                if self.observer is not None:
                    self.observer(self.name, key, outcome, time.perf_counter() - begin)

    async def _once(self, key: Key) -> Outcome:
        """One call, and what follows from how it went. Cancellation and MemoryError get out."""
        try:
            async with asyncio.timeout(self._timeout):
                result = await self._reconcile(key)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we were cancelled, but something that the call waited for.
            pause = self.queue.retry(key)
            self._log.warning("%s: what it waited for was cancelled; again in %.1f s", key, pause)
            return Outcome.FAILED
        except Terminal as error:
            self.queue.forget(key)
            self._log.warning("%s: not tried again before a change: %s", key, error)
            return Outcome.TERMINAL
        except Conflict as error:
            pause = self.queue.retry(key)
            behind = self.queue.failures(key) <= _QUICK_CONFLICTS
            level = logging.DEBUG if behind else logging.WARNING
            self._log.log(level, "%s: %s; again in %.1f s", key, error, pause)
            return Outcome.CONFLICT
        except (StatusError, KubeError, TimeoutError) as error:
            pause = self._retry(key, error)
            self._log.warning("%s: %s; again in %.1f s", key, error or "took too long", pause)
            return Outcome.FAILED
        except MemoryError:
            raise
        except Exception as error:
            pause = self._retry(key, error)
            self._log.exception("%s: failed; again in %.1f s", key, pause)
            return Outcome.FAILED
        self.queue.forget(key)
        if result is not None and result.requeue_after is not None:
            self.queue.add_after(key, result.requeue_after)
            return Outcome.REQUEUED
        return Outcome.DONE

    def _retry(self, key: Key, error: Exception) -> float:
        asked = error.retry_after if isinstance(error, StatusError) else None
        if asked is None:
            return self.queue.retry(key)
        self.queue.add_after(key, asked)
        return asked
