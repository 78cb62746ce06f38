"""Modes whose kinds are not Kubernetes' own, against the embedded API server with their CRDs.

Their controllers are played by :meth:`Home.set_status`; everything else is real.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import model, runtime, service
from tests.unit.rendering.modes import gpu_runtime

from ome.api import external as x
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import condition

READY_GROUP = {
    "replicas": 1,
    "readyReplicas": 1,
    "updatedReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    monkeypatch.setattr("ome.controllers.inferenceservice.KIND_RETRY", 0.2)
    monkeypatch.setattr("ome.controllers.kinds.KINDS_SECONDS", 0.1)
    async with running_home() as found:
        yield found


async def _exists(home: Home, resource: Any, name: str) -> dict[str, Any]:
    async def there() -> dict[str, Any]:
        return await home.client.get(resource, name, "default")

    found: dict[str, Any] = await home.until(f"{resource.kind} {name} exists", there)
    return found


async def _is_gone(home: Home, resource: Any, name: str) -> None:
    async def gone() -> bool:
        try:
            await home.client.get(resource, name, "default")
        except NotFound:
            return True
        return False

    await home.until(f"{resource.kind} {name} is gone", gone)


async def test_a_kind_that_is_installed_later_is_taken_up_without_a_restart(home: Home) -> None:
    await home.start_operator()
    await home.apply(model(), gpu_runtime(), service())
    await home.report("tiny", "Ready")
    waiting = await home.until_condition("chat", "Ready", "False", "MissingKind")
    assert "lws.sigs.k8s.io" in condition(waiting, "Ready")["message"]  # type: ignore[index]
    await home.install(x.LEADER_WORKER_SETS)
    await _exists(home, x.LEADER_WORKER_SETS, "lws-chat-engine")
    starting = await home.until_condition("chat", "EngineReady", "False")
    assert "engine" in condition(starting, "EngineReady")["message"]  # type: ignore[index]
    await home.set_status(x.LEADER_WORKER_SETS, "lws-chat-engine", READY_GROUP)
    ready = await home.until_condition("chat", "Ready", "True")
    assert "1 of 1 engine groups" in condition(ready, "EngineReady")["message"]  # type: ignore[index]
    assert ready["status"]["modelStatus"]["modelCopies"]["totalCopies"] == 1


async def test_a_kind_that_is_removed_is_missed_and_taken_up_again_when_it_is_back(
    home: Home,
) -> None:
    await home.install(x.LEADER_WORKER_SETS)
    await home.start_operator()
    await home.apply(model(), gpu_runtime(), runtime("plain"), service())
    await home.apply(service("other", runtime={"name": "plain"}))
    await home.report("tiny", "Ready")
    await _exists(home, x.LEADER_WORKER_SETS, "lws-chat-engine")
    await _exists(home, r.DEPLOYMENTS, "other-engine")
    deployment = await home.client.get(r.DEPLOYMENTS, "other-engine", "default")
    groups = x.LEADER_WORKER_SETS
    await home.client.delete(r.CUSTOM_RESOURCE_DEFINITIONS, f"{groups.plural}.{groups.group}")
    assert home.operator is not None
    home.operator.kinds.look(changing=True)  # what `ome operator` does on the definition's end
    await home.until_condition("chat", "Ready", "False", "MissingKind")

    async def unwatched() -> bool:
        assert home.operator is not None
        return all(informer.resource != groups for informer in home.operator.informers())

    await home.until("nobody watches a kind that is not there", unwatched)
    await home.install(groups)
    home.operator.kinds.look(changing=True)
    await _exists(home, groups, "lws-chat-engine")
    await home.until_condition("chat", "EngineReady", "False")
    again = await home.client.get(r.DEPLOYMENTS, "other-engine", "default")
    assert again["metadata"]["uid"] == deployment["metadata"]["uid"]
    assert again["metadata"]["generation"] == deployment["metadata"]["generation"]


async def test_a_change_of_mode_serves_all_the_way(home: Home) -> None:
    await home.install(x.LEADER_WORKER_SETS)
    await home.start_operator()
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True", "Serving")
    await home.apply(gpu_runtime(), service(runtime={"name": "groups"}))
    await _exists(home, x.LEADER_WORKER_SETS, "lws-chat-engine")

    async def told() -> bool:
        ready = condition(await home.service("chat"), "EngineReady") or {}
        return ready["reason"] == "ModeChange" and ready["status"] == "True"

    await home.until("the old mode serves, and it is told", told)
    before = await home.client.get(r.SERVICES, "chat-engine", "default")
    assert before["spec"]["selector"] == {"app": "chat-engine"}
    assert "chat-engine" in await home.names(r.DEPLOYMENTS)
    await home.set_status(x.LEADER_WORKER_SETS, "lws-chat-engine", READY_GROUP)
    await _is_gone(home, r.DEPLOYMENTS, "chat-engine")
    await _is_gone(home, r.HORIZONTAL_POD_AUTOSCALERS, "chat-engine")
    after = await home.client.get(r.SERVICES, "chat-engine", "default")
    assert after["spec"]["selector"]["ray.io/node-type"] == "head"
    assert "app" not in after["spec"]["selector"]
    await home.until_condition("chat", "Ready", "True", "Serving")
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")
    await _is_gone(home, x.LEADER_WORKER_SETS, "lws-chat-engine")


async def test_disaggregated_is_ready_when_every_component_is(home: Home) -> None:
    await home.install(x.LEADER_WORKER_SETS)
    await home.start_operator()
    parts = gpu_runtime()
    parts["spec"]["decoderConfig"] = parts["spec"]["engineConfig"]
    parts["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
    await home.apply(model(), parts, service(decoder={}, router={}))
    await home.report("tiny", "Ready")
    for name in ("lws-chat-engine", "lws-chat-decoder"):
        await _exists(home, x.LEADER_WORKER_SETS, name)
    await home.until_condition("chat", "RouterReady", "True")
    await home.set_status(x.LEADER_WORKER_SETS, "lws-chat-engine", READY_GROUP)
    await home.until_condition("chat", "EngineReady", "True")
    waiting = await home.until_condition("chat", "Ready", "False")
    assert "decoder" in condition(waiting, "Ready")["message"]  # type: ignore[index]
    await home.set_status(x.LEADER_WORKER_SETS, "lws-chat-decoder", READY_GROUP)
    ready = await home.until_condition("chat", "Ready", "True")
    assert ready["status"]["components"].keys() == {"engine", "decoder", "router"}
    # A decoder that is lost takes readiness away.
    lost = {**READY_GROUP, "readyReplicas": 0, "conditions": []}
    await home.set_status(x.LEADER_WORKER_SETS, "lws-chat-decoder", lost)
    await home.until_condition("chat", "Ready", "False")


async def test_a_knative_service_is_followed_into_the_status(home: Home) -> None:
    await home.install(x.KNATIVE_SERVICES)
    await home.start_operator()
    await home.apply(model(), runtime(), service(engine={"minReplicas": 0}))
    await home.report("tiny", "Ready")
    await _exists(home, x.KNATIVE_SERVICES, "chat-engine")
    waiting = await home.until_condition("chat", "EngineReady", "False")
    assert waiting["status"]["observedGeneration"] == waiting["metadata"]["generation"]
    conditions = [
        {"type": kind, "status": "True"} for kind in ("Ready", "RoutesReady", "ConfigurationsReady")
    ]
    status = {
        "url": f"{home.engine.url}/services/default/chat",
        "latestCreatedRevisionName": "chat-engine-00001",
        "latestReadyRevisionName": "chat-engine-00001",
        "traffic": [{"revisionName": "chat-engine-00001", "percent": 100, "latestRevision": True}],
        "conditions": conditions,
    }
    await home.set_status(x.KNATIVE_SERVICES, "chat-engine", status)
    ready = await home.until_condition("chat", "Ready", "True")
    engine = ready["status"]["components"]["engine"]
    assert engine["latestRolledoutRevision"] == "chat-engine-00001"
    assert engine["traffic"][0]["percent"] == 100
    assert ready["status"]["url"] == status["url"]
    for kind in ("RoutesReady", "LatestDeploymentReady", "EngineRouteReady"):
        assert condition(ready, kind)["status"] == "True"  # type: ignore[index]
    canary = service(engine={"minReplicas": 0, "canaryTrafficPercent": 10})
    await home.apply(canary)

    async def split() -> bool:
        live = await home.client.get(x.KNATIVE_SERVICES, "chat-engine", "default")
        return [entry["percent"] for entry in live["spec"]["traffic"]] == [10, 90]

    await home.until("the traffic is split", split)


async def test_a_virtual_service_is_ready_and_owns_nothing(home: Home) -> None:
    await home.start_operator()
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True", "Serving")
    subject = service()
    subject["metadata"]["annotations"] = {"ome.io/deploymentMode": "VirtualDeployment"}
    await home.apply(subject)
    virtual = await home.until_condition("chat", "Ready", "True", "VirtualDeployment")
    assert [entry["type"] for entry in virtual["status"]["conditions"]] == ["Ready"]
    assert virtual["status"]["components"].keys() == {"predictor"}
    await _is_gone(home, r.DEPLOYMENTS, "chat-engine")
    await _is_gone(home, r.SERVICES, "chat")


async def test_an_ingress_counts_when_somebody_serves_it_and_goes_when_unwanted(home: Home) -> None:
    await home.start_operator()
    subject = service()
    subject["metadata"]["annotations"] = {
        "ome.io/ingress-disable-creation": "false",
        "ome.io/ingress-domain": "example.com",
        "ome.io/ingress-path-template": "",
    }
    await home.apply(model(), runtime(), subject)
    await home.report("tiny", "Ready")
    waiting = await home.until_condition("chat", "IngressReady", "False", "NotProgrammed")
    assert "no ingress controller" in condition(waiting, "IngressReady")["message"]  # type: ignore[index]
    balancer = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    await home.client.patch(
        r.INGRESSES, "chat", {"status": balancer}, namespace="default", subresource="status"
    )
    routed = await home.until_condition("chat", "IngressReady", "True", "Routed")
    assert routed["status"]["url"] == "http://chat.default.example.com"
    await home.apply(service())
    await _is_gone(home, r.INGRESSES, "chat")
    await home.until_condition("chat", "Ready", "True")


async def test_accelerators_are_counted_and_the_chosen_one_is_named(home: Home) -> None:
    await home.start_operator()
    accelerator = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": "small"},
        "spec": {
            "discovery": {"nodeSelector": {"gpu": "small"}},
            "capabilities": {"memoryGB": "24Gi"},
        },
    }
    accelerated = runtime()
    accelerated["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["small"]}
    await home.apply(
        model(), accelerated, service(acceleratorSelector={"policy": "FirstAvailable"}), accelerator
    )
    await home.report("tiny", "Ready")

    async def nodes(count: int) -> bool:
        live = await home.client.get(o.ACCELERATOR_CLASSES, "small")
        return bool((live.get("status") or {}).get("availableNodes") == count)

    await home.until("no node has it", lambda: nodes(0))
    await home.until_condition("chat", "Ready", "False", "Unschedulable")
    await home.kubelet.label({"gpu": "small"})
    await home.until("one node has it", lambda: nodes(1))
    ready = await home.until_condition("chat", "Ready", "True")
    chosen = ready["status"]["components"]["engine"]["selectedAccelerator"]
    assert chosen["acceleratorClass"] == "small"
    assert chosen["nodeSelector"] == {"gpu": "small"}
    live = await home.client.get(o.ACCELERATOR_CLASSES, "small")
    finalizer = "acceleratorclasses.ome.io/finalizer"
    await home.client.patch(
        o.ACCELERATOR_CLASSES, "small", {"metadata": {"finalizers": [finalizer]}}
    )
    assert live["status"]["nodes"] == ["node-a"]
    await home.client.delete(o.ACCELERATOR_CLASSES, "small")

    async def gone() -> bool:
        return await home.names(o.ACCELERATOR_CLASSES, "") == []

    await home.until("the class is gone", gone)
