"""One leader at a time, whatever fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.kube.fakeapi import FakeApi, Fault
from tests.unit.kube.waiting import Start, until

from ome.kube import Client, LeaderElector, LeadershipLost

LEASES = "/apis/coordination.k8s.io/v1/leases"


def elector(client: Client, identity: str, **options: Any) -> LeaderElector:
    times = {"lease_duration": 0.6, "renew_deadline": 0.4, "retry_period": 0.05}
    return LeaderElector(client, "op", "ome", identity, **{**times, **options})


def spec(api: FakeApi) -> dict[str, Any]:
    return api.objects[LEASES, "ome", "op"]["spec"]  # type: ignore[no-any-return]


class Work:
    """Runs until cancelled, and notes it."""

    def __init__(self) -> None:
        self.running = False
        self.starts = 0

    async def __call__(self) -> None:
        self.running = True
        self.starts += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False


async def test_a_free_lease_is_taken_renewed_and_released(
    api: FakeApi, client: Client, start: Start
) -> None:
    work, heard = Work(), list[str]()
    one = elector(client, "one", on_new_leader=heard.append)
    task = start(one.run(work))
    await until(lambda: work.running)
    assert one.is_leader
    assert spec(api)["holderIdentity"] == "one"
    assert spec(api)["leaseTransitions"] == 0
    first = spec(api)["renewTime"]
    acquired = spec(api)["acquireTime"]
    assert len(first) == len("2026-01-01T00:00:00.000000Z")
    await until(lambda: spec(api)["renewTime"] != first)
    assert spec(api)["acquireTime"] == acquired
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.running
    assert spec(api)["holderIdentity"] == ""
    assert spec(api)["leaseDurationSeconds"] == 1
    assert heard == ["one"]


async def test_a_released_lease_is_handed_over_at_once(
    api: FakeApi, client: Client, start: Start
) -> None:
    first, second = Work(), Work()
    task = start(elector(client, "one").run(first))
    await until(lambda: first.running)
    start(elector(client, "two", lease_duration=600).run(second))
    await until(lambda: len(api.sent("GET")) >= 3)
    assert not second.running
    task.cancel()
    await until(lambda: second.running)
    assert not first.running
    assert spec(api)["leaseTransitions"] == 1  # the release kept the count


@pytest.mark.parametrize(("said", "waits"), [(0, 0.6), (1, 1.0), (None, 0.6)])
async def test_a_dead_holders_lease_runs_out_by_our_own_clock(
    api: FakeApi, client: Client, start: Start, said: int | None, waits: float
) -> None:
    """After what it says in the Lease, and after our own duration at least."""
    await api.put(
        LEASES,
        {
            "metadata": {"name": "op", "namespace": "ome"},
            "spec": {
                "holderIdentity": "dead",
                "leaseDurationSeconds": said,
                "renewTime": "2099-01-01T00:00:00.000000Z",  # its clock was wrong
                "leaseTransitions": 4,
            },
        },
    )
    work = Work()
    begin = asyncio.get_running_loop().time()
    start(elector(client, "two").run(work))
    await until(lambda: work.running)
    assert asyncio.get_running_loop().time() - begin >= waits
    assert spec(api)["leaseTransitions"] == 5


async def test_a_living_holder_keeps_it_however_old_its_timestamps(
    api: FakeApi, client: Client, start: Start
) -> None:
    work = Work()
    start(elector(client, "two").run(work))
    holder = {"holderIdentity": "one", "renewTime": ""}
    lease = {"metadata": {"name": "op", "namespace": "ome"}, "spec": holder}
    await api.put(LEASES, lease)
    for number in range(12):
        holder["renewTime"] = f"1990-01-01T00:00:00.{number:06}Z"
        await api.put(LEASES, lease)
        await asyncio.sleep(0.1)
    assert not work.running


async def test_of_two_that_start_together_one_leads(
    api: FakeApi, client: Client, start: Start
) -> None:
    works = [Work() for _ in range(5)]
    for number, work in enumerate(works):
        start(elector(client, f"n{number}").run(work))
    await until(lambda: any(work.running for work in works))
    await until(lambda: len(api.sent("GET")) > 15)
    assert sum(work.running for work in works) == 1
    assert sum(work.starts for work in works) == 1


async def test_who_can_not_renew_stops_before_another_may_start(
    api: FakeApi, client: Client, start: Start
) -> None:
    async with Client(api.url, attempts=1) as own:
        work = Work()
        task = start(elector(own, "one").run(work))
        await until(lambda: work.running)
        api.fail(Fault(method="PUT", status=500, times=1000))
        with pytest.raises(LeadershipLost, match="could not be renewed"):
            await asyncio.wait_for(task, 5)
        assert not work.running


async def test_a_server_that_hangs_also_ends_leadership_in_time(
    api: FakeApi, client: Client, start: Start
) -> None:
    work = Work()
    task = start(elector(client, "one").run(work))
    await until(lambda: work.running)
    api.fail(Fault(method="PUT", delay=30, times=1000))
    begin = asyncio.get_running_loop().time()
    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(task, 5)
    assert asyncio.get_running_loop().time() - begin < 0.6
    assert not work.running


async def test_a_lease_that_was_taken_away_ends_leadership(
    api: FakeApi, client: Client, start: Start
) -> None:
    work = Work()
    task = start(elector(client, "one").run(work))
    await until(lambda: work.running)
    thief = {"metadata": {"name": "op", "namespace": "ome"}, "spec": {"holderIdentity": "thief"}}
    await api.put(LEASES, thief)
    with pytest.raises(LeadershipLost, match="thief holds"):
        await asyncio.wait_for(task, 5)
    assert spec(api)["holderIdentity"] == "thief"


async def test_short_failures_and_a_deleted_lease_are_survived(
    api: FakeApi, client: Client, start: Start
) -> None:
    work = Work()
    start(elector(client, "one").run(work))
    await until(lambda: work.running)
    api.fail(Fault(method="PUT", status=409))
    api.fail(Fault(method="PUT", reset_after_work=True))
    await api.drop(LEASES, "ome", "op")
    await until(lambda: (LEASES, "ome", "op") in api.objects)
    renewed = spec(api)["renewTime"]
    await until(lambda: spec(api)["renewTime"] != renewed)
    assert work.running
    assert work.starts == 1


async def test_the_end_of_the_work_and_its_failure_are_passed_on(
    api: FakeApi, client: Client
) -> None:
    async def short() -> None:
        return

    async def broken() -> None:
        raise RuntimeError("boom")

    await asyncio.wait_for(elector(client, "one").run(short), 5)
    with pytest.raises(RuntimeError, match="boom"):
        await asyncio.wait_for(elector(client, "one").run(broken), 5)
    assert spec(api)["holderIdentity"] == ""


def test_senseless_times_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_deadline"):
        LeaderElector(Client("http://x"), "op", "ome", "one", renew_deadline=20)
    with pytest.raises(ValueError, match="identity"):
        LeaderElector(Client("http://x"), "op", "ome", "")
