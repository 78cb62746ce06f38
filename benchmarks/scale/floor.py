"""The floor: the same objects, made by a script."""

from __future__ import annotations

import asyncio
import time

from benchmarks.scale import objects
from benchmarks.scale.api import Api, BedCpu
from benchmarks.scale.objects import OME, Object

IN_FLIGHT = 16
TIMEOUT_S = 1200.0
NAMESPACE = "bench-floor"


def percentiles(values: list[float]) -> Object:
    ordered = sorted(values)

    def at(share: float) -> float | None:
        if not ordered:
            return None
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50": at(0.5), "p99": at(0.99)}


async def floor(api: Api, count: int) -> Object:
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    gate = asyncio.Semaphore(IN_FLIGHT)
    machine = BedCpu(api.bed)
    began = time.monotonic()
    born: dict[str, float] = {}
    ready: dict[str, float] = {}
    where = f"namespaces/{NAMESPACE}"
    available: asyncio.Queue[str] = asyncio.Queue()
    known: set[str] = set()

    def seen(_: str, deployment: Object) -> None:
        name = deployment["metadata"].get("name", "")
        if (deployment.get("status") or {}).get("availableReplicas") and name not in known:
            known.add(name)
            available.put_nowait(name)

    async def make(number: int) -> None:
        service = objects.service(number)
        name = service["metadata"]["name"]
        async with gate:
            born[name] = time.monotonic()
            await api.call("POST", f"{OME}/{where}/inferenceservices", service)
            for path, child in objects.children(name):
                await api.call("POST", path.format(where), child)

    async def tell(name: str) -> None:
        condition = {
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        async with gate:
            path = f"{OME}/{where}/inferenceservices/{name}/status"
            await api.call("PATCH", path, {"status": {"conditions": [condition]}})
            ready[name] = time.monotonic()

    async def tell_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(count):
                tasks.create_task(tell(await available.get()))

    watching = asyncio.create_task(api.watch(f"/apis/apps/v1/{where}/deployments", seen))
    try:
        async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(make(number))
            tasks.create_task(tell_all())
    finally:
        watching.cancel()
    return {
        "wall_s": round(max(ready.values()) - began, 2),
        "apply_to_ready_s": percentiles([ready[name] - born[name] for name in ready]),
        "control_plane_cpu_s": machine.spent(),
    }
