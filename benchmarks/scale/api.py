"""Bare requests to the bed, a counting reader of its audit log, and watches that don't end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import yaml
from tests.cluster.bed.build import crd_files
from tests.cluster.bed.controlplane import ControlPlane

from benchmarks.scale import objects
from benchmarks.scale.objects import OME, Object
from ome.api.crds import all_crds

NODES = 10
READS = frozenset({"get", "list", "watch"})


class RefusedError(Exception):
    """An answer that was not expected."""


class Api:
    def __init__(self, bed: ControlPlane, session: aiohttp.ClientSession) -> None:
        self.bed, self._session = bed, session

    async def call(
        self, method: str, path: str, body: Object | None = None, *, fine: Sequence[int] = ()
    ) -> Object:
        kind = "application/json"
        if method == "PATCH":
            apply = "fieldManager" in path
            kind = "application/apply-patch+yaml" if apply else "application/merge-patch+json"
        async with self._session.request(
            method,
            self.bed.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
        ) as answer:
            found: Object = await answer.json(content_type=None)
            if answer.status >= 300 and answer.status not in fine:
                raise RefusedError(f"{method} {path}: {answer.status} {found.get('message')}")
            return found

    async def apply(self, path: str, obj: Object) -> None:
        await self.call(
            "PATCH", f"{path}/{obj['metadata']['name']}?fieldManager=bench&force=true", obj
        )

    async def watch(self, path: str, seen: Callable[[str, Object], None]) -> None:
        """Until cancelled. A watch that breaks off goes on from where it was."""
        version = (await self.call("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        while True:
            query = f"?watch=true&resourceVersion={version}&allowWatchBookmarks=true"
            with contextlib.suppress(aiohttp.ClientError):
                async with self._session.get(self.bed.url + path + query) as answer:
                    async for line in _lines(answer):
                        event = json.loads(line)
                        version = event["object"]["metadata"]["resourceVersion"]
                        seen(event["type"], event["object"])


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


@contextlib.asynccontextmanager
async def connected(bed: ControlPlane) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {bed.tokens['admin']}"},
        connector=aiohttp.TCPConnector(ssl=False, limit=64),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield Api(bed, session)


async def furnish(api: Api) -> None:
    """CRDs of ours and of other projects, machines, the model (on all of them), the runtime."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = []
    for crd in all_crds():
        await api.apply(crds, crd)
        names.append(crd["metadata"]["name"])
    for files in crd_files().values():
        for file in files:
            for crd in yaml.safe_load_all(file.read_text()):
                if crd:
                    await api.apply(crds, crd)
    for name in names:
        async with asyncio.timeout(60):
            while not _established(await api.call("GET", f"{crds}/{name}")):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "ome"}}, fine=[409])
    await api.call("POST", "/api/v1/namespaces/ome/configmaps", objects.configuration())
    for number in range(NODES):
        machine = objects.node(number)
        status = {"status": machine.pop("status")}
        await api.call("POST", "/api/v1/nodes", machine, fine=[409])
        await api.call("PATCH", f"/api/v1/nodes/gpu-{number}/status", status)
        await api.call("POST", "/api/v1/namespaces/ome/configmaps", objects.report(number))
    await api.apply(f"{OME}/clusterbasemodels", objects.model())
    await api.apply(f"{OME}/clusterservingruntimes", objects.runtime())


def _established(crd: Object) -> bool:
    found: list[Any] = (crd.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in found)


class BedCpu:
    """Processor time of the control plane's own programs, in seconds since it was made."""

    def __init__(self, bed: ControlPlane) -> None:
        self._programs = {
            name: psutil.Process(process.pid) for name, process in bed.processes().items()
        }
        self._before = self._read()

    def spent(self) -> Object:
        now = self._read()
        found = {name: round(now[name] - self._before[name], 2) for name in now}
        return {**found, "all": round(sum(found.values()), 2)}

    def _read(self) -> dict[str, float]:
        times = {name: program.cpu_times() for name, program in self._programs.items()}
        return {name: float(time.user + time.system) for name, time in times.items()}


class Audit:
    """What the user ``operator`` asks of the API, from the audit log."""

    def __init__(self, bed: ControlPlane) -> None:
        self._path: Path = bed.folder / "audit.log"
        self._offset = 0

    def begin(self) -> None:
        self._offset = self._path.stat().st_size if self._path.exists() else 0

    def count(self, services: int) -> Object:
        """Since :meth:`begin`. Long requests (watches) count when they begin."""
        found: Counter[tuple[str, str]] = Counter()
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                if event["stage"] == "ResponseStarted":
                    continue
                about = event.get("objectRef") or {}
                what = about.get("resource") or event.get("requestURI", "?").split("?")[0]
                if about.get("subresource"):
                    what += "/" + about["subresource"]
                found[event["verb"], what] += 1
        lease = sum(n for (_, what), n in found.items() if what == "leases")
        total = sum(found.values())
        writes = sum(n for (verb, _), n in found.items() if verb not in READS)
        lease_writes = sum(
            n for (verb, what), n in found.items() if what == "leases" and verb not in READS
        )
        return {
            "requests": total,
            "writes": writes,
            "writes_but_the_lease": writes - lease_writes,
            "requests_per_service": round((total - lease) / services, 2),
            "writes_per_service": round((writes - lease_writes) / services, 2),
            "most": [f"{n} {verb} {what}" for (verb, what), n in found.most_common(12)],
        }
