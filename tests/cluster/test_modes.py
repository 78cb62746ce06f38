"""Every mode on a real control plane: real CRDs, the real LeaderWorkerSet controller, our operator.

What other projects' controllers would do, small ones of :mod:`tests.cluster.players` do. Each mode
goes from apply to Ready, through a restart of the operator and an update, to its deletion: if what
the server made of our objects differed from what we want in anything that matters, the operator
that starts anew would write, and the test would see it. Then one service goes through all modes.
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
from tests.cluster.players import images, playing
from tests.cluster.wire import Answer
from tests.fakes.objects import model, runtime, service
from tests.unit.rendering.modes import GATEWAYS, gpu_runtime

from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition, is_deleting
from ome.controllers import Operator
from ome.controllers.plan import MANAGED
from ome.kube import Client, Informer, connect

pytestmark = pytest.mark.asyncio(loop_scope="module")

DISABLED = {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}
OURS = "ome.io/inferenceservice=chat"
Child = tuple[str, str]


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
            async with playing(client, ns.namespace):
                yield made
        finally:
            with contextlib.suppress(NotFound):
                await client.delete(o.INFERENCE_SERVICES, "chat", ns.namespace)
            await made.stop()
            await made.clear()
            await client.delete(r.CONFIG_MAPS, "inferenceservice-config", "ome")


EXAMPLE = {"ingressDomain": "example.com", "domainTemplate": "{{ .Name }}.{{ .IngressDomain }}"}
RT, GROUPS = {"name": "rt"}, {"name": "groups"}
"""Named, not chosen: the cluster has what other tests' files left, too."""
NEW = {"runner": {"name": "ome-container", "image": "engine:2"}}
NEW_GROUP = {"leader": NEW, "worker": NEW}
RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
VIRTUAL = {"ome.io/deploymentMode": "VirtualDeployment"}


def parts() -> Object:
    """A runtime whose engine is a group of pods, whose decoder is not, with a router."""
    made = gpu_runtime(2)
    made["metadata"]["name"] = "parts"
    made["spec"]["decoderConfig"] = runtime()["spec"]["engineConfig"]
    made["spec"]["routerConfig"] = {
        "runner": {"name": "router", "image": "router:1", "ports": [{"containerPort": 8080}]}
    }
    return made


def annotated(subject: Object, annotations: Object) -> Object:
    subject["metadata"]["annotations"] = annotations
    return subject


@dataclass(frozen=True)
class Case:
    """``updated`` is the service after an update that reaches the pods of ``workloads``."""

    service: Object
    updated: Object
    workloads: tuple[tuple[Resource, str], ...]
    others: tuple[tuple[Resource, str], ...] = ()
    """Further children that have to be there."""
    ingress: Object = field(default_factory=lambda: DISABLED)
    runtime: Object = field(default_factory=runtime)
    url: str = ""
    conditions: tuple[str, ...] = ()
    reason: str = "Serving"


def _engine(change: Object, **spec: Any) -> tuple[Object, Object]:
    """The service, and the same with a changed engine."""
    engine = spec.pop("engine", {"minReplicas": 1})
    return service(engine=engine, **spec), service(engine={**engine, **change}, **spec)


