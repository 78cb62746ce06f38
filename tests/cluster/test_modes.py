"""Every mode on a real control plane: real CRDs, the real LeaderWorkerSet controller, our operator.

Where no controller of a kind runs, the test writes the status that it would. After each mode has
become Ready the operator starts anew: if what the server made of our objects differed from what we
want in anything that matters, it would write, and the test would see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.wire import Answer
from tests.fakes.objects import model, runtime, service
from tests.unit.rendering.modes import GATEWAYS, gpu_runtime

from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition
from ome.controllers import Operator
from ome.kube import Client, connect

pytestmark = pytest.mark.asyncio(loop_scope="module")

DISABLED = {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}
TRUE = [
    {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for kind in ("Ready", "RoutesReady", "ConfigurationsReady")
]


async def until(what: str, check: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(NotFound):
                    last = await check()
                    if last:
                        return last
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}; last: {last}")


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

    async def told(self, what: str, waiting: Awaitable[Any]) -> None:
        """With what the service says where the waiting is in vain."""
        try:
            await waiting
        except BaseException:
            live = await self.get(o.INFERENCE_SERVICES, "chat")
            print(what, json.dumps(live.get("status")))
            raise

    async def gone(self, resource: Resource, name: str) -> None:
        async def check() -> bool:
            try:
                await self.get(resource, name)
            except NotFound:
                return True
            return False

        await until(f"{resource.kind} {name} is gone", check)

    async def until_ready(self, reason: str = "Serving") -> Object:
        async def check() -> Object | None:
            live = await self.get(o.INFERENCE_SERVICES, "chat")
            ready = condition(live, "Ready") or {}
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

    async def set_status(self, resource: Resource, name: str, status: Object) -> None:
        live = await self.exists(resource, name)
        if resource in (x.KNATIVE_SERVICES,):
            status = {"observedGeneration": live["metadata"]["generation"], **status}
        await self.client.patch(
            resource,
            name,
            {"status": status},
            namespace=self.namespace,
            subresource="status",
        )

    async def versions(self, kinds: tuple[Resource, ...]) -> dict[str, str]:
        found = {}
        for resource in (*kinds, o.INFERENCE_SERVICES):
            for item in (await self.client.list(resource, self.namespace)).items:
                meta = item["metadata"]
                found[f"{resource} {meta['name']}"] = meta["resourceVersion"]
        return found

    async def quiet(self, kinds: tuple[Resource, ...]) -> dict[str, str]:
        last: dict[str, str] = {}
        for _ in range(60):
            now = await self.versions(kinds)
            if now == last:
                return now
            last = now
            await asyncio.sleep(0.5)
        pytest.fail("it does not come to rest")


@pytest_asyncio.fixture(loop_scope="module")
async def place(
    bed: ControlPlane, cluster: Kubectl, ns: Kubectl, definitions: list[Answer]
) -> AsyncIterator[Place]:
    async with await connect(bed.kubeconfig()) as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ome"}}
        await client.apply(r.NAMESPACES, namespace, field_manager="test")
        made = Place(client, ns.namespace)
        await made.configure(DISABLED)
        claim = {"storageUri": "pvc://models/tiny", "path": "/opt/ml/model"}
        await made.apply(model(), model("on-claim", storage=claim))
        label = names.model_label("", "tiny")
        for node in ("node-0", "node-1", "node-2"):
            await client.patch(r.NODES, node, {"metadata": {"labels": {label: "Ready"}}})
        try:
            await made.start()
            yield made
        finally:
            with contextlib.suppress(NotFound):
                await client.delete(o.INFERENCE_SERVICES, "chat", ns.namespace)
            await made.stop()
            await made.clear()
            await client.delete(r.CONFIG_MAPS, "inferenceservice-config", "ome")


async def test_groups_of_pods_with_their_real_controller(place: Place) -> None:
    one = {"minReplicas": 1}
    await place.apply(gpu_runtime(2), service(runtime={"name": "groups"}, engine=one))
    await place.until_ready()
    pods = (await place.client.list(r.PODS, place.namespace)).items
    assert {pod["metadata"]["name"] for pod in pods} == {
        "lws-chat-engine-0",
        "lws-chat-engine-0-1",
    }
    heads = [p for p in pods if p["metadata"]["labels"].get("ray.io/node-type") == "head"]
    assert [pod["metadata"]["name"] for pod in heads] == ["lws-chat-engine-0"]
    assert heads[0]["metadata"]["labels"][x.L_LWS_WORKER_INDEX] == "0"
    # An update rolls the group and ends.
    changed = {"runner": {"name": "ome-container", "image": "engine:2"}}
    new = {**one, "leader": changed, "worker": changed}
    await place.apply(service(runtime={"name": "groups"}, engine=new))

    async def rolled() -> bool:
        live = (await place.client.list(r.PODS, place.namespace)).items
        images = {c["image"] for pod in live for c in pod["spec"]["containers"]}
        return images == {"engine:2"} and len(live) == 2

    await until("the group is replaced", rolled, 120)
    await place.until_ready()
    # Then another mode: the group serves until the Deployment does.
    await place.apply(runtime(), service(runtime={"name": "rt"}, engine=one))
    await place.gone(x.LEADER_WORKER_SETS, "lws-chat-engine")
    await place.until_ready()
    selector = (await place.get(r.SERVICES, "chat-engine"))["spec"]["selector"]
    assert selector == {"app": "chat-engine"}


@dataclass(frozen=True)
class Case:
    """``statuses`` are what controllers that don't run here would write."""

    service: Object
    children: tuple[tuple[Resource, str], ...]
    statuses: tuple[tuple[Resource, str, Object], ...] = ()
    ingress: Object = field(default_factory=lambda: DISABLED)
    runtime: Object = field(default_factory=runtime)
    url: str = ""
    conditions: tuple[str, ...] = ()


