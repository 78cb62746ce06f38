"""The queue's guarantees, as written on top of the module."""

from __future__ import annotations

import asyncio
import random

import pytest

from ome.kube import QueueShutdown, RetryPolicy, WorkQueue
from ome.kube.backoff import exponential
from ome.kube.workqueue import TokenBucket


async def take(queue: WorkQueue[str]) -> str:
    return await asyncio.wait_for(queue.get(), 5)


async def test_a_key_that_waits_is_queued_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_is_not_given_out_twice_at_once_but_again_after() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert queue.working == len(queue) == 0


async def test_a_waiting_taker_gets_what_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    takers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    takers[0].cancel()
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.wait_for(asyncio.gather(*takers[1:]), 5)) == ["a", "b"]


async def test_a_taker_that_is_cancelled_after_the_call_hands_it_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"


async def test_of_several_delays_the_earliest_counts_and_add_overtakes() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.02)
    queue.add_after("a", 30)
    queue.add_after("b", 0.01)
    queue.add_after("c", 60)
    assert queue.delayed == 3
    queue.add("c")
    assert [await take(queue) for _ in range(3)] == ["c", "b", "a"]
    assert queue.delayed == 0


async def test_a_delay_does_not_break_into_work_on_the_same_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    queue.add_after("a", 0.01)
    queue.add_after("b", 0.02)
    assert await take(queue) == "b"
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"


async def test_what_was_begun_goes_before_what_is_new_and_starves_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for number in range(2):
        queue.add(f"new {number}")
    for number in range(5):
        queue.add_after(f"due {number}", 0.001 * (number + 1))
    async with asyncio.timeout(5):
        while len(queue) < 7:
            await asyncio.sleep(0.001)
    order = [await take(queue) for _ in range(7)]
    assert order == ["due 0", "due 1", "due 2", "new 0", "due 3", "due 4", "new 1"]


async def test_what_comes_while_it_is_worked_on_is_not_put_behind_all_that_is_new() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "c"):
        queue.add(key)
    assert await take(queue) == "a"
    queue.add("a")
    queue.done("a")
    assert [await take(queue) for _ in range(3)] == ["a", "b", "c"]


async def test_retries_wait_longer_each_time_and_forget_starts_over() -> None:
    queue: WorkQueue[str] = WorkQueue(RetryPolicy(base=1, cap=10))
    pauses = [queue.retry("a") for _ in range(6)]
    for pause, full in zip(pauses, (1, 2, 4, 8, 10, 10), strict=True):
        assert 0.75 * full <= pause <= 1.25 * full
    assert queue.failures("a") == 6
    queue.forget("a")
    assert queue.retry("a") <= 1.25


async def test_all_retries_share_a_rate() -> None:
    queue: WorkQueue[str] = WorkQueue(RetryPolicy(base=0.001, cap=0.001, rate=1, burst=2))
    pauses = [queue.retry(key) for key in "abcd"]
    assert max(pauses[:2]) < 0.01
    assert pauses[2] > 0.9
    assert pauses[3] > 1.9


async def test_shutdown_hands_out_the_rest_and_then_ends() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add_after("b", 0.001)
    queue.shutdown()
    queue.add("c")
    assert await take(queue) == "a"
    with pytest.raises(QueueShutdown):
        await take(queue)


async def test_shutdown_wakes_all_takers() -> None:
    queue: WorkQueue[str] = WorkQueue()
    takers = [asyncio.create_task(take(queue)) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shutdown(drop=True)
    ends = await asyncio.gather(*takers, return_exceptions=True)
    assert all(isinstance(end, QueueShutdown) for end in ends)


async def test_drained_waits_for_work_in_hand() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await take(queue)
    waiting = asyncio.create_task(queue.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done("a")
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_and_nothing_overlaps(seed: int) -> None:
    """Random adds from all sides; every add is followed by a look at its key that began later."""
    rng = random.Random(seed)
    queue: WorkQueue[int] = WorkQueue()
    clock = 0
    added: dict[int, int] = {}
    looked: dict[int, int] = {}
    busy: set[int] = set()

    async def worker() -> None:
        nonlocal clock
        while True:
            try:
                key = await queue.get()
            except QueueShutdown:
                return
            assert key not in busy
            busy.add(key)
            clock += 1
            looked[key] = clock
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            busy.discard(key)
            queue.done(key)

    workers = [asyncio.create_task(worker()) for _ in range(4)]
    for _ in range(500):
        key = rng.randrange(12)
        clock += 1
        added[key] = clock
        if rng.random() < 0.2:
            queue.add_after(key, rng.random() * 0.002)
        else:
            queue.add(key)
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    for _ in range(1000):
        if not queue.delayed and not len(queue) and not queue.working:
            break
        await asyncio.sleep(0.001)
    queue.shutdown()
    await asyncio.gather(*workers)
    assert all(looked[key] > when for key, when in added.items())


def test_exponential_never_overflows() -> None:
    assert exponential(0.1, 30, 100_000) <= 37.5


def test_a_bucket_refills_up_to_its_burst() -> None:
    bucket = TokenBucket(rate=2, burst=2)
    assert [bucket.try_take(100) for _ in range(3)] == [True, True, False]
    assert bucket.try_take(100.5)
    assert not bucket.try_take(100.5)
    assert [bucket.try_take(900) for _ in range(3)] == [True, True, False]
