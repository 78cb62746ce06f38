"""At most so many downloads at a time, in the order of who waits.

A request is put in the queue and stays there until a slot is free; then the one is taken that
``rank`` puts first (models that a service waits for before models that nobody needs yet). There is
one request per model; putting another one for the same model replaces the first, and stops it if it
runs. Two models with the same destination never run at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ome.agent.messages import Done, Failure, Task
from ome.apimachinery.objects import Key
from ome.storage import Progress

_GATHER = 0.05
"""Seconds in which requests gather before the first is chosen, so that the order counts."""
Rank = Callable[[Iterable[Key]], Awaitable[dict[Key, tuple[Any, ...]]]]
"""A sort key for each model; lower goes first."""
Run = Callable[[Task, Callable[[Progress], None]], Awaitable[Done | Failure]]


@dataclass(slots=True, eq=False)
class Job:
    """One request. ``result`` is set when it ended by itself."""

    key: Key
    fingerprint: str
    prepare: Callable[[], Awaitable[Task]]
    destination: str
    progress: Progress = field(default_factory=Progress)
    result: Done | Failure | None = None
    runner: asyncio.Task[None] | None = None
    seconds: float = 0.0
    """How long it ran."""


class Downloads:
    """``changed`` is called with the key when a job makes progress or ends."""

    def __init__(
        self, slots: int, run: Run, rank: Rank, changed: Callable[[Key, bool], None]
    ) -> None:
        self._slots = slots
        self._run = run
        self._rank = rank
        self._changed = changed
        self._jobs: dict[Key, Job] = {}
        self._wake = asyncio.Event()

    def get(self, key: Key) -> Job | None:
        return self._jobs.get(key)

    def running(self) -> list[tuple[Key, Job]]:
        """What works now."""
        return [
            (key, job)
            for key, job in self._jobs.items()
            if job.runner is not None and job.result is None
        ]

    def counts(self) -> tuple[int, int]:
        """How many run, and how many wait for a slot."""
        waiting = sum(1 for job in self._jobs.values() if job.runner is None)
        return len(self.running()), waiting

    def ahead_of(self, key: Key) -> int:
        """How many run or wait besides this one."""
        return sum(1 for k, job in self._jobs.items() if k != key and job.result is None)

    async def put(self, job: Job) -> None:
        await self.cancel(job.key)
        self._jobs[job.key] = job
        self._wake.set()

    async def cancel(self, key: Key) -> None:
        """Forget the job; if it runs, return when it has stopped."""
        job = self._jobs.pop(key, None)
        if job is not None and job.runner is not None:
            job.runner.cancel()
            await asyncio.gather(job.runner, return_exceptions=True)
        self._wake.set()

    async def run(self) -> None:
        """Start jobs as slots become free, until cancelled; then stop them all."""
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(_GATHER)
                self._wake.clear()
                await self._pump()
        finally:
            runners = [j.runner for j in self._jobs.values() if j.runner is not None]
            for runner in runners:
                runner.cancel()
            await asyncio.gather(*runners, return_exceptions=True)

    async def _pump(self) -> None:
        running = self.running()
        free = self._slots - len(running)
        busy = {job.destination for _, job in running}
        waiting = [j for j in self._jobs.values() if j.runner is None]
        if free <= 0 or not waiting:
            return
        if len(waiting) > free:
            ranks = await self._rank([job.key for job in waiting])
            waiting.sort(key=lambda job: ranks[job.key])
        for job in waiting:
            if free <= 0:
                return
            if job.destination in busy or self._jobs.get(job.key) is not job:
                continue
            busy.add(job.destination)
            free -= 1
            job.runner = asyncio.create_task(self._work(job), name=f"model {job.key}")

    async def _work(self, job: Job) -> None:
        def on_progress(progress: Progress) -> None:
            job.progress = progress
            self._changed(job.key, False)

        began = time.monotonic()
        try:
            task = await job.prepare()
            job.result = await self._run(task, on_progress)
        except Exception as error:
            job.result = Failure("AgentFailed", str(error) or type(error).__name__, retryable=True)
        finally:
            job.seconds = time.monotonic() - began
            self._wake.set()
        self._changed(job.key, True)
