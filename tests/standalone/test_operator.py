"""The operator against the embedded API server, with real workload controllers and a fake node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.kubelet import crashing, running, starting, waiting
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, condition, owner_reference
from ome.rendering import component
from ome.rendering import pod as pod_rules
from ome.rendering.env import set_env

ALL_CHILDREN = (
    r.DEPLOYMENTS,
    r.SERVICES,
    r.HORIZONTAL_POD_AUTOSCALERS,
    r.POD_DISRUPTION_BUDGETS,
    r.PODS,
)


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home() as found:
        await found.start_operator()
        yield found


async def _serve(home: Home) -> None:
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True")


async def test_a_service_becomes_ready_after_a_real_answer_through_its_address(home: Home) -> None:
    home.engine.behaviour.fail_status = 503
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    refused = await home.until_condition("chat", "Answers", "False", "NoAnswer")
    assert condition(refused, "EngineReady")["status"] == "True"  # type: ignore[index]
    ready = condition(refused, "Ready")
    assert ready is not None
    assert ready["status"] == "False"
    assert "503" in ready["message"]
    home.engine.behaviour.fail_status = 0
    served = await home.until_condition("chat", "Ready", "True")
    url = f"{home.engine.url}/services/default/chat"
    assert served["status"]["url"] == url
    assert served["status"]["address"]["url"] == "http://chat.default.svc.cluster.local:8080"
    assert served["status"]["modelStatus"]["modelRevisionStates"]["activeModelState"] == "Loaded"
    assert served["status"]["observedGeneration"] == served["metadata"]["generation"]
    asked = [request for request in home.engine.requests if "chat/completions" in request.path]
    assert asked[-1].path == "/services/default/chat/v1/chat/completions"
    assert asked[-1].body["model"] == "fake"
    assert asked[-1].body["max_tokens"] == 1
    # One answer is enough: nobody asks again.
    count = len(home.engine.requests)
    await home.client.patch(
        o.INFERENCE_SERVICES, "chat", {"metadata": {"labels": {"x": "y"}}}, namespace="default"
    )
    await home.until("the label reaches the Deployment", lambda: _has_label(home))
    assert len(home.engine.requests) <= count + 2  # the new template is asked once


async def _has_label(home: Home) -> bool:
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    return live["metadata"]["labels"].get("x") == "y"


async def test_children_have_the_contracts_names_labels_and_owner(home: Home) -> None:
    await _serve(home)
    assert await home.names(r.DEPLOYMENTS) == ["chat-engine"]
    assert set(await home.names(r.SERVICES)) >= {"chat", "chat-engine"}
    assert await home.names(r.HORIZONTAL_POD_AUTOSCALERS) == ["chat-engine"]
    assert await home.names(r.POD_DISRUPTION_BUDGETS) == ["chat-engine"]
    assert "modelconfig-chat" in await home.names(r.CONFIG_MAPS)
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    owner = live["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceService", "chat", True)
    pod = live["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["args"] == ["--model", "$(MODEL_PATH)", "--name", "chat"]
    assert container["env"] == [{"name": "MODEL_PATH", "value": "/raid/models/tiny"}]
    assert pod["nodeSelector"] == {"models.ome.io/clusterbasemodel.tiny": "Ready"}


async def test_everything_may_be_applied_in_any_order_and_says_what_it_waits_for(
    home: Home,
) -> None:
    await home.apply(service())
    waiting_for_model = await home.until_condition("chat", "Ready", "False", "BaseModelNotFound")
    assert "tiny" in condition(waiting_for_model, "Ready")["message"]  # type: ignore[index]
    await home.apply(model())
    await home.until_condition("chat", "Ready", "False", "NoRuntimes")
    await home.apply(runtime("other", modelArchitecture="GemmaForCausalLM"))
    missed = await home.until_condition("chat", "Ready", "False", "NoRuntimeFits")
    message = condition(missed, "Ready")["message"]  # type: ignore[index]
    assert "other" in message
    assert "add an entry with modelArchitecture: LlamaForCausalLM" in message
    await home.apply(runtime())
    await home.until_condition("chat", "RuntimeSelected", "True")
    progress = {"phase": "downloading", "totalBytes": 1000, "completedBytes": 420}
    await home.report("tiny", "Updating", progress=progress)
    downloading = await home.until_condition("chat", "Ready", "False", "ModelDownloading")
    assert "42 %" in condition(downloading, "Ready")["message"]  # type: ignore[index]
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True")


async def test_an_update_keeps_the_old_version_until_the_new_one_serves(home: Home) -> None:
    await _serve(home)
    home.kubelet.behaviour = lambda pod: (
        running(pod) if pod["spec"]["containers"][0]["image"] == "engine:1" else starting(pod)
    )
    new_runner = {"runner": {"name": "ome-container", "image": "engine:2"}}
    await home.apply(service(engine=new_runner))

    async def rolling() -> bool:
        ready = condition(await home.service("chat"), "Ready") or {}
        assert ready["status"] == "True"
        return ready["reason"] == "RollingUpdate" and "not ready yet" in ready["message"]

    await home.until("the roll is told, and Ready stays", rolling)
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    assert live["status"]["availableReplicas"] == 1
    home.kubelet.behaviour = running
    home.kubelet.look_again()
    done = await home.until_condition("chat", "Ready", "True", "Serving")
    assert done["status"]["observedGeneration"] == done["metadata"]["generation"]


async def test_deletion_leaves_nothing(home: Home) -> None:
    await _serve(home)
    await home.client.patch(
        o.INFERENCE_SERVICES,
        "chat",
        {"metadata": {"finalizers": ["inferenceservice.finalizers"]}},
        namespace="default",
    )
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")

    async def gone() -> bool:
        if await home.names(o.INFERENCE_SERVICES):
            return False
        left = [name for kind in ALL_CHILDREN for name in await home.names(kind)]
        left += [n for n in await home.names(r.CONFIG_MAPS) if n.startswith("modelconfig-")]
        return [name for name in left if name != "kubernetes"] == []

    await home.until("nothing is left", gone)


async def test_a_hand_edit_is_healed_and_a_removed_field_goes(home: Home) -> None:
    await _serve(home)
    edit = {"spec": {"progressDeadlineSeconds": 7}}
    await home.client.patch(
        r.DEPLOYMENTS, "chat-engine", edit, namespace="default", field_manager="somebody"
    )

    async def healed() -> bool:
        live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        return bool(live["spec"]["progressDeadlineSeconds"] == 600)

    await home.until("the edit is healed", healed)
    engine = {"labels": {"team": "a"}}
    await home.apply(service(engine=engine))

    async def labelled(present: bool) -> bool:
        live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        return ("team" in live["metadata"]["labels"]) is present

    await home.until("the label comes", lambda: labelled(True))
    await home.apply(service())
    await home.until("the label goes", lambda: labelled(False))


async def test_a_restart_of_the_operator_writes_nothing(home: Home) -> None:
    await _serve(home)
    await home.until_condition("chat", "Ready", "True", "Serving")
    await _quiet(home)
    before = await _versions(home)
    asked = len(home.engine.requests)
    await home.stop_operator()
    await home.start_operator()
    assert home.operator is not None
    await home.operator.cluster.synced()
    await _quiet(home)
    assert await _versions(home) == before
    assert len(home.engine.requests) == asked


async def test_an_upgrade_that_renders_pods_differently_restarts_none(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions of the renderer over the same API, one after the other."""

    async def running_now() -> tuple[Any, set[str]]:
        live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        pods = {p["metadata"]["uid"] for p in (await home.client.list(r.PODS, "default")).items}
        return (live["metadata"]["generation"], live["spec"]), pods

    await _serve(home)
    await home.until_condition("chat", "Ready", "True", "Serving")
    await _quiet(home)
    before = await running_now()
    await home.stop_operator()

    def finish(pod: Object, *args: Any, **more: Any) -> None:
        pod_rules.finish(pod, *args, **more)
        set_env(pod["containers"][0], "NEXT_VERSION", "1")

    monkeypatch.setattr(component, "finish", finish)
    await home.start_operator()
    assert home.operator is not None
    await home.operator.cluster.synced()
    await _quiet(home)
    assert await running_now() == before
    await home.apply(service(engine={"labels": {"team": "a"}}))

    async def taken_along() -> bool:
        return "NEXT_VERSION" in str(await home.client.get(r.DEPLOYMENTS, "chat-engine", "default"))

    await home.until("the service's own change takes the new rendering along", taken_along)


