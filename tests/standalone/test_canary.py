"""From ``canaryTrafficPercent`` to the gateway's table, with everything between them real."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import model, runtime, service

from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, labels_of
from ome.standalone.gateway.routes import Endpoint, RouteTable


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home(probe=False) as found:
        await found.start_operator()
        yield found


def chat(image: str, **engine: object) -> Object:
    runner = {"name": "ome-container", "image": image}
    return service(engine={"minReplicas": 1, "maxReplicas": 1, "runner": runner, **engine})


async def table_of(home: Home) -> RouteTable:
    table = RouteTable()
    table.put_service(await home.service("chat"))
    for slice_ in (await home.client.list(r.ENDPOINT_SLICES, "default")).items:
        table.put_slice(slice_)
    return table


async def split(home: Home) -> tuple[list[Endpoint], list[Endpoint], int]:
    """(the canary's replicas, the stable ones, the canary's percentage) as the gateway sees it."""
    table = await table_of(home)
    found = table.listed()[0]
    return table.endpoints(found, 0.0), table.endpoints(found, 99.99), found.canary_percent


async def test_the_gateway_splits_as_the_service_asks_until_it_is_promoted(home: Home) -> None:
    await home.apply(model(), runtime(), chat("engine:1"))
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True")
    canary, stable, percent = await split(home)
    assert (len(stable), percent) == (1, 0) and canary == stable

    await home.apply(chat("engine:2", canaryTrafficPercent=20))

    async def beside() -> tuple[list[Endpoint], list[Endpoint]] | None:
        canary, stable, percent = await split(home)
        return (canary, stable) if percent == 20 and canary and canary != stable else None

    canary, stable = await home.until("the canary has a replica of its own", beside)
    pods = {p["metadata"]["uid"]: p for p in (await home.client.list(r.PODS, "default")).items}
    images = [pods[e.uid]["spec"]["containers"][0]["image"] for e in (*canary, *stable)]
    assert images == ["engine:2", "engine:1"]
    assert labels_of(pods[canary[0].uid])["app"] != labels_of(pods[stable[0].uid])["app"]

    await home.apply(chat("engine:2", canaryTrafficPercent=100))

    async def promoted() -> bool:
        canary, stable, percent = await split(home)
        names = await home.names(r.DEPLOYMENTS)
        return percent == 0 and canary == stable and names == ["chat-engine"]

    await home.until("the canary is promoted and gone", promoted)
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "engine:2"
