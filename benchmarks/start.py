"""``python benchmarks/start.py``: how soon a fresh operator is there, and what it holds.

On a real control plane (the bed of tests/cluster) an operator brings N services to Ready, with all
their children and pods. Then operators are started one after the other beside what exists:

answers   the process listens (interpreter, imports, first request to the API server)
ready     every cache has been read and webhooks can be answered: ``/readyz`` says 200
leads     it holds the Lease
looked    every service has been looked at once since

All in seconds after the process was started, and resident memory in MiB when it leads, when all
has been looked at, and at rest. ``writes`` is what it changed but for the Lease: nothing, if all is
well. ``--write`` keeps the result in benchmarks/results/start.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import aiohttp  # noqa: E402
from tests.cluster.bed.controlplane import ControlPlane, free_port  # noqa: E402

from benchmarks.scale import objects  # noqa: E402
from benchmarks.scale.api import Api, Audit, connected, furnish  # noqa: E402
from benchmarks.scale.floor import IN_FLIGHT  # noqa: E402
from benchmarks.scale.measure import Operator, is_ready  # noqa: E402
from benchmarks.scale.objects import OME, Object  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "start.json"
NAMESPACE = "bench"
SERVICES = f"{OME}/namespaces/{NAMESPACE}/inferenceservices"
PATIENCE_S = 1200.0
REST_S = 20.0
COUNTED = (
    ("inferenceservices", SERVICES),
    ("deployments", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
    ("services", f"/api/v1/namespaces/{NAMESPACE}/services"),
    ("configmaps", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
    ("pods", f"/api/v1/namespaces/{NAMESPACE}/pods"),
    (
        "horizontalpodautoscalers",
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers",
    ),
    ("poddisruptionbudgets", f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"),
)
_LOOKED = re.compile(
    r'^ome_reconcile_total\{controller="inferenceservice",outcome="\w+"\} (\S+)$', re.MULTILINE
)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Watched:
    """A running operator, asked over its own port."""

    def __init__(self, operator: Operator, session: aiohttp.ClientSession, began: float) -> None:
        self.operator, self._session, self._began = operator, session, began

    async def page(self, path: str) -> tuple[int, str]:
        try:
            url = f"http://127.0.0.1:{self.operator.port}{path}"
            async with self._session.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def until(self, path: str, true: Callable[[int, str], bool], pause: float) -> float:
        """Seconds from the start of the process."""
        async with asyncio.timeout(PATIENCE_S):
            while not true(*await self.page(path)):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(pause)
        return round(time.monotonic() - self._began, 2)


async def populate(api: Api, operator: Operator, count: int) -> None:
    """N services, Ready."""
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await operator.until_leads()
    ready: set[str] = set()

    def seen(_: str, obj: Object) -> None:
        if is_ready(obj):
            ready.add(obj["metadata"]["name"])

    gate = asyncio.Semaphore(IN_FLIGHT)

    async def make(number: int) -> None:
        async with gate:
            await api.call("POST", SERVICES, objects.service(number))

    watching = asyncio.create_task(api.watch(SERVICES, seen))
    try:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            for number in range(count):
                tasks.create_task(make(number))
            while len(ready) < count:  # noqa: ASYNC110 - a watch fills it
                await asyncio.sleep(0.2)
    finally:
        watching.cancel()
    await asyncio.sleep(REST_S)


async def started(api: Api, folder: Path, hooks: int, count: int) -> Object:
    audit = Audit(api.bed)
    audit.begin()
    began = time.monotonic()
    operator = Operator(api, folder, hooks)
    try:
        async with aiohttp.ClientSession() as session:
            one = Watched(operator, session, began)
            found: Object = {
                "answers_s": await one.until("/healthz", lambda code, _: code == 200, 0.02),
                "ready_s": await one.until("/readyz", lambda code, _: code == 200, 0.02),
                "leads_s": await one.until("/metrics", lambda _, t: "\nome_leader 1" in t, 0.05),
                "leads_mib": round(operator.memory(), 1),
            }
            found["looked_s"] = await one.until(
                "/metrics", lambda _, t: sum(map(float, _LOOKED.findall(t))) >= count, 0.2
            )
            found["looked_mib"] = round(operator.memory(), 1)
            found["cpu_s"] = round(operator.cpu(), 2)
            await asyncio.sleep(REST_S)
            found["rest_mib"] = round(operator.memory(), 1)
            found["writes"] = audit.count(count)["writes_but_the_lease"]
    finally:
        operator.stop()
    return found


async def run(count: int, rounds: int, folder: Path) -> Object:
    hooks = free_port()  # the same one for all: the API server has its address
    with ControlPlane(folder / "bed") as bed:
        async with connected(bed) as api:
            await furnish(api)
            empty = await started(api, folder, hooks, 0)
            say(f"nothing there: {empty}")
            first = Operator(api, folder, hooks)
            try:
                began = time.monotonic()
                await populate(api, first, count)
                say(f"{count} services are Ready after {time.monotonic() - began:.0f} s")
            finally:
                first.stop()
            existing = {}
            for name, path in COUNTED:
                existing[name] = len((await api.call("GET", path))["items"])
            every = []
            for _ in range(rounds):
                every.append(await started(api, folder, hooks, count))
                say(str(every[-1]))
    return {
        "command": f"python benchmarks/start.py --n {count} --rounds {rounds} --write",
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "existing": existing,
        "nothing_there": empty,
        "median": {name: statistics.median(one[name] for one in every) for name in every[0]},
        "rounds": every,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="services that exist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ome-bench-") as scratch:
        result = asyncio.run(run(options.n, options.rounds, Path(scratch)))
    text = json.dumps(result, indent=1)
    print(text)
    if options.write:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