CASES = {
    "deployment": Case(
        *_engine(NEW, runtime=RT),
        ((r.DEPLOYMENTS, "chat-engine"),),
        (
            (r.SERVICES, "chat-engine"),
            (r.SERVICES, "chat"),
            (r.HORIZONTAL_POD_AUTOSCALERS, "chat-engine"),
            (r.POD_DISRUPTION_BUDGETS, "chat-engine"),
        ),
    ),
    "keda": Case(
        *_engine(
            NEW, runtime=RT, kedaConfig={"enableKeda": True, "authenticationRef": {"name": "p"}}
        ),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((x.SCALED_OBJECTS, "scaledobject-chat-engine"),),
    ),
    "groups": Case(
        *_engine(NEW_GROUP, runtime=GROUPS),
        ((x.LEADER_WORKER_SETS, "lws-chat-engine"),),
        ((r.SERVICES, "chat-engine"),),
        runtime=gpu_runtime(2),
    ),
    "disaggregated": Case(
        *_engine(NEW_GROUP, runtime={"name": "parts"}, decoder={"minReplicas": 2}, router={}),
        ((x.LEADER_WORKER_SETS, "lws-chat-engine"),),
        (
            (r.DEPLOYMENTS, "chat-decoder"),
            (r.DEPLOYMENTS, "chat-router"),
            (r.SERVICE_ACCOUNTS, "chat-router"),
            (r.ROLES, "chat-router"),
            (r.ROLE_BINDINGS, "chat-router"),
            (r.SERVICES, "chat-decoder"),
            (r.SERVICES, "chat-router"),
        ),
        runtime=parts(),
        conditions=("EngineReady", "DecoderReady", "RouterReady"),
    ),
    "serverless": Case(
        *_engine(
            NEW,
            model="on-claim",
            runtime=RT,
            engine={"minReplicas": 0, "maxReplicas": 2, "timeoutSeconds": 30},
        ),
        ((x.KNATIVE_SERVICES, "chat-engine"),),
        ((x.VIRTUAL_SERVICES, "chat"), (r.SERVICES, "chat")),
        {**GATEWAYS, **EXAMPLE},
        url="http://chat.{namespace}.example.com",
        conditions=("RoutesReady", "LatestDeploymentReady"),
    ),
    "ray": Case(
        *_engine(NEW_GROUP, runtime=GROUPS, engine={**RAY, "minReplicas": 2}),
        ((x.RAY_CLUSTERS, "chat-engine-0"), (x.RAY_CLUSTERS, "chat-engine-1")),
        ((r.DEPLOYMENTS, "chat-engine-0-mnp"), (r.DEPLOYMENTS, "chat-engine-1-mnp")),
        runtime=gpu_runtime(2),
    ),
    "virtual": Case(
        annotated(service(), VIRTUAL),
        annotated(service(engine=NEW), VIRTUAL),
        (),
        url="http://chat.{namespace}.svc.cluster.local",
        reason="VirtualDeployment",
    ),
    "ingress": Case(
        *_engine(NEW, runtime=RT),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((r.INGRESSES, "chat"),),
        EXAMPLE,
        url="http://chat.example.com",
    ),
    "gateway": Case(
        *_engine(NEW, runtime=RT, engine={"timeoutSeconds": 30}),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((x.HTTP_ROUTES, "chat"), (x.HTTP_ROUTES, "chat-engine"), (x.HTTP_ROUTES, "chat-path")),
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
async def test_a_mode_from_apply_over_ready_and_an_update_to_nothing(
    place: Place, name: str
) -> None:
    case = CASES[name]
    await place.configure(case.ingress)
    await place.apply(case.runtime, case.service)
    ready = await place.until_ready(case.reason)
    for resource, child in (*case.workloads, *case.others):
        await place.exists(resource, child)
    if case.url:
        assert ready["status"]["url"] == case.url.format(namespace=place.namespace)
    for kind in case.conditions:
        assert (condition(ready, kind) or {})["status"] == "True"
    # Whoever starts anew finds nothing to do.
    kinds = tuple({resource for resource, _ in (*case.workloads, *case.others)})
    await place.quiet(kinds)
    await place.stop()
    before = await place.quiet(kinds)
    await place.start()
    await place.until_ready(case.reason)
    assert await place.quiet(kinds) == before
    # An update reaches the pods, and ends.
    await place.apply(case.updated)

    async def updated() -> bool:
        found = [images((await place.get(*workload))["spec"]) for workload in case.workloads]
        return all(one == {"engine:2"} for one in found)

    await until("the workloads have the new image", updated)
    await place.until_ready(case.reason)

    async def replaced() -> bool:
        return not any("engine:1" in images(pod["spec"]) for pod in await place.pods())

    if name != "disaggregated":  # its decoder keeps what it had
        await until("no pod of the old version is left", replaced)
    # And away again, with all that was made.
    await place.client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)
    await place.until_gone()


async def test_groups_of_pods_with_their_real_controller(place: Place) -> None:
    one = {"minReplicas": 1}
    await place.apply(gpu_runtime(2), service(runtime=GROUPS, engine=one))
    await place.until_ready()
    pods = await place.pods()
    assert {pod["metadata"]["name"] for pod in pods} == {
        "lws-chat-engine-0",
        "lws-chat-engine-0-1",
    }
    heads = [p for p in pods if p["metadata"]["labels"].get("ray.io/node-type") == "head"]
    assert [pod["metadata"]["name"] for pod in heads] == ["lws-chat-engine-0"]
    assert heads[0]["metadata"]["labels"][x.L_LWS_WORKER_INDEX] == "0"
    # A member that is not ready takes the group's readiness, and with it the service's.
    await place.apply(service(runtime=GROUPS, engine={"minReplicas": 2}))

    async def both() -> bool:
        return len(await place.pods()) == 4

    await until("a second group is there", both)
    ready = await place.until_ready()
    assert "2 of 2 engine groups" in (condition(ready, "EngineReady") or {})["message"]
    # Then another mode: the group serves until the Deployment does.
    await place.apply(runtime(), service(runtime=RT, engine=one))
    await place.gone(x.LEADER_WORKER_SETS, "lws-chat-engine")
    await place.until_ready()
    selector = (await place.get(r.SERVICES, "chat-engine"))["spec"]["selector"]
    assert selector == {"app": "chat-engine"}


WORKLOADS = (r.DEPLOYMENTS, x.LEADER_WORKER_SETS, x.KNATIVE_SERVICES, x.RAY_CLUSTERS)
ONE = {"minReplicas": 1}
STEPS: tuple[tuple[str, Object, set[Child]], ...] = (
    ("deployment", service(runtime=RT, engine=ONE), {("deployments.apps", "chat-engine")}),
    (
        "groups",
        service(runtime=GROUPS, engine=ONE),
        {("leaderworkersets.leaderworkerset.x-k8s.io", "lws-chat-engine")},
    ),
    (
        "ray",
        service(runtime=GROUPS, engine={**ONE, **RAY}),
        {("rayclusters.ray.io", "chat-engine-0"), ("deployments.apps", "chat-engine-0-mnp")},
    ),
    (
        "disaggregated",
        service(runtime={"name": "parts"}, engine=ONE, decoder=ONE, router=ONE),
        {
            ("leaderworkersets.leaderworkerset.x-k8s.io", "lws-chat-engine"),
            ("deployments.apps", "chat-decoder"),
            ("deployments.apps", "chat-router"),
        },
    ),
    (
        "serverless",
        service(model="on-claim", runtime=RT, engine={"minReplicas": 0}),
        {("services.serving.knative.dev", "chat-engine")},
    ),
    ("deployment", service(runtime=RT, engine=ONE), {("deployments.apps", "chat-engine")}),
    ("virtual", annotated(service(runtime=RT, engine=ONE), VIRTUAL), set()),
    (
        "groups",
        annotated(service(runtime=GROUPS, engine=ONE), {}),
        {("leaderworkersets.leaderworkerset.x-k8s.io", "lws-chat-engine")},
    ),
)
"""Each with the workloads that are left when it has become Ready."""
A_GAP = {("ray", "disaggregated"), ("disaggregated", "serverless"), ("serverless", "deployment")}
"""A new component (decoder, router) is not there yet, and Knative wants the name of the component's
Service for itself."""


async def test_one_service_goes_through_all_modes_and_serves_all_the_way(place: Place) -> None:
    heard: list[Object] = []
    hearing = Informer(place.client, o.INFERENCE_SERVICES, place.namespace)
    hearing.add_handler(lambda _event, _old, new: heard.append(new.object()) if new else None)
    task = asyncio.create_task(hearing.run())
    await place.apply(runtime(), gpu_runtime(2), parts())
    last = ""
    try:
        for name, wanted, workloads in STEPS:
            heard.clear()
            await place.apply(wanted)
            await place.until_ready("VirtualDeployment" if name == "virtual" else "Serving")

            async def settled(expected: set[Child] = workloads) -> bool:
                kinds = {str(kind) for kind in WORKLOADS}
                return {one for one in await place.children() if one[0] in kinds} == expected

            await until(f"only what {name} needs is left", settled)
            await place.until_ready("VirtualDeployment" if name == "virtual" else "Serving")
            told = [condition(one, "Ready") or {} for one in heard]
            dips = [one for one in told if one.get("status") != "True"]
            if last not in ("", "virtual") and (last, name) not in A_GAP:
                assert not dips, f"from {last} to {name}: {dips}"
            last = name
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await place.client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)
    await place.until_gone()


