"""The operator as a process beside the bed, and what each phase costs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
from tests.cluster.bed.controlplane import free_port

from benchmarks.scale import objects
from benchmarks.scale.api import Api, Audit
from benchmarks.scale.floor import IN_FLIGHT, TIMEOUT_S, percentiles
from benchmarks.scale.objects import OME, Object

NAMESPACE = "bench"
SETTLE_S = 15.0
QUIET_S = 5.0
"""A phase is over when so long nothing has been written."""
RESTART_S = 20.0

# Another version of OME, as an upgrade brings it; what is rendered must not depend on it.
_AS_VERSION = (
    "import sys, ome._version as v; v.__version__ = '99.0.0';"
    "from ome.cli.main import main; sys.argv[0] = 'ome'; main()"
)


class Operator:
    """``ome operator`` outside of the cluster, webhooks on."""

    def __init__(
        self,
        api: Api,
        folder: Path,
        hooks: int,
        *,
        upgraded: bool = False,
        profile: Path | None = None,
    ) -> None:
        self.port = free_port()
        start = ["-c", _AS_VERSION] if upgraded else ["-m", "ome.cli"]
        if profile is not None:
            start = ["-m", "cProfile", "-o", str(profile), *start]
        arguments = ["operator", "--kubeconfig", str(api.bed.kubeconfig("operator"))]
        arguments += ["--namespace", "ome", "--listen", f"127.0.0.1:{self.port}"]
        arguments += ["--webhook-url", f"https://127.0.0.1:{hooks}", "--lease-seconds", "5"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with (folder / "operator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *start, *arguments], stdout=log, stderr=log, env=environment
            )
        self._seen = psutil.Process(self._process.pid)
        self.peak = 0.0

    async def until_leads(self) -> None:
        import aiohttp

        url = f"http://127.0.0.1:{self.port}/metrics"
        async with asyncio.timeout(120), aiohttp.ClientSession() as session:
            while self._process.poll() is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if "\nome_leader 1" in await answer.text():
                            return
                await asyncio.sleep(0.1)
        raise RuntimeError("the operator has ended; see operator.log")

    def cpu(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """MiB, resident."""
        now = float(self._seen.memory_info().rss) / 2**20
        self.peak = max(self.peak, now)
        return now

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


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
        born: dict[str, float] = {}
        made: dict[str, float] = {}
        ready: dict[str, float] = {}

        def service(_: str, obj: Object) -> None:
            if is_ready(obj):
                ready.setdefault(obj["metadata"]["name"], time.monotonic())

        def deployment(kind: str, obj: Object) -> None:
            name = (obj["metadata"].get("labels") or {}).get("ome.io/inferenceservice")
            if kind == "ADDED" and name:
                made.setdefault(name, time.monotonic())

        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.sleep(2)
        self._audit.begin()
        idle, cpu = operator.memory(), operator.cpu()
        async with self._watching(service, deployment):
            began = time.monotonic()

            async def make(number: int) -> None:
                if self._rate:
                    await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                obj = objects.service(number)
                async with gate:
                    born[obj["metadata"]["name"]] = time.monotonic()
                    await self._api.call("POST", self._services, obj)

            async with asyncio.TaskGroup() as tasks:
                for number in range(self._count):
                    tasks.create_task(make(number))
            created = time.monotonic() - began
            await self._until(lambda: len(ready) >= self._count, operator)
        to_ready, spent = self._audit.count(self._count), operator.cpu() - cpu
        await asyncio.sleep(SETTLE_S)
        return {
            "created_s": round(created, 2),
            "wall_s": round(max(ready.values()) - began, 2),
            "apply_to_deployment_s": percentiles([made[n] - born[n] for n in made]),
            "apply_to_ready_s": percentiles([ready[n] - born[n] for n in ready]),
            "to_ready": to_ready,
            "settled": self._audit.count(self._count),
            "cpu_ms_per_service": round(spent / self._count * 1000, 1),
            "cpu_ms_per_service_settled": round((operator.cpu() - cpu) / self._count * 1000, 1),
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
            **self._audit.count(self._count),
            "leads_after_s": round(leads, 2),
            "cpu_s": round(operator.cpu(), 2),
            "memory": round(operator.memory(), 1),
            "services_that_lost_ready": len(lost),
            "deployments_changed": len(generations),
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
                    len(rolled) >= self._count or time.monotonic() - max(last, began) > SETTLE_S * 4
                ),
                operator,
            )
        return {
            **self._audit.count(self._count),
            "wall_s": round(max(rolled.values(), default=began) - began, 2),
            "rolled": len(rolled),
            "most_at_once": most,
            "services_that_lost_ready": len(lost),
            "cpu_ms_per_service": round((operator.cpu() - cpu) / self._count * 1000, 1),
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
            **self._audit.count(self._count),
            "wall_s": round(wall, 2),
            "cpu_ms_per_service": round((operator.cpu() - cpu) / self._count * 1000, 1),
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
