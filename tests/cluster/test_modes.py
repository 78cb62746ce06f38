"""Every mode on a real control plane: real CRDs, the real LeaderWorkerSet controller, our operator.

What other projects' controllers would do, small ones of :mod:`tests.cluster.players` do. Each mode
goes from apply to Ready, through a restart of the operator and an update, to its deletion: if what
the server made of our objects differed from what we want in anything that matters, the operator
that starts anew would write, and the test would see it. Then one service goes through all modes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.modes import CASES, DISABLED, GROUPS, RAY, RT, VIRTUAL, annotated, parts
from tests.cluster.place import Child, Place
from tests.cluster.players import images, playing
from tests.cluster.waiting import until
from tests.cluster.wire import Answer
from tests.fakes.objects import model, runtime, service
from tests.unit.rendering.modes import gpu_runtime

from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, condition
from ome.kube import Informer, connect

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