async def _versions(home: Home) -> dict[str, str]:
    found = {}
    for resource in (*ALL_CHILDREN, o.INFERENCE_SERVICES, o.CLUSTER_BASE_MODELS):
        for item in (await home.client.list(resource)).items:
            meta = item["metadata"]
            found[f"{resource} {meta['name']}"] = meta["resourceVersion"]
    return found


async def _quiet(home: Home) -> None:
    """Until nothing has changed for a moment."""
    last: dict[str, str] = {}
    for _ in range(40):
        now = await _versions(home)
        if now == last:
            return
        last = now
        await asyncio.sleep(0.25)
    raise AssertionError("it does not come to rest")


async def test_replicas_scaled_by_somebody_else_stay_within_bounds(home: Home) -> None:
    await home.apply(model(), runtime(), service(engine={"minReplicas": 2, "maxReplicas": 4}))
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True")

    async def replicas(count: int) -> bool:
        live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        return bool(live["spec"]["replicas"] == count)

    await home.until("two replicas", lambda: replicas(2))
    for asked, becomes in ((3, 3), (9, 4), (1, 2)):
        patch = {"spec": {"replicas": asked}}
        await home.client.patch(r.DEPLOYMENTS, "chat-engine", patch, namespace="default")
        await home.until(f"{asked} becomes {becomes}", lambda n=becomes: replicas(n))
    owned = (await home.client.get(r.DEPLOYMENTS, "chat-engine", "default"))["metadata"]
    ours = next(m for m in owned["managedFields"] if m["manager"] == "ome")
    assert "f:replicas" not in json.dumps(ours["fieldsV1"])


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        (crashing(3, "model.safetensors: no such file"), "CrashLoopBackOff", "code 3"),
        (waiting("ImagePullBackOff", "not found"), "ImagePullBackOff", "imagePullSecrets"),
        (
            waiting("ContainerRuntimeMissing", "neither podman nor docker is installed"),
            "ContainerRuntimeMissing",
            "neither podman nor docker",
        ),
        (starting, "EngineStarting", "not ready yet"),
    ],
)
async def test_why_is_in_the_status(home: Home, behaviour, reason: str, words: str) -> None:
    home.kubelet.behaviour = behaviour
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    stuck = await home.until_condition("chat", "Ready", "False", reason)
    assert words in condition(stuck, "Ready")["message"]  # type: ignore[index]
    if reason == "CrashLoopBackOff":
        failure = stuck["status"]["modelStatus"]["lastFailureInfo"]
        assert failure["exitCode"] == 3
        home.kubelet.behaviour = running
        home.kubelet.look_again()
        healed = await home.until_condition("chat", "Ready", "True")
        assert "lastFailureInfo" not in healed["status"]["modelStatus"]


