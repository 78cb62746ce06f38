"""Keeps the routes up to date from the API.

While the API can't be reached the table stays as it is; the informers try again with growing
pauses and then catch up, deletions included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from ome.api.resources import INFERENCE_SERVICES
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import ENDPOINT_SLICES
from ome.kube import Client, Informer
from ome.standalone.gateway.routes import Endpoint, RouteTable


class Watcher:
    """Feeds ``table``; tells ``on_endpoints`` which replicas there are after each change."""

    def __init__(
        self,
        client: Client,
        table: RouteTable,
        on_endpoints: Callable[[Collection[Endpoint]], None],
    ) -> None:
        self._table = table
        self._on_endpoints = on_endpoints
        self._services = Informer(client, INFERENCE_SERVICES)
        self._slices = Informer(client, ENDPOINT_SLICES)
        self._services.add_handler(self._service_changed)
        self._slices.add_handler(self._slice_changed)
        self.synced = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._services.run())
            group.create_task(self._slices.run())
            await self._services.synced()
            await self._slices.synced()
            self.synced = True

    def _service_changed(self, event: str, old: Object | None, new: Object | None) -> None:
        if event == "DELETED":
            self._table.drop_service(_seen(old, new))
        else:
            self._table.put_service(_seen(new, old))

    def _slice_changed(self, event: str, old: Object | None, new: Object | None) -> None:
        if event == "DELETED":
            self._table.drop_slice(_seen(old, new))
        else:
            self._table.put_slice(_seen(new, old))
        self._on_endpoints(self._table.all_endpoints())


def _seen(first: Object | None, second: Object | None) -> dict[str, Any]:
    found = first if first is not None else second
    assert found is not None
    return found
