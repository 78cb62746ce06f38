"""A namespace of the bed with a model, and our operator, which is started and stopped by tests."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from typing import Any

import pytest
from tests.cluster.waiting import until

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition, is_deleting
from ome.controllers import Operator
from ome.controllers.plan import MANAGED
from ome.kube import Client

OURS = "ome.io/inferenceservice=chat"
Child = tuple[str, str]


class Place:
    """A namespace with a model and an operator over the whole bed."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self._runtimes: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(Operator(self.client).run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def configure(self, ingress: Object) -> None:
        data = {
            "ingress": json.dumps(ingress),
            "multinodeProber": json.dumps({"image": "prober:1"}),
        }
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
            "data": data,
        }
        await self.client.apply(r.CONFIG_MAPS, config, field_manager="test")

    async def apply(self, *objects: Object) -> None:
        for obj in objects:
            resource = o.by_kind(obj["kind"])
            assert resource is not None
            found = copy.deepcopy(obj)
            if resource.namespaced:
                found["metadata"]["namespace"] = self.namespace
            elif resource == o.CLUSTER_SERVING_RUNTIMES:
                self._runtimes.append(found["metadata"]["name"])
            await self.client.apply(resource, found, field_manager="user")

    async def clear(self) -> None:
        """Takes away the runtimes of the whole cluster: other tests' services would choose them."""
        for name in dict.fromkeys(self._runtimes):
            with contextlib.suppress(NotFound):
                await self.client.delete(o.CLUSTER_SERVING_RUNTIMES, name)

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, name, self.namespace)

    async def exists(self, resource: Resource, name: str) -> Object:
        found: Object = await until(f"{resource.kind} {name}", lambda: self.get(resource, name))
        return found

    async def gone(self, resource: Resource, name: str) -> None:
        async def check() -> bool:
            try:
                await self.get(resource, name)
            except NotFound:
                return True
            return False

        await until(f"{resource.kind} {name} is gone", check)

    async def until_ready(self, reason: str = "Serving") -> Object:
        """Of the newest generation."""

        async def check() -> Object | None:
            live = await self.get(o.INFERENCE_SERVICES, "chat")
            ready = condition(live, "Ready") or {}
            newest = (live.get("status") or {}).get("observedGeneration")
            if newest != live["metadata"]["generation"]:
                return None
            if ready.get("status") == "True" and ready.get("reason") == reason:
                return live
            return None

        try:
            found: Object = await until("chat is ready", check)
        except BaseException:
            live = await self.get(o.INFERENCE_SERVICES, "chat")
            print(json.dumps(live.get("status"), indent=1))
            raise
        return found

    async def children(self) -> set[Child]:
        """All that the operator made of the service; not what its children's controllers made."""
        found = set()
        for resource in MANAGED:
            listed = await self.client.list(resource, self.namespace, label_selector=OURS)
            found |= {(str(resource), item["metadata"]["name"]) for item in listed.items}
        return found

    async def until_gone(self) -> None:
        async def check() -> bool:
            left: Any = await self.children()
            left |= {p["metadata"]["name"] for p in await self.pods()}
            return not left

        await until("nothing is left", check, 90)

    async def pods(self) -> list[Object]:
        listed = await self.client.list(r.PODS, self.namespace)
        return [pod for pod in listed.items if not is_deleting(pod)]

    async def versions(self, kinds: tuple[Resource, ...]) -> dict[str, str]:
        found = {}
        for resource in (*kinds, o.INFERENCE_SERVICES):
            for item in (await self.client.list(resource, self.namespace)).items:
                meta = item["metadata"]
                found[f"{resource} {meta['name']}"] = meta["resourceVersion"]
        return found

    async def quiet(self, kinds: tuple[Resource, ...]) -> dict[str, str]:
        """The versions of all objects, once they have been the same for a while. The stages of a
        service are told once a second at most, so a moment of rest says little."""
        last: dict[str, str] = {}
        same = 0
        for _ in range(60):
            now = await self.versions(kinds)
            same = same + 1 if now == last else 0
            if same == 3:
                return now
            last = now
            await asyncio.sleep(0.5)
        pytest.fail("it does not come to rest")
