"""The embedded API server, for tests of what controllers write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from ome.api import resources as o
from ome.api.crds import crd
from ome.apimachinery import resources as r
from ome.kube import Client
from ome.standalone.apiserver import ApiServer, Store


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = Store.open(tmp_path / "store.db")
    server = ApiServer(store)
    await server.start(tmp_path / "api.sock")
    try:
        async with Client.unix(tmp_path / "api.sock") as made:
            yield made
    finally:
        await server.stop()
        store.close()


@pytest_asyncio.fixture
async def services_are_served(client: Client) -> None:
    """The kind InferenceService; what needs no owner of its own does without."""
    await client.create(r.CUSTOM_RESOURCE_DEFINITIONS, crd(o.INFERENCE_SERVICES))
