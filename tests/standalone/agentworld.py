"""A model agent, an embedded API server and a hub on loopback: what the agent's tests share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fakes.hub import FakeHub, Repository

from ome.agent import NodeModelAgent
from ome.api.resources import (
    BASE_MODELS,
    CLUSTER_BASE_MODELS,
    FINE_TUNED_WEIGHTS,
    INFERENCE_SERVICES,
)
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    NODES,
)
from ome.kube import Client
from ome.standalone.apiserver import ApiServer, Store

NODE = "node-1"
MIB = 1024 * 1024
SMALL = {
    "chunk_size": MIB,
    "block_size": 64 * 1024,
    "concurrency": 3,
    "highest_concurrency": 6,
    "retry_base": 0.01,
    "retry_cap": 0.05,
    "report_every": 0.02,
}


def crd(resource: Resource) -> Object:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": free, "status": free}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


class World:
    """An API server, a hub, a models root, and agents that come and go."""

    def __init__(self, folder: Path, client: Client, hub: FakeHub, store: Store) -> None:
        self.client = client
        self.hub = hub
        self.folder = folder
        self.socket = folder / "api.sock"
        self._store = store
        self._server: ApiServer | None = None
        self.root = folder / "models"
        self._running: asyncio.Task[None] | None = None
        self.agent: NodeModelAgent | None = None

    async def start_api(self) -> None:
        self._server = ApiServer(self._store)
        await self._server.start(unix_socket=self.socket)

    async def stop_api(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def start(self, **options: Any) -> None:
        options = {"progress_every": 0.05, "transfer_options": SMALL, **options}
        self.agent = NodeModelAgent(self.client, NODE, self.root, **options)
        self._running = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def model(
        self, name: str, uri: str, namespace: str = "", meta: Object | None = None, **storage: Any
    ) -> Object:
        resource = BASE_MODELS if namespace else CLUSTER_BASE_MODELS
        obj: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name, "namespace": namespace, **(meta or {})},
            "spec": {"storage": {"storageUri": uri, **storage}},
        }
        if not namespace:
            del obj["metadata"]["namespace"]
        return await self.client.create(resource, obj, namespace=namespace)

    async def entry(self, key: str) -> Object | None:
        try:
            found = await self.client.get(CONFIG_MAPS, NODE, "ome")
        except NotFound:
            return None
        text = (found.get("data") or {}).get(key)
        entry: Object | None = json.loads(text) if text else None
        return entry

    async def label(self, key: str) -> str | None:
        node = await self.client.get(NODES, NODE)
        return (node["metadata"].get("labels") or {}).get(f"models.ome.io/{key}")

    async def reaches(self, key: str, status: str, seconds: float = 40) -> Object:
        async def there() -> Object | None:
            entry = await self.entry(key)
            same = entry is not None and entry["status"] == status
            return entry if same and await self.label(key) == status else None

        return await until(there, seconds)

    async def gone(self, key: str, seconds: float = 40) -> None:
        async def away() -> bool:
            return await self.entry(key) is None and await self.label(key) is None

        await until(away, seconds)


async def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, "it did not become so in time"
        await asyncio.sleep(0.02)


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "ome.agent.worker" in child.cmdline():
                found.append(child)
    return found


def llama(seed: int = 1, size: int = 4 * MIB) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 128,
                "vocab_size": 1000,
                "max_position_embeddings": 2048,
                "torch_dtype": "bfloat16",
                "transformers_version": "4.50.0",
            }
        ).encode(),
        "weights.bin": random.Random(seed).randbytes(size),
    }


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub = FakeHub({"org/model": Repository(llama())})
    monkeypatch.setenv("HF_ENDPOINT", await hub.start())
    store = Store.open(tmp_path / "db")
    client = Client.unix(tmp_path / "api.sock")
    made = World(tmp_path, client, hub, store)
    await made.start_api()
    async with client:
        for resource in (
            BASE_MODELS,
            CLUSTER_BASE_MODELS,
            FINE_TUNED_WEIGHTS,
            INFERENCE_SERVICES,
        ):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd(resource))
        for name in ("ome", "team"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            with contextlib.suppress(Exception):
                await client.create(NAMESPACES, namespace)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await client.create(NODES, node)
        yield made
        await made.stop()
    await made.stop_api()
    store.close()
    await hub.stop()
