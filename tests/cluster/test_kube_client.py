"""The client against a real kube-apiserver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.unit.kube.conformance import *  # noqa: F403
from tests.unit.kube.conformance import OWN, Restart

from ome.apimachinery.errors import Expired, NotFound, StatusError
from ome.apimachinery.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES
from ome.kube import Client, Unreachable, connect


@pytest.fixture
async def client(bed: ControlPlane) -> AsyncIterator[Client]:
    async with await connect(bed.kubeconfig()) as made:
        yield made
        for found in (await made.list(CONFIG_MAPS, "default", label_selector=OWN)).items:
            await made.delete(CONFIG_MAPS, found["metadata"]["name"], "default")
        for event in (await made.list(EVENTS, "default")).items:
            await made.delete(EVENTS, event["metadata"]["name"], "default")
        with contextlib.suppress(NotFound):
            await made.delete(LEASES, "op", "default")
        with contextlib.suppress(NotFound):
            await made.delete(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")
        for _ in range(600):
            try:
                await made.get(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")
            except NotFound:
                break
            await asyncio.sleep(0.05)


@pytest.fixture
def restart(bed: ControlPlane, client: Client) -> Restart:
    async def kill_and_start() -> None:
        bed.kill("kube-apiserver")
        bed.start_apiserver()
        for _ in range(600):
            with contextlib.suppress(Unreachable, StatusError):
                await client.request("GET", "/readyz")
                return
            await asyncio.sleep(0.1)

    return kill_and_start


async def test_a_version_too_old_is_expired(client: Client) -> None:
    with pytest.raises(Expired):
        async for _ in client.watch(CONFIG_MAPS, resource_version="1", timeout_seconds=5):
            pytest.fail("no event is due")