async def test_a_service_of_the_same_name_that_is_not_ours_is_left_alone(home: Home) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat", "namespace": "default"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "something"}},
    }
    await home.client.create(r.SERVICES, foreign)
    await home.apply(model(), runtime(), service())
    taken = await home.until_condition("chat", "Ready", "False", "NameTaken")
    assert "Service chat exists already" in condition(taken, "Ready")["message"]  # type: ignore[index]
    kept = await home.client.get(r.SERVICES, "chat", "default")
    assert kept["spec"]["selector"] == {"app": "something"}


async def test_a_model_in_use_stays_until_its_service_is_gone(home: Home) -> None:
    await _serve(home)
    await home.client.delete(o.CLUSTER_BASE_MODELS, "tiny")

    async def said() -> bool:
        found = await home.client.get(o.CLUSTER_BASE_MODELS, "tiny")
        entry = condition(found, "InUse") or {}
        return entry.get("status") == "True" and "default/chat" in entry["message"]

    await home.until("the model says who uses it", said)
    await home.until_condition("chat", "Ready", "True")
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")

    async def released() -> bool:
        found = await home.client.get(o.CLUSTER_BASE_MODELS, "tiny")
        return (condition(found, "InUse") or {}).get("status") == "False"

    await home.until("nobody uses it any more", released)
    await home.forget_model("tiny")

    async def gone() -> bool:
        return await home.names(o.CLUSTER_BASE_MODELS, "") == []

    await home.until("the model is gone", gone)


async def test_metadata_is_filled_in_from_the_first_node(home: Home) -> None:
    bare = {"storage": {"storageUri": "hf://example/tiny", "path": "/raid/models/tiny"}}
    empty = dict.fromkeys(model()["spec"])
    await home.apply({**model(), "spec": {k: v for k, v in {**empty, **bare}.items() if v}})
    await home.apply(runtime(), service())
    await home.until_condition("chat", "Ready", "False", "ModelNotReady")
    config = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "modelArchitecture": "LlamaForCausalLM",
        "modelParameterSize": "135M",
    }
    await home.report("tiny", "Ready", config=config)
    await home.until_condition("chat", "Ready", "True")
    filled = await home.client.get(o.CLUSTER_BASE_MODELS, "tiny")
    assert filled["spec"]["modelArchitecture"] == "LlamaForCausalLM"
    assert filled["status"]["state"] == "Ready"
    assert filled["status"]["nodesReady"] == ["node-a"]


