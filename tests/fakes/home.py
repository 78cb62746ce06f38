"""A small home for tests: the embedded API server, workloads, a fake node, and OME's operator.

Everything speaks real HTTP over a unix socket. The model agent is played by :meth:`Home.report`,
the gateway by a :class:`~tests.fakes.engine.FakeEngine` that answers under every service's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fakes.engine import FakeEngine
from tests.fakes.kubelet import FakeKubelet

from ome.admission import OmeAdmission
from ome.api import names
from ome.api import resources as o
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Resource, condition
from ome.apimachinery.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS
from ome.controllers import Operator
from ome.controllers.claims import Inspector
from ome.kube import Client
from ome.standalone import workloads
from ome.standalone.apiserver import AdmissionRequest, AdmissionResponse, ApiServer, Store

Object = dict[str, Any]


class Adapter:
    """OME's admission in the API server's form."""

    def __init__(self) -> None:
        self._admission = OmeAdmission()

    def admit(self, request: AdmissionRequest) -> AdmissionResponse:
        if request.subresource:
            return AdmissionResponse()
        review = self._admission.review(
            request.operation, request.resource, request.object, request.old, request.view
        )
        return AdmissionResponse(review.patched, review.errors, warnings=review.warnings)


def definition(resource: Resource) -> Object:
    """A definition that takes anything: schemas are tested where they are made."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": str(resource)},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "listKind": f"{resource.kind}List",
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


class Home:
    """What tests hold in their hands."""

    def __init__(self, client: Client, kubelet: FakeKubelet, engine: FakeEngine) -> None:
        self.client = client
        self.kubelet = kubelet
        self.engine = engine
        self.operator: Operator | None = None
        self.inspector: Inspector | None = None
        self._task: asyncio.Task[None] | None = None

    async def start_operator(self) -> None:
        self.operator = Operator(self.client, inspector=self.inspector)
        self._task = asyncio.create_task(self.operator.run())

    async def stop_operator(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def install(self, *resources: Resource) -> None:
        """Makes the API server serve these kinds."""
        for resource in resources:
            await self.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(resource))

    async def set_status(self, resource: Resource, name: str, status: Object) -> None:
        """Plays the controller of a kind: writes the status of one object."""
        live = await self.client.get(resource, name, "default")
        generation = live["metadata"].get("generation", 1)
        await self.client.patch(
            resource,
            name,
            {"status": {"observedGeneration": generation, **status}},
            namespace="default",
            subresource="status",
        )

    # -- objects ------------------------------------------------------------------------------

    async def apply(self, *objects: Object) -> None:
        for obj in objects:
            resource = o.by_kind(obj["kind"])
            assert resource is not None
            await self.client.apply(resource, obj, field_manager="user")

    async def service(self, name: str, namespace: str = "default") -> Object:
        return await self.client.get(o.INFERENCE_SERVICES, name, namespace)

    async def names(self, resource: Resource, namespace: str = "default") -> list[str]:
        listed = await self.client.list(resource, namespace)
        return sorted(item["metadata"]["name"] for item in listed.items)

    async def report(self, model: str, status: str, **more: Any) -> None:
        """What the model agent of the node writes, and the node's label."""
        key = names.model_config_map_key("", model)
        entry = json.dumps({"name": model, "status": status, **more})
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.kubelet.name,
                "namespace": "ome",
                "labels": {"models.ome/basemodel-status": "true", "node": self.kubelet.name},
                "annotations": {"models.ome.io/node-name": self.kubelet.name},
            },
            "data": {key: entry},
        }
        await self.client.apply(CONFIG_MAPS, config_map, field_manager=f"agent-{model}")
        await self.kubelet.label({names.model_label("", model): status})

    async def forget_model(self, model: str) -> None:
        """What the agent does when a model is being deleted."""
        key = names.model_config_map_key("", model)
        await self.client.patch(
            CONFIG_MAPS, self.kubelet.name, {"data": {key: None}}, namespace="ome"
        )

    # -- waiting ------------------------------------------------------------------------------

    async def until(
        self, what: str, check: Callable[[], Awaitable[Any]], timeout: float = 20.0
    ) -> Any:
        """Looks again and again until ``check`` gives something true."""
        seen: Any = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    with contextlib.suppress(NotFound):
                        seen = await check()
                        if seen:
                            return seen
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {what}; seen last: {seen!r}") from None

    async def until_condition(
        self, name: str, type_: str, status: str, reason: str = "", namespace: str = "default"
    ) -> Object:
        """The service, as soon as that condition is so."""
        last: Object = {}

        async def check() -> Object | None:
            nonlocal last
            last = await self.service(name, namespace)
            found = condition(last, type_)
            if found is None or found["status"] != status:
                return None
            return last if not reason or found.get("reason") == reason else None

        try:
            return await self.until(f"{name}: {type_}={status} {reason}", check)  # type: ignore[no-any-return]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(last.get('status'), indent=1)}") from None


@asynccontextmanager
async def running_home(*, probe: bool = True) -> AsyncIterator[Home]:
    """A home with a node, the CRDs and the configuration; the operator is started by the test."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ome"))
        store = Store.open(Path(folder) / "store.db")
        stack.callback(store.close)
        server = ApiServer(store, Adapter())
        socket = Path(folder) / "api.sock"
        await server.start(socket)
        stack.push_async_callback(server.stop)
        client = await stack.enter_async_context(Client.unix(socket))
        engine = await stack.enter_async_context(FakeEngine())
        for crd in map(definition, o.ALL):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
        await client.create(CONFIG_MAPS, _configuration(engine, probe))
        kubelet = FakeKubelet(client)
        await kubelet.register()
        home = Home(client, kubelet, engine)
        for task in (workloads.run(client, autoscale_seconds=1.0), kubelet.run()):
            stack.push_async_callback(_stopped, asyncio.create_task(task))
        stack.push_async_callback(home.stop_operator)
        yield home


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _configuration(engine: FakeEngine, probe: bool) -> Object:
    ingress = {
        "ingressDomain": f"{engine.host}:{engine.port}",
        "pathTemplate": "/services/{{ .Namespace }}/{{ .Name }}",
        "disableIngressCreation": True,
    }
    data = {
        "ingress": json.dumps(ingress),
        "deploy": json.dumps({"defaultDeploymentMode": "RawDeployment"}),
    }
    if probe:
        data["readiness"] = json.dumps({"probe": "completion"})
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
        "data": data,
    }