async def test_knative_revisions_share_the_traffic_and_are_promoted(place: Place) -> None:
    def version(image: str, **engine: Any) -> Object:
        runner = {"name": "ome-container", "image": image}
        return service(
            model="on-claim", runtime=RT, engine={"minReplicas": 0, "runner": runner, **engine}
        )

    async def shares(expected: list[tuple[str, int]]) -> None:
        async def check() -> Object | None:
            engine = (await place.get(o.INFERENCE_SERVICES, "chat"))["status"]["components"][
                "engine"
            ]
            found = [(one["revisionName"], one["percent"]) for one in engine.get("traffic") or ()]
            return engine if found == expected else None

        await until(f"the traffic is {expected}", check)

    first, second, third = (f"chat-engine-0000{number}" for number in (1, 2, 3))
    await place.apply(runtime(), version("engine:1"))
    await place.until_ready()
    await shares([(first, 100)])
    await place.apply(version("engine:2", canaryTrafficPercent=20))
    await shares([(second, 20), (first, 80)])
    await place.apply(version("engine:2"))
    await shares([(second, 100)])
    await place.until_ready()
    await place.apply(version("engine:3", canaryTrafficPercent=30))
    await shares([(third, 30), (second, 70)])
    ready = await place.until_ready()
    engine = ready["status"]["components"]["engine"]
    assert (engine["latestRolledoutRevision"], engine["latestCreatedRevision"]) == (second, third)