async def _restarted(home: Home, names: Iterable[str]) -> None:
    """Returns when a new operator has looked at these services."""
    await home.stop_operator()
    await home.start_operator()
    assert home.operator is not None
    done: set[str] = set()
    home.operator.services.observer = lambda _controller, key, *_: done.add(key.name)

    async def all_done() -> bool:
        return done >= set(names)

    await home.until("all are looked at again", all_done)


async def test_a_change_of_a_shared_runtime_goes_through_the_services_in_waves(home: Home) -> None:
    section = {"rollout": json.dumps({"servicesAtOnce": 1})}
    await home.client.patch(
        r.CONFIG_MAPS, "inferenceservice-config", {"data": section}, namespace="ome"
    )
    names = ("a", "b", "c")
    held = service("held")
    held["metadata"]["annotations"] = {"ome.io/hold-rollout": "true"}
    await home.apply(model(), runtime(), held, *(service(name) for name in names))
    await home.report("tiny", "Ready")
    for name in (*names, "held"):
        await home.until_condition(name, "Ready", "True", "Serving")
    home.kubelet.behaviour = lambda pod: (
        running(pod) if pod["spec"]["containers"][0]["image"] == "engine:1" else starting(pod)
    )
    await home.apply(runtime(image="engine:2"))

    async def images() -> dict[str, str]:
        found = await home.client.list(r.DEPLOYMENTS, "default")
        return {
            item["metadata"]["name"].removesuffix("-engine"): item["spec"]["template"]["spec"][
                "containers"
            ][0]["image"]
            for item in found.items
        }

    async def rolling() -> int:
        return sum(image == "engine:2" for image in (await images()).values())

    await home.until("one service rolls", rolling)
    pending = [name for name, image in (await images()).items() if image == "engine:1"]
    assert len(pending) == 3
    for name in pending:
        await home.until_condition(name, "UpdatePending", "True")
    assert await rolling() == 1  # stuck, so nobody follows
    for _ in range(2):  # also not where the operator has forgotten whom it let roll
        await _restarted(home, names)
        assert await rolling() == 1
    home.kubelet.behaviour = running
    home.kubelet.look_again()

    async def all_but_the_held_one() -> bool:
        return await images() == {**dict.fromkeys(names, "engine:2"), "held": "engine:1"}

    await home.until("the others follow", all_but_the_held_one)
    stays = await home.until_condition("held", "Ready", "True")
    assert "held by annotation" in condition(stays, "UpdatePending")["message"]  # type: ignore[index]


async def test_taking_over_from_another_manager_restarts_no_engine() -> None:
    async with running_home() as home:
        await home.apply(model(), runtime())
        await home.report("tiny", "Ready")
        await home.apply(service())
        owner = await home.service("chat")
        await home.client.create(r.DEPLOYMENTS, _made_by_another(owner), field_manager="manager")

        async def available() -> bool:
            live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
            return bool((live.get("status") or {}).get("availableReplicas"))

        await home.until("the old engine runs", available)
        before = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        pods = await home.names(r.PODS)
        await home.start_operator()
        await home.until_condition("chat", "Ready", "True", "Serving")
        await _quiet(home)
        after = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
        assert after["spec"]["template"] == before["spec"]["template"]
        assert await home.names(r.PODS) == pods
        assert len((await home.client.list(r.REPLICA_SETS, "default")).items) == 1
        assert "adopted" in after["metadata"]["annotations"]["ome.io/template-input-hash"]
        # Its own next change is what rolls it.
        await home.apply(service(engine={"labels": {"team": "a"}}))

        async def rolled() -> bool:
            live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
            image = live["spec"]["template"]["spec"]["containers"][0]["image"]
            return bool(image == "engine:1")

        await home.until("the service's own change rolls", rolled)


def _made_by_another(owner: dict[str, Any]) -> dict[str, Any]:
    """A Deployment as an earlier operator left it, with things that OME would do differently."""
    labels = {"app": "chat-engine", "ome.io/inferenceservice": "chat", "component": "engine"}
    container = {"name": "ome-container", "image": "as-it-was:7", "args": ["--old"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "chat-engine",
            "namespace": "default",
            "labels": labels,
            "annotations": {"ome.io/serving-runtime": "rt"},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "selector": {"matchLabels": {"app": "chat-engine"}},
            "template": {
                "metadata": {"labels": labels, "name": "chat-engine"},
                "spec": {"containers": [container]},
            },
        },
    }
