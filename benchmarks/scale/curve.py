"""``python -m benchmarks.scale.curve --to 5000``: does anything grow faster than the services do?

On the bed with etcd and kube-apiserver alone, because what the other programs of a control plane
need for 5,000 services says nothing about OME. This script plays them: as soon as a Deployment is
there it makes its pod (ready) and writes the Deployment's status.

Services come in steps. After each step: what one service of this step cost (CPU, requests, time),
how much memory the operator holds, what one more service costs when nothing else happens (from
apply to its Deployment), and, at some sizes, a restart with everything healthy: how long until it
leads and until it has looked at everything, CPU, memory, writes.

Prints one JSON object; ``slope`` is the memory per service between the first and the last step, and
``worst_deviation`` by how much of the last value a step lies off that line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.bed.controlplane import ControlPlane, free_port

from benchmarks.scale import objects
from benchmarks.scale.api import Api, Audit, connected, furnish
from benchmarks.scale.floor import IN_FLIGHT, percentiles
from benchmarks.scale.measure import is_ready
from benchmarks.scale.objects import OME, Object
from benchmarks.scale.operator import Operator
from ome._version import __version__

NAMESPACE = "bench"
ALONE = 10
PLAYERS = 8
QUIET_S = 3.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Curve:
    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder
        self._audit = Audit(api.bed)
        self._hooks = free_port()
        self._where = f"namespaces/{NAMESPACE}"
        self._services = f"{OME}/{self._where}/inferenceservices"
        self._deployments = f"/apis/apps/v1/{self._where}/deployments"
        self._new: asyncio.Queue[Object] = asyncio.Queue()
        self.made: dict[str, float] = {}
        self.ready: set[str] = set()
        self.there = 0
        self.operator = self._start()

    def _start(self) -> Operator:
        return Operator(self._api, self._folder, self._hooks)

    # -- the other half of the control plane ----------------------------------------------------

    async def play(self) -> None:
        """Pods and statuses, until cancelled."""

        def service(_: str, obj: Object) -> None:
            if is_ready(obj):
                self.ready.add(obj["metadata"]["name"])

        def deployment(kind: str, obj: Object) -> None:
            if kind == "ADDED":
                name = obj["metadata"]["labels"]["ome.io/inferenceservice"]
                self.made[name] = time.monotonic()
                self._new.put_nowait(obj)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._api.watch(self._services, service))
            tasks.create_task(self._api.watch(self._deployments, deployment))
            for _ in range(PLAYERS):
                tasks.create_task(self._play())

    async def _play(self) -> None:
        while True:
            deployment = await self._new.get()
            name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
            pods, pod = f"/api/v1/{self._where}/pods", f"{name}-0"
            spec = {**template["spec"], "nodeName": f"gpu-{hash(name) % 10}"}
            meta = {**template["metadata"], "name": pod}
            await self._api.call("POST", pods, {"metadata": meta, "spec": spec})
            state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
            containers = [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": state,
                }
                for container in spec["containers"]
            ]
            conditions = [{"type": "Ready", "status": "True"}]
            status = {
                "phase": "Running",
                "conditions": conditions,
                "containerStatuses": containers,
                "podIP": "10.0.0.1",
            }
            await self._api.call("PATCH", f"{pods}/{pod}/status", {"status": status})
            counts = dict.fromkeys(
                ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1
            )
            status = {
                **counts,
                "observedGeneration": deployment["metadata"]["generation"],
                "conditions": [{"type": "Available", "status": "True"}],
            }
            await self._api.call("PATCH", f"{self._deployments}/{name}/status", {"status": status})

    # -- measuring ------------------------------------------------------------------------------

    async def step(self, count: int) -> Object:
        operator, gate = self.operator, asyncio.Semaphore(IN_FLIGHT)
        self._audit.begin()
        cpu, began = operator.cpu(), time.monotonic()

        async def make(number: int) -> None:
            async with gate:
                await self._api.call("POST", self._services, objects.service(number))

        async with asyncio.TaskGroup() as tasks:
            for number in range(self.there, self.there + count):
                tasks.create_task(make(number))
        self.there += count
        await self._until_ready()
        wall = time.monotonic() - began
        await asyncio.sleep(QUIET_S)
        counted = self._audit.count(count)
        spent, memory = operator.cpu() - cpu, operator.memory()
        return {
            "services": self.there,
            "wall_s": round(wall, 2),
            "cpu_ms_per_service": round(spent / count * 1000, 1),
            "requests_per_service": counted["requests_per_service"],
            "memory": round(memory, 1),
            "alone_to_deployment_s": await self._alone(),
        }

    async def _alone(self) -> Object:
        """One service after the other."""
        took = []
        for _ in range(ALONE):
            obj = objects.service(self.there)
            name, began = obj["metadata"]["name"], time.monotonic()
            await self._api.call("POST", self._services, obj)
            self.there += 1
            await self._until_ready()
            took.append(self.made[name] - began)
        return percentiles(took)

    async def _until_ready(self) -> None:
        async with asyncio.timeout(900):
            while len(self.ready) < self.there:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def restart(self) -> Object:
        self.operator.stop()
        self._audit.begin()
        began = time.monotonic()
        self.operator = self._start()
        await self.operator.until_leads()
        leads = time.monotonic() - began
        while await self.operator.looks() < self.there:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        looked = time.monotonic() - began
        await asyncio.sleep(QUIET_S)
        counted = self._audit.count(self.there)
        return {
            "services": self.there,
            "leads_after_s": round(leads, 2),
            "looked_at_all_after_s": round(looked, 2),
            "cpu_s": round(self.operator.cpu(), 2),
            "memory": round(self.operator.memory(), 1),
            "requests": counted["requests"],
            "writes_but_the_lease": counted["writes_but_the_lease"],
        }


async def run(options: argparse.Namespace, folder: Path) -> Object:
    steps: list[Object] = []
    restarts: list[Object] = []
    with ControlPlane(folder / "bed", controllers=False) as bed:
        async with connected(bed) as api:
            await furnish(api)
            await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
            account = {"metadata": {"name": "default"}}
            await api.call(
                "POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account, fine=[409]
            )
            curve = Curve(api, folder)
            playing = asyncio.create_task(curve.play())
            try:
                await curve.operator.until_leads()
                empty = round(curve.operator.memory(), 1)
                while curve.there < options.to:
                    steps.append(
                        await curve.step(len(steps) * options.step + options.step - curve.there)
                    )
                    say(str(steps[-1]))
                    if playing.done():
                        await playing
                    halfway = options.to // options.step // 2
                    if len(steps) in (1, halfway) or curve.there >= options.to:
                        restarts.append(await curve.restart())
                        say(str(restarts[-1]))
            finally:
                playing.cancel()
                curve.operator.stop()
    return {
        "command": f"python -m benchmarks.scale.curve --to {options.to} --step {options.step}",
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "version": __version__,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "memory_without_services": empty,
        **line(steps),
        "steps": steps,
        "restarts": restarts,
    }


def line(steps: list[Object]) -> Object:
    """How straight the memory's curve is."""
    first, last = steps[0], steps[-1]
    if first is last:
        return {}
    slope = (last["memory"] - first["memory"]) / (last["services"] - first["services"])
    off = [
        abs(first["memory"] + slope * (step["services"] - first["services"]) - step["memory"])
        for step in steps
    ]
    return {
        "slope_kib_per_service": round(slope * 1024, 1),
        "worst_deviation": round(max(off) / last["memory"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.curve", description=__doc__)
    parser.add_argument("--to", type=int, default=5000, help="services")
    parser.add_argument("--step", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="keep the logs here")
    parser.add_argument("--write", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ome-curve-") as scratch:
        result = asyncio.run(run(options, options.folder or Path(scratch)))
    text = json.dumps(result, indent=1)
    print(text)
    if options.write:
        options.write.write_text(text + "\n")


if __name__ == "__main__":
    main()
