"""A service without a replica is woken by its first request, and let go when nobody asks.

API server, workload controllers, node and gateway are real; the engine is the fake one, as a pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.standalone.nodehome import Home, api, until
from tests.standalone.test_workloads import deployment
from tests.unit.gateway.objects import service, slices
from tests.unit.gateway.test_server import CHAT, Bed, running

from ome.apimachinery.objects import Object
from ome.apimachinery.resources import DEPLOYMENTS, ENDPOINT_SLICES, SERVICES
from ome.kube import Informer
from ome.standalone.gateway.zero import Zero

PORT = 18095
ENGINE = Path(__file__).parents[1] / "fakes" / "engine.py"
BODY = {"model": "a", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Stage:
    home: Home
    bed: Bed

    async def replicas(self) -> int:
        live = await self.home.client.get(DEPLOYMENTS, "a-engine", "default")
        return int(live["spec"]["replicas"])

    async def serve(self, *command: str, **annotations: str) -> None:
        """Service ``a``, whose engine may be at zero and is."""
        made = deployment(
            "a-engine",
            *command,
            replicas=0,
            container={
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {
                    "httpGet": {"port": "http", "path": "/health"},
                    "periodSeconds": 1,
                },
            },
        )
        made["metadata"]["labels"] = {"ome.io/inferenceservice": "a", "component": "engine"}
        backend: Object = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "a-engine", "namespace": "default"},
            "spec": {
                "selector": {"app": "a-engine"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }
        await self.home.client.create(DEPLOYMENTS, made, namespace="default")
        await self.home.client.create(SERVICES, backend, namespace="default")
        obj = service("a", message="the engine is scaled to zero")
        obj["metadata"]["annotations"] = {
            f"ome.io/{key.replace('_', '-')}": value for key, value in annotations.items()
        }
        obj["spec"]["engine"] = {"minReplicas": 0}
        self.bed.table.put_service(obj)

    async def ask(self) -> tuple[int, bytes]:
        async with self.bed.http.post(CHAT, json=BODY) as response:
            return response.status, await response.read()


def engine() -> tuple[str, ...]:
    return ("python", str(ENGINE), "--host", "$(POD_IP)", "--port", str(PORT), "--model", "m")


@contextlib.asynccontextmanager
async def gateway(home: Home, **options: Any) -> AsyncIterator[Stage]:
    async with running() as bed:
        zero = Zero(home.client, bed.table, time.monotonic, look_seconds=0.2, **options)
        bed.gateway.zero = zero
        slices = Informer(home.client, ENDPOINT_SLICES)

        def changed(event: str, old: Any, new: Any) -> None:
            if event == "DELETED":
                bed.table.drop_slice(old)
            else:
                bed.table.put_slice(new)
            zero.changed()

        slices.add_handler(changed)
        tasks = [asyncio.create_task(slices.run()), asyncio.create_task(zero.run())]
        try:
            await slices.synced()
            yield Stage(home, bed)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api(tmp_path) as home:
        await home.start_node()
        await home.start_workloads()
        yield home


async def test_the_first_requests_are_held_until_a_replica_answers_and_it_sleeps_again(
    home: Home,
) -> None:
    async with gateway(home, idle_seconds=1.0, wake_seconds=30.0) as stage:
        await stage.serve(*engine())
        answers = await asyncio.gather(*(stage.ask() for _ in range(5)))
        assert [status for status, _ in answers] == [200] * 5
        assert all(text.endswith(b"data: [DONE]\n\n") for _, text in answers)
        assert await stage.replicas() == 1

        async def asleep() -> bool:
            return await stage.replicas() == 0

        await until(asleep, what="it is back at zero", timeout=20)
    # A gateway that was killed: the next one knows nothing, and does the same.
    async with gateway(home, idle_seconds=60.0, wake_seconds=30.0) as after:
        after.bed.table.services.update(stage.bed.table.services)
        status, _ = await after.ask()
        assert status == 200


async def test_a_request_that_meets_only_a_replica_that_is_being_let_go_wakes_the_service(
    home: Home,
) -> None:
    async with gateway(home, idle_seconds=600.0, wake_seconds=30.0) as stage:
        await stage.serve(*engine())
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            (going,) = slices("a-engine", ("127.0.0.1", closed.getsockname()[1], {"ready": True}))
            stage.bed.table.put_slice(going)
            assert (await stage.ask())[0] == 200
        assert await stage.replicas() == 1


async def test_a_service_stays_up_while_a_request_runs(home: Home) -> None:
    async with gateway(home, idle_seconds=600.0, wake_seconds=30.0) as stage:
        await stage.serve(*engine(), scale_to_zero_after="500ms")
        await stage.ask()
        url = stage.bed.table.endpoints(stage.bed.table.listed()[0])[0].url
        async with stage.bed.http.post(f"{url}/_control", json={"delay": 2.5}):
            pass
        asking = asyncio.create_task(stage.ask())
        while not asking.done():
            assert await stage.replicas() == 1
            await asyncio.wait({asking}, timeout=0.2)
        assert (await asking)[0] == 200


async def test_what_does_not_start_in_time_is_answered_with_the_reason(home: Home) -> None:
    async with gateway(home, idle_seconds=1.0) as stage:
        await stage.serve("sleep", "600", scale_from_zero_timeout="1500ms")
        status, text = await stage.ask()
        assert status == 504
        assert b"scale_from_zero_timeout" in text
        assert b"after 1.5 s no replica of it takes requests" in text
        assert b"the engine is scaled to zero" in text

        async def given_up() -> bool:
            return await stage.replicas() == 0

        await until(given_up, what="what never answered is not kept", timeout=20)


async def test_a_service_that_is_deleted_meanwhile_is_told_to_those_who_wait(home: Home) -> None:
    async with gateway(home) as stage:
        await stage.serve("sleep", "600")
        asking = asyncio.create_task(stage.ask())

        async def woken() -> bool:
            return await stage.replicas() == 1

        await until(woken, what="a replica is asked for")
        stage.bed.table.services.clear()
        status, text = await asking
        assert (status, b"has been deleted" in text) == (404, True)
