"""What a controller does with each way a call can end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.unit.kube.waiting import Start, until

from ome.apimachinery.errors import Conflict, TooManyRequests
from ome.apimachinery.objects import Key
from ome.kube import Controller, Outcome, Result, RetryPolicy, Terminal

KEY = Key("a", "x")
QUICK = RetryPolicy(base=0.001, cap=0.002)


class Script:
    """A reconcile function that ends as written, then well."""

    def __init__(self, *ends: BaseException | Result | None) -> None:
        self.ends = list(ends)
        self.calls: list[Key] = []

    async def __call__(self, key: Key) -> Result | None:
        self.calls.append(key)
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, BaseException):
            raise end
        return end


def controller(script: Script, outcomes: list[Outcome] | None = None) -> Controller:
    made = Controller("test", script, retry_policy=QUICK)
    if outcomes is not None:
        made.observer = lambda name, key, outcome, seconds: outcomes.append(outcome)
    return made


async def test_a_failure_is_retried_and_told_with_its_key(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    script, outcomes = Script(RuntimeError("boom"), RuntimeError("boom")), list[Outcome]()
    made = controller(script, outcomes)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: len(outcomes) == 3)
    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.DONE]
    assert made.queue.failures(KEY) == 0
    assert "a/x: failed; again in" in caplog.text
    assert "boom" in caplog.text


async def test_out_of_memory_is_not_retried_but_ends_it() -> None:
    made = controller(Script(MemoryError()))
    made.enqueue(KEY)
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(5):
            await made.run()
    assert isinstance(ended.value.exceptions[0], MemoryError)


async def test_terminal_is_not_retried_but_a_change_is_looked_at(start: Start) -> None:
    script, outcomes = Script(Terminal("no such model")), list[Outcome]()
    made = controller(script, outcomes)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: outcomes == [Outcome.TERMINAL])
    assert made.queue.delayed == len(made.queue) == 0
    made.enqueue(KEY)
    await until(lambda: outcomes == [Outcome.TERMINAL, Outcome.DONE])


async def test_conflicts_are_retried_quietly(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    script, outcomes = Script(*[Conflict("modified")] * 3), list[Outcome]()
    made = controller(script, outcomes)
    made.enqueue(KEY)
    with caplog.at_level(logging.INFO):
        start(made.run())
        await until(lambda: len(outcomes) == 4)
    assert outcomes == [*[Outcome.CONFLICT] * 3, Outcome.DONE]
    assert caplog.text == ""


async def test_retry_after_of_the_server_is_kept(start: Start) -> None:
    busy = TooManyRequests("later", details={"retryAfterSeconds": 60})
    script, outcomes = Script(busy), list[Outcome]()
    made = controller(script, outcomes)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: outcomes == [Outcome.FAILED])
    assert made.queue.delayed == 1


async def test_requeue_after_calls_again(start: Start) -> None:
    script = Script(Result(0.001), Result(0.001), Result())
    made = controller(script)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: len(script.calls) == 3)


async def test_one_key_is_serial_and_many_are_parallel(start: Start) -> None:
    running: list[Key] = []
    most = 0
    gate = asyncio.Event()

    async def reconcile(key: Key) -> None:
        nonlocal most
        assert key not in running
        running.append(key)
        most = max(most, len(running))
        await gate.wait()
        running.remove(key)

    made = Controller("test", reconcile, workers=3)
    for number in range(5):
        made.enqueue(Key("a", str(number)))
    start(made.run())
    await until(lambda: len(running) == 3)
    made.enqueue(running[0])
    gate.set()
    await until(lambda: not running and not len(made.queue))
    assert most == 3


async def test_a_call_that_takes_too_long_is_a_failure(start: Start) -> None:
    async def reconcile(key: Key) -> None:
        await asyncio.sleep(60)

    outcomes = list[Outcome]()
    made = Controller("test", reconcile, timeout=0.01, retry_policy=RetryPolicy(base=60))
    made.observer = lambda name, key, outcome, seconds: outcomes.append(outcome)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: outcomes == [Outcome.FAILED])


async def test_a_cancelled_dependency_does_not_cost_a_worker(start: Start) -> None:
    script, outcomes = Script(asyncio.CancelledError()), list[Outcome]()
    made = Controller("test", script, workers=1, retry_policy=QUICK)
    made.observer = lambda name, key, outcome, seconds: outcomes.append(outcome)
    made.enqueue(KEY)
    start(made.run())
    await until(lambda: outcomes == [Outcome.FAILED, Outcome.DONE])


async def test_cancelling_the_controller_cancels_the_calls(start: Start) -> None:
    ended: list[str] = []

    async def reconcile(key: Key) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(str(key))

    made = Controller("test", reconcile)
    made.enqueue(KEY)
    task = start(made.run())
    await until(lambda: made.queue.working == 1)
    made.enqueue(Key("a", "y"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "a/x" in ended
    assert made.queue.working == 0


async def test_stop_lets_running_calls_finish(start: Start) -> None:
    gate, done = asyncio.Event(), list[Key]()

    async def reconcile(key: Key) -> Result:
        await gate.wait()
        done.append(key)
        return Result(0.001)

    made = Controller("test", reconcile, workers=1)
    made.enqueue(KEY)
    made.enqueue(Key("a", "never"))
    task = start(made.run())
    await until(lambda: made.queue.working == 1)
    stopping = start(made.stop())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait_for(stopping, 5)
    await asyncio.wait_for(task, 5)
    assert done == [KEY]
