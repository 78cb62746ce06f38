"""``ome operator`` as a process beside the bed, and what it costs the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
from tests.cluster.bed.controlplane import free_port

from benchmarks.scale.api import Api

# Another version of OME, as an upgrade brings it; what is rendered must not depend on it.
_AS_VERSION = (
    "import sys, ome._version as v; v.__version__ = '99.0.0';"
    "from ome.cli.main import main; sys.argv[0] = 'ome'; main()"
)
_LOOKS = re.compile(
    r'^ome_reconcile_total\{controller="inferenceservice",outcome="(\w+)"\} (\S+)$', re.MULTILINE
)


class Operator:
    """Outside of the cluster, webhooks on (port ``hooks``), as the user ``operator``."""

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
        arguments += ["--webhook-url", f"https://127.0.0.1:{hooks}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        with (folder / "operator.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *start, *arguments], stdout=log, stderr=log, env=environment
            )
        self._seen = psutil.Process(self._process.pid)
        self.peak = 0.0

    @property
    def pid(self) -> int:
        return self._process.pid

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def until_leads(self) -> None:
        async with asyncio.timeout(180):
            while self._process.poll() is None:
                with contextlib.suppress(aiohttp.ClientError):
                    if "\nome_leader 1" in await self.metrics():
                        return
                await asyncio.sleep(0.1)
        raise RuntimeError("the operator has ended; see operator.log")

    async def looks(self) -> int:
        """How often it has looked at a service so far, with or without anything to do."""
        return int(sum(float(count) for _, count in _LOOKS.findall(await self.metrics())))

    def cpu(self) -> float:
        """Seconds so far."""
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