async def test_kubectl_scales_a_service_and_sees_what_it_has(place: Place, ns: Kubectl) -> None:
    await place.apply(runtime(), service(runtime=RT, engine={"minReplicas": 1, "maxReplicas": 4}))
    await place.until_ready()

    async def has(count: int) -> Object | None:
        live = await place.get(o.INFERENCE_SERVICES, "chat")
        ready = (condition(live, "Ready") or {}).get("message") == (
            f"{count} of {count} engine replicas are available"
        )
        return live if ready else None

    before = await place.get(o.INFERENCE_SERVICES, "chat")
    scaled = await asyncio.to_thread(ns.run, "scale", "isvc/chat", "--replicas=3")
    assert "scaled" in scaled
    live = await until("three replicas serve", lambda: has(3))
    assert live["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert live["status"]["observedGeneration"] == live["metadata"]["generation"]
    assert live["status"]["components"]["engine"]["replicas"] == 3
    shown = await asyncio.to_thread(
        ns.run, "get", "isvc", "chat", "--subresource=scale", "-o", "json"
    )
    scale = json.loads(shown)
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    refused = await asyncio.to_thread(ns.try_, "scale", "isvc/chat", "--replicas=5")
    assert refused.returncode != 0
    assert len((await place.client.list(r.PODS, place.namespace)).items) == 3


async def test_what_an_older_kind_does_not_know_is_said_in_the_status(place: Place) -> None:
    """This Knative has no hostPath volumes; nodes' models need them."""
    await place.apply(runtime(), service(runtime=RT, engine={"minReplicas": 0}))

    async def refused() -> bool:
        live = await place.get(o.INFERENCE_SERVICES, "chat")
        ready = condition(live, "Ready") or {}
        return ready.get("reason") == "Refused" and "hostPath" in ready["message"]

    await until("the refusal is in the status", refused)
