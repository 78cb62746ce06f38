"""What must not grow with the number of services, and what must not follow every noise.

Figures are in ``benchmarks/results/``; here only what holds on any machine, counted and not timed.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.fakes.fleet import NAMESPACE, Fleet, pod_of

from ome.apimachinery import resources as r
from ome.apimachinery.objects import Key
from ome.controllers import operator as operators
from ome.kube import Controller


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls of Python functions it takes: its cost, without any clock."""
    count = 0

    def note(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


async def test_a_look_at_a_service_costs_the_same_whatever_the_number_of_the_others() -> None:
    fleet = Fleet()
    costs = []
    for size in (10, 300):
        while len(fleet.cluster.services) < size:
            fleet.add(f"s-{len(fleet.cluster.services):04d}")
        assert not fleet.decide("s-0003").plan  # healthy: nothing to write
        costs.append(calls_of(lambda: fleet.decide("s-0003")))
    assert costs[1] <= costs[0] * 1.02


async def test_a_change_of_a_child_costs_the_same_whatever_the_number_of_services() -> None:
    fleet = Fleet()
    costs = []
    for size in (10, 300):
        while len(fleet.cluster.services) < size:
            fleet.add(f"s-{len(fleet.cluster.services):04d}")
        deployment = fleet.cluster.children[r.DEPLOYMENTS].list()[3]
        costs.append(
            calls_of(lambda made=deployment: fleet.put(fleet.cluster.pods, pod_of(made, a="b")))
        )
    assert costs[1] <= costs[0] * 1.02


async def test_a_storm_of_changes_is_a_few_looks_and_the_last_one_is_seen() -> None:
    """20 services, 100 changes of the pod of each, as fast as they come."""
    fleet, looks, seen = Fleet(), Counter[str](), dict[str, str]()
    for number in range(20):
        fleet.add(f"s-{number:04d}")
    pods = fleet.cluster.pods

    async def look(key: Key) -> None:
        looks[key.name] += 1
        (pod,) = pods.by_index("service", f"{NAMESPACE}/{key.name}")
        seen[key.name] = pod["metadata"]["annotations"]["noise"]

    fleet.operator.services = Controller("inferenceservice", look, workers=4)
    running = asyncio.create_task(fleet.operator.services.run())
    loop = asyncio.get_running_loop()
    began = loop.time()
    deployments = fleet.cluster.children[r.DEPLOYMENTS].list()
    for noise in range(100):
        for deployment in deployments:
            fleet.put(pods, pod_of(deployment, noise=str(noise)))
        await asyncio.sleep(0)
    took = loop.time() - began
    async with asyncio.timeout(20):
        while set(seen.values()) != {"99"} or len(seen) < 20:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    # At most one look in each span of gathering, and the one that was under way.
    assert max(looks.values()) <= took / operators.GATHER_SECONDS + 2