ACCEPTED = {
    "parents": [
        {
            "parentRef": {"name": "gw", "namespace": "infra"},
            "controllerName": "test/gateway",
            "conditions": [
                {
                    "type": "Accepted",
                    "status": "True",
                    "reason": "Accepted",
                    "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        }
    ]
}
KNATIVE_UP = {
    "url": "http://chat-engine.demo.example.com",
    "latestCreatedRevisionName": "chat-engine-00001",
    "latestReadyRevisionName": "chat-engine-00001",
    "traffic": [{"revisionName": "chat-engine-00001", "percent": 100, "latestRevision": True}],
    "conditions": TRUE,
}
EXAMPLE = {"ingressDomain": "example.com", "domainTemplate": "{{ .Name }}.{{ .IngressDomain }}"}
RT = {"name": "rt"}
"""Named, not chosen: the cluster has what other tests' files left, too."""
CASES = {
    "keda": Case(
        service(runtime=RT, kedaConfig={"enableKeda": True, "authenticationRef": {"name": "p"}}),
        ((x.SCALED_OBJECTS, "scaledobject-chat-engine"),),
    ),
    "serverless": Case(
        service(
            model="on-claim",
            runtime=RT,
            engine={"minReplicas": 0, "maxReplicas": 2, "timeoutSeconds": 30},
        ),
        ((x.KNATIVE_SERVICES, "chat-engine"), (x.VIRTUAL_SERVICES, "chat"), (r.SERVICES, "chat")),
        ((x.KNATIVE_SERVICES, "chat-engine", KNATIVE_UP),),
        {**GATEWAYS, **EXAMPLE},
        url="http://chat.demo.example.com",
        conditions=("RoutesReady", "LatestDeploymentReady"),
    ),
    "ray": Case(
        service(
            runtime={"name": "groups"},
            engine={"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}},
        ),
        ((x.RAY_CLUSTERS, "chat-engine-0"), (r.DEPLOYMENTS, "chat-engine-0-mnp")),
        ((x.RAY_CLUSTERS, "chat-engine-0", {"state": "ready"}),),
        runtime=gpu_runtime(2),
    ),
    "ingress": Case(
        service(runtime=RT),
        ((r.INGRESSES, "chat"),),
        ((r.INGRESSES, "chat", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),),
        EXAMPLE,
        url="http://chat.example.com",
    ),
    "gateway": Case(
        service(runtime=RT, engine={"timeoutSeconds": 30}),
        ((x.HTTP_ROUTES, "chat"), (x.HTTP_ROUTES, "chat-engine"), (x.HTTP_ROUTES, "chat-path")),
        tuple((x.HTTP_ROUTES, name, ACCEPTED) for name in ("chat", "chat-engine", "chat-path")),
        {
            **EXAMPLE,
            "enableGatewayAPI": True,
            "omeIngressGateway": "infra/gw",
            "pathTemplate": "/s/{{ .Name }}",
        },
        url="http://example.com/s/chat",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_mode_from_apply_to_ready_to_nothing(place: Place, name: str) -> None:
    case = CASES[name]
    await place.configure(case.ingress)
    await place.apply(case.runtime, case.service)
    for resource, child, status in case.statuses:
        await place.told(child, place.set_status(resource, child, status))
    ready = await place.until_ready()
    for resource, child in case.children:
        await place.exists(resource, child)
    if case.url:
        assert ready["status"]["url"] == case.url
    for kind in case.conditions:
        assert (condition(ready, kind) or {})["status"] == "True"
    kinds = tuple({resource for resource, _ in case.children})
    await place.stop()
    before = await place.quiet(kinds)
    await place.start()
    await place.until_ready()
    assert await place.quiet(kinds) == before
    await place.client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)
    for resource, child in case.children:
        await place.gone(resource, child)


async def test_what_an_older_kind_does_not_know_is_said_in_the_status(place: Place) -> None:
    """This Knative has no hostPath volumes; nodes' models need them."""
    await place.apply(runtime(), service(runtime=RT, engine={"minReplicas": 0}))

    async def refused() -> bool:
        live = await place.get(o.INFERENCE_SERVICES, "chat")
        ready = condition(live, "Ready") or {}
        return ready.get("reason") == "Refused" and "hostPath" in ready["message"]

    await until("the refusal is in the status", refused)
