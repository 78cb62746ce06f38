"""A canary gets its share of the requests, and nobody is sent where nobody answers."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from tests.fakes.engine import FakeEngine
from tests.unit.gateway.objects import endpoint, service, slices
from tests.unit.gateway.test_server import CHAT, Bed, bed, engines

from ome.standalone.gateway.routes import read_service

__all__ = ["bed", "engines"]

REQUESTS = 400


def with_canary(percent: int, component: str = "engine", **more: Any) -> dict[str, Any]:
    obj = service("a", **more)
    name = f"a-{component}"
    obj["status"]["components"] = {
        component: {
            "traffic": [
                {"revisionName": name, "latestRevision": False, "percent": 100 - percent},
                {"revisionName": f"{name}-canary", "latestRevision": True, "percent": percent},
            ]
        }
    }
    return obj


def serve(bed: Bed, percent: int, stable: list[FakeEngine], canary: list[FakeEngine]) -> None:
    bed.table.put_service(with_canary(percent))
    for backend, group in (("a-engine", stable), ("a-engine-canary", canary)):
        for obj in slices(backend, *map(endpoint, group)):
            bed.table.put_slice(obj)


async def answers(bed: Bed, count: int = REQUESTS) -> Counter[str]:
    found: Counter[str] = Counter()
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(count):
        async with bed.http.post(CHAT, json=body) as response:
            assert response.status == 200
            found[response.headers["X-Fake-Engine"]] += 1
    return found


@pytest.mark.parametrize("percent", [0, 20, 50, 99])
async def test_requests_are_split_by_weight(
    bed: Bed, engines: list[FakeEngine], percent: int
) -> None:
    serve(bed, percent, engines[:1], engines[1:])
    found = await answers(bed)
    share = percent / 100
    # Five standard deviations of a binomial distribution: wrong once in two million runs.
    slack = 5 * math.sqrt(REQUESTS * share * (1 - share))
    assert abs(found["e1"] - REQUESTS * share) <= slack


async def test_a_canary_without_replicas_takes_nothing_away(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    serve(bed, 99, engines, [])
    assert (await answers(bed, 40)).total() == 40


async def test_the_canary_answers_where_the_stable_version_has_no_replica(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    serve(bed, 5, [], engines[:1])
    assert await answers(bed, 20) == {"e0": 20}


async def test_a_canary_that_cannot_be_reached_is_replaced_by_the_stable_version(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    serve(bed, 99, engines[:1], engines[1:])
    await engines[1].stop()
    assert await answers(bed, 40) == {"e0": 40}


async def test_without_a_canary_there_is_no_split() -> None:
    assert read_service(service("a")).canary == ""
    assert read_service(with_canary(100)).canary == ""
    found = read_service(with_canary(30))
    assert (found.canary, found.canary_percent) == ("a-engine-canary", 30)


async def test_with_a_router_it_is_the_routers_canary_that_counts() -> None:
    assert read_service(with_canary(30, router=True)).canary == ""
    assert read_service(with_canary(30, "router", router=True)).canary == "a-router-canary"
