"""One replica of OME's webhooks in the tests' own process, as the operator puts it together."""

from __future__ import annotations

import asyncio
import socket

from ome.admission.views import LOOKED_AT
from ome.apimachinery.resources import CONFIG_MAPS
from ome.cli.webhooks import Webhooks
from ome.kube import Client, Informer


class Replica:
    """Reached by URL, so it also registers itself. Start and stop it as often as you like."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: list[asyncio.Task[None]] = []
        self.url = ""
        self.webhooks: Webhooks | None = None

    async def start(self) -> None:
        """Returns while it is not ready yet; it takes another port at each start."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"https://{listen}"
        caches = {kind: Informer(self._client, kind) for kind in LOOKED_AT}
        name = "metadata.name=inferenceservice-config"
        caches[CONFIG_MAPS] = Informer(self._client, CONFIG_MAPS, "ome", field_selector=name)
        self.webhooks = Webhooks(self._client, caches, namespace="ome", url=self.url)
        await self.webhooks.start(listen)
        runs = [*(cache.run() for cache in caches.values()), self.webhooks.run()]
        self._tasks = [asyncio.create_task(run) for run in runs]

    def problems(self) -> list[str]:
        """Why it is not ready. Raises what made a part of it fail."""
        for task in self._tasks:
            if task.done():
                task.result()
        assert self.webhooks is not None
        return self.webhooks.problems()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self.webhooks is not None:
            await self.webhooks.stop()
