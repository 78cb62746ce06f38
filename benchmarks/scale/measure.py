"""What each phase costs the operator."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.cluster.bed.controlplane import free_port

from benchmarks.scale import objects
from benchmarks.scale.api import Api, Audit, BedCpu
from benchmarks.scale.floor import IN_FLIGHT, TIMEOUT_S, percentiles
from benchmarks.scale.objects import OME, Object
from benchmarks.scale.operator import Operator

NAMESPACE = "bench"
SETTLE_S = 15.0
QUIET_S = 5.0
"""A phase is over when so long nothing has been written."""
RESTART_S = 20.0
OFFERED_A_SECOND = 5.0
OFFERED_S = 30.0
STORM_PODS = 4
STORM_CHANGES = 500


class Measurement:
    """The phases, in the order in which they are called."""

    def __init__(
        self,
        api: Api,
        folder: Path,
        count: int,
        *,
        rate: float = 0,
        profile: Path | None = None,
    ) -> None:
        self._api, self._folder, self._count, self._rate = api, folder, count, rate
        self._profile = profile
        self._there = count
        self._audit = Audit(api.bed)
        self._operator: Operator | None = None
        self._hooks = free_port()  # the same one for all: the API server has its address
        self._services = f"{OME}/namespaces/{NAMESPACE}/inferenceservices"
        self._deployments = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"

    def close(self) -> None:
        if self._operator is not None:
            self._operator.stop()

    async def _start(self, *, upgraded: bool = False) -> Operator:
        self.close()
        self._operator = Operator(
            self._api, self._folder, self._hooks, upgraded=upgraded, profile=self._profile
        )
        self._profile = None
        await self._operator.until_leads()
        return self._operator

    @contextlib.asynccontextmanager
    async def _watching(
        self, service: Callable[[str, Object], None], deployment: Callable[[str, Object], None]
    ) -> AsyncIterator[None]:
        watches = [
            asyncio.create_task(self._api.watch(self._services, service)),
            asyncio.create_task(self._api.watch(self._deployments, deployment)),
        ]
        await asyncio.sleep(0.5)
        try:
            yield
        finally:
            for watch in watches:
                watch.cancel()

    async def _until(self, done: Callable[[], bool], operator: Operator) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not done():
                operator.memory()
                await asyncio.sleep(0.1)

    async def create(self) -> Object:
        await self._api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        operator = await self._start()
        return await self._created(operator, 0, self._count, self._rate)

    async def offered(self) -> Object:
        """Beside those that are there, more at a steady rate."""
        operator = self._operator or await self._start()
        more = round(OFFERED_A_SECOND * OFFERED_S)
        found = await self._created(operator, self._there, more, OFFERED_A_SECOND)
        self._there += more
        return {"a_second": OFFERED_A_SECOND, "beside": self._there - more, **found}

    async def _created(self, operator: Operator, first: int, count: int, rate: float) -> Object:
        born: dict[str, float] = {}
        made: dict[str, float] = {}
        ready: dict[str, float] = {}

        def service(_: str, obj: Object) -> None:
            if obj["metadata"].get("name") in born and is_ready(obj):
                ready.setdefault(obj["metadata"]["name"], time.monotonic())

        def deployment(kind: str, obj: Object) -> None:
            name = (obj["metadata"].get("labels") or {}).get("ome.io/inferenceservice")
            if kind == "ADDED" and name in born:
                made.setdefault(name, time.monotonic())

        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.sleep(2)
        self._audit.begin()
        idle, cpu, machine = operator.memory(), operator.cpu(), BedCpu(self._api.bed)
        async with self._watching(service, deployment):
            began = time.monotonic()

            async def make(number: int) -> None:
                if rate:
                    await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                obj = objects.service(first + number)
                async with gate:
                    born[obj["metadata"]["name"]] = time.monotonic()
                    await self._api.call("POST", self._services, obj)

            async with asyncio.TaskGroup() as tasks:
                for number in range(count):
                    tasks.create_task(make(number))
            created = time.monotonic() - began
            await self._until(lambda: len(ready) >= count, operator)
        control_plane = machine.spent()
        to_ready, spent = self._audit.count(count), operator.cpu() - cpu
        await asyncio.sleep(SETTLE_S)
        return {
            "services": count,
            "created_s": round(created, 2),
            "wall_s": round(max(ready.values()) - began, 2),
            "apply_to_deployment_s": percentiles([made[n] - born[n] for n in made]),
            "apply_to_ready_s": percentiles([ready[n] - born[n] for n in ready]),
            "to_ready": to_ready,
            "settled": self._audit.count(count),
            "cpu_ms_per_service": round(spent / count * 1000, 1),
            "cpu_ms_per_service_settled": round((operator.cpu() - cpu) / count * 1000, 1),
            "control_plane_cpu_s": control_plane,
            "memory": {
                "idle": round(idle, 1),
                "peak": round(operator.peak, 1),
                "settled": round(operator.memory(), 1),
            },
        }

    async def restart(self) -> Object:
        return await self._again(upgraded=False)

    async def upgrade(self) -> Object:
        found = await self._again(upgraded=True)
        await self._start()
        return found

    async def _again(self, *, upgraded: bool) -> Object:
        lost: set[str] = set()
        generations: set[str] = set()
        before = {
            d["metadata"]["name"]: d["metadata"]["generation"]
            for d in (await self._api.call("GET", self._deployments))["items"]
        }

        def service(_: str, obj: Object) -> None:
            if not is_ready(obj):
                lost.add(obj["metadata"]["name"])

        def deployment(_: str, obj: Object) -> None:
            meta = obj["metadata"]
            if meta["generation"] != before.get(meta["name"]):
                generations.add(meta["name"])

        self.close()
        self._audit.begin()
        began = time.monotonic()
        async with self._watching(service, deployment):
            operator = await self._start(upgraded=upgraded)
            leads = time.monotonic() - began
            await asyncio.sleep(RESTART_S)
        return {
            **self._audit.count(self._there),
            "leads_after_s": round(leads, 2),
            "cpu_s": round(operator.cpu(), 2),
            "memory": round(operator.memory(), 1),
            "services_that_lost_ready": len(lost),
            "deployments_changed": len(generations),
        }

    async def storm(self) -> Object:
        """Nothing but noise: many changes of a few pods that change nothing for their services."""
        operator = self._operator or await self._start()
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        found = (await self._api.call("GET", f"{pods}?limit={STORM_PODS}"))["items"]
        gate = asyncio.Semaphore(IN_FLIGHT)
        self._audit.begin()
        looks, cpu, began = await operator.looks(), operator.cpu(), time.monotonic()

        async def change(name: str, number: int) -> None:
            async with gate:
                noise = {"metadata": {"annotations": {"bench/noise": str(number)}}}
                await self._api.call("PATCH", f"{pods}/{name}", noise)

        async with asyncio.TaskGroup() as tasks:
            for number in range(STORM_CHANGES):
                for pod in found:
                    tasks.create_task(change(pod["metadata"]["name"], number))
        wall = time.monotonic() - began
        await asyncio.sleep(QUIET_S)
        changes = STORM_CHANGES * len(found)
        return {
            **self._audit.count(changes),
            "changes": changes,
            "of_services": len(found),
            "changes_a_second": round(changes / wall),
            "looks": await operator.looks() - looks,
            "cpu_ms_per_change": round((operator.cpu() - cpu) / changes * 1000, 2),
        }

    async def edit(self) -> Object:
        """The operator runs. Counts Deployments that roll at the same time."""
        operator = self._operator or await self._start()
        lost: set[str] = set()
        rolling: set[str] = set()
        rolled: dict[str, float] = {}
        most = 0
        last = time.monotonic()

        def service(_: str, obj: Object) -> None:
            if not is_ready(obj):
                lost.add(obj["metadata"]["name"])

        def deployment(_: str, obj: Object) -> None:
            nonlocal most, last
            name, last = obj["metadata"]["name"], time.monotonic()
            if not is_new(obj):
                return
            if is_rolled(obj):
                rolling.discard(name)
                rolled.setdefault(name, last)
            else:
                rolling.add(name)
                most = max(most, len(rolling))

        self._audit.begin()
        cpu, began = operator.cpu(), time.monotonic()
        async with self._watching(service, deployment):
            await self._api.apply(f"{OME}/clusterservingruntimes", objects.runtime(1))
            await self._until(
                lambda: (
                    len(rolled) >= self._there or time.monotonic() - max(last, began) > SETTLE_S * 4
                ),
                operator,
            )
        return {
            **self._audit.count(self._there),
            "wall_s": round(max(rolled.values(), default=began) - began, 2),
            "rolled": len(rolled),
            "most_at_once": most,
            "services_that_lost_ready": len(lost),
            "cpu_ms_per_service": round((operator.cpu() - cpu) / self._there * 1000, 1),
            "memory": round(operator.memory(), 1),
        }

    async def delete(self) -> Object:
        operator = self._operator or await self._start()
        self._audit.begin()
        cpu, began = operator.cpu(), time.monotonic()
        await self._api.call("DELETE", self._services)
        left = dict.fromkeys((self._services, self._deployments), True)
        async with asyncio.timeout(TIMEOUT_S):
            while any(left.values()):
                for path in left:
                    left[path] = bool((await self._api.call("GET", f"{path}?limit=1"))["items"])
                await asyncio.sleep(0.2)
        wall = time.monotonic() - began
        await asyncio.sleep(QUIET_S)
        return {
            **self._audit.count(self._there),
            "wall_s": round(wall, 2),
            "cpu_ms_per_service": round((operator.cpu() - cpu) / self._there * 1000, 1),
            "memory": round(operator.memory(), 1),
        }


def is_ready(service: Object) -> bool:
    found = (service.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found)


def is_new(deployment: Object) -> bool:
    """Whether it is made from the edited runtime."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return any(
        e.get("name") == "BENCH_GENERATION" and e.get("value") == "1"
        for c in containers
        for e in c.get("env") or ()
    )


def is_rolled(deployment: Object) -> bool:
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas") or 0
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("availableReplicas", 0) >= wanted
        and status.get("replicas", 0) == wanted
    )
