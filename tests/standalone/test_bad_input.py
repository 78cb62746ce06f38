"""What goes wrong around a service that runs tears nothing down; the status says what is wrong.

Each case spoils one thing under a running service, looks that nothing of it was touched, and takes
the mistake back: no pod was replaced by all this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition

CHILDREN = (
    r.CONFIG_MAPS,
    r.SERVICES,
    r.DEPLOYMENTS,
    r.HORIZONTAL_POD_AUTOSCALERS,
    r.POD_DISRUPTION_BUDGETS,
)
Step = Callable[[Home], Awaitable[Any]]


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home(probe=False) as found:
        await found.start_operator()
        yield found


async def _serve(home: Home, subject: Object | None = None) -> None:
    await home.apply(model(), runtime(), subject or service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True", "Serving")


async def _pods(home: Home) -> set[str]:
    return {p["metadata"]["uid"] for p in (await home.client.list(r.PODS, "default")).items}


async def _specs(home: Home) -> dict[str, Any]:
    """Uid and spec of every child."""
    found = {}
    for resource in CHILDREN:
        for item in (await home.client.list(resource, "default")).items:
            key = f"{resource.kind} {item['metadata']['name']}"
            found[key] = (item["metadata"]["uid"], item.get("spec"), item.get("data"))
    return found


def _merged(resource: Resource, name: str, patch: Object) -> Step:
    async def step(home: Home) -> None:
        namespace = "default" if resource.namespaced else ""
        await home.client.patch(resource, name, patch, namespace=namespace)

    return step


def _applied(*objects: Object) -> Step:
    async def step(home: Home) -> None:
        await home.apply(*objects)

    return step


def _runtime(patch: Object) -> Step:
    return _merged(o.CLUSTER_SERVING_RUNTIMES, "rt", {"spec": patch})


def _runner(**fields: Any) -> Step:
    return _runtime({"engineConfig": {"runner": fields}})


def _annotated(**annotations: str | None) -> Step:
    named = {f"ome.io/{key}": value for key, value in annotations.items()}
    return _merged(o.INFERENCE_SERVICES, "chat", {"metadata": {"annotations": named}})


async def _force_away(home: Home) -> None:
    """Somebody deletes the model and takes its finalizers away by hand."""
    await home.client.delete(o.CLUSTER_BASE_MODELS, "tiny")

    async def gone() -> bool:
        try:
            free = {"metadata": {"finalizers": None}}
            await home.client.patch(o.CLUSTER_BASE_MODELS, "tiny", free)
            await home.client.get(o.CLUSTER_BASE_MODELS, "tiny")
        except NotFound:
            return True
        return False

    await home.until("the model is gone", gone)


async def _no_runtime(home: Home) -> None:
    await home.client.delete(o.CLUSTER_SERVING_RUNTIMES, "rt")


@dataclass(frozen=True)
class Case:
    spoil: Step
    reason: str
    words: str
    cure: Step


CASES = {
    "the model disappears": Case(
        _force_away, "BaseModelNotFound", "waits for model tiny", _applied(model())
    ),
    "the model is disabled": Case(
        _merged(o.CLUSTER_BASE_MODELS, "tiny", {"spec": {"disabled": True}}),
        "BaseModelDisabled",
        "set spec.disabled: false in the model",
        _merged(o.CLUSTER_BASE_MODELS, "tiny", {"spec": {"disabled": False}}),
    ),
    "the runtime disappears": Case(
        _no_runtime, "NoRuntimes", "0 runtimes were examined", _applied(runtime())
    ),
    "the runtime is disabled": Case(
        _runtime({"disabled": True}), "NoRuntimeFits", "rt", _runtime({"disabled": None})
    ),
    "the runtime no longer takes the model": Case(
        _runtime({"supportedModelFormats": [{"modelFormat": {"name": "onnx"}}]}),
        "NoRuntimeFits",
        "onnx",
        _applied(runtime()),
    ),
    "the runtime loses its runner": Case(
        _runtime({"engineConfig": {"runner": None}}),
        "NoContainer",
        "give a runner with an image",
        _applied(runtime()),
    ),
    "the runtime gets a bad template": Case(
        _runner(args=["{{ .Nobody }}"]),
        "InvalidTemplate",
        "there is no .Nobody",
        _applied(runtime()),
    ),
    "the runtime asks for more than it allows": Case(
        _runner(resources={"requests": {"cpu": "4"}, "limits": {"cpu": "1"}}),
        "Refused",
        "cpu",
        _runner(resources={"requests": {"cpu": "1"}, "limits": None}),
    ),
    "a list of the service that can't be merged": Case(
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"engine": {"imagePullSecrets": [{}]}}}),
        "BadMerge",
        "imagePullSecrets",
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"engine": {"imagePullSecrets": None}}}),
    ),
    "a list of the runtime without a key": Case(
        _runtime({"engineConfig": {"imagePullSecrets": [{}]}}),
        "Refused",
        "imagePullSecrets",
        _runtime({"engineConfig": {"imagePullSecrets": None}}),
    ),
    "the runtime has a text where a list belongs": Case(
        _runner(env="PATH=/"), "InternalError", "What to do", _runner(env=None)
    ),
    "the engine is taken out": Case(
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"engine": None}}),
        "NoEngine",
        "add spec.engine",
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"engine": {}}}),
    ),
    "a mode that the cluster can't do": Case(
        _annotated(deploymentMode="Serverless"),
        "MissingKind",
        "install Knative Serving",
        _annotated(deploymentMode=None),
    ),
    "another model that does not exist": Case(
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"model": {"name": "tny"}}}),
        "BaseModelNotFound",
        "did you mean tiny?",
        _merged(o.INFERENCE_SERVICES, "chat", {"spec": {"model": {"name": "tiny"}}}),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_nothing_running_is_touched_and_the_status_says_what_is_wrong(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome.controllers.inferenceservice.KIND_RETRY", 0.2)
    case = CASES[name]
    await _serve(home)
    pods, before = await _pods(home), await _specs(home)
    await case.spoil(home)
    wrong = await home.until_condition("chat", "Ready", "False", case.reason)
    message = (condition(wrong, "Ready") or {})["message"]
    assert case.words in message
    assert "What was applied before keeps running" in message
    assert wrong["status"]["observedGeneration"] == wrong["metadata"]["generation"]
    assert wrong["status"]["url"], "who uses it still has to know where it is"
    assert await _specs(home) == before
    assert await _pods(home) == pods
    await case.cure(home)
    await home.until_condition("chat", "Ready", "True", "Serving")
    assert await _pods(home) == pods


async def test_a_broken_configuration_changes_nothing(home: Home) -> None:
    await _serve(home)
    pods, before = await _pods(home), await _specs(home)
    for patch in ({"ingress": "{"}, {"deploy": "[]"}, {"ingress": None}):
        await home.client.patch(
            r.CONFIG_MAPS, "inferenceservice-config", {"data": patch}, namespace="ome"
        )
    await home.apply(service("second"))
    await home.until_condition("second", "EngineReady", "True")
    assert await _pods(home) > pods
    kept = {k: v for k, v in (await _specs(home)).items() if "second" not in k and "chat" in k}
    assert {k: v for k, v in before.items() if k in kept} == kept


# --- names in use ---------------------------------------------------------------------------------

_SPECS: dict[Resource, tuple[str, Object]] = {
    r.CONFIG_MAPS: ("modelconfig-chat", {"data": {"mine": "1"}}),
    r.SERVICES: ("chat-engine", {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
    r.DEPLOYMENTS: (
        "chat-engine",
        {
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "mine", "image": "mine:1"}]},
                },
            }
        },
    ),
    r.POD_DISRUPTION_BUDGETS: (
        "chat-engine",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    ),
}


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "with the service's label"])
@pytest.mark.parametrize("resource", _SPECS, ids=lambda resource: str(resource.kind))
async def test_an_object_of_somebody_else_is_neither_changed_nor_deleted(
    home: Home, resource: Resource, labelled: bool
) -> None:
    name, body = _SPECS[resource]
    labels = {"ome.io/inferenceservice": "chat", "component": "engine"} if labelled else {}
    meta = {"name": name, "namespace": "default", "labels": labels}
    foreign = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **body}
    made = await home.client.create(resource, foreign)

    async def untouched() -> None:
        live = await home.client.get(resource, name, "default")
        assert live["metadata"]["uid"] == made["metadata"]["uid"]
        assert live.get("spec") == made.get("spec")
        assert live.get("data") == made.get("data")
        assert live["metadata"].get("ownerReferences") is None

    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    taken = await home.until_condition("chat", "Ready", "False", "NameTaken")
    message = (condition(taken, "Ready") or {})["message"]
    assert f"{resource.kind} {name} exists already and belongs to nobody that OME knows" in message
    assert "What to do: rename the service, or remove that object" in message
    await untouched()
    await home.apply(service(engine={"labels": {"x": "y"}}))
    await untouched()
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")

    async def gone() -> bool:
        return not [n for n in await home.names(r.SERVICES) if n == "chat"]

    await home.until("the service is gone", gone)
    await untouched()


async def test_a_name_that_becomes_free_is_taken_without_being_asked(home: Home) -> None:
    name, body = _SPECS[r.DEPLOYMENTS]
    meta = {"name": name, "namespace": "default"}
    await home.client.create(
        r.DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, **body}
    )
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "False", "NameTaken")
    await home.client.delete(r.DEPLOYMENTS, name, "default")
    await home.until_condition("chat", "Ready", "True", "Serving")


# --- long names and many labels -------------------------------------------------------------------


@pytest.mark.parametrize("length", [20, 55, 56, 57, 63])
async def test_names_at_and_over_the_limits_serve(home: Home, length: int) -> None:
    """A Kubernetes Service ends at 63 characters; ``-engine`` does not fit behind the last ones."""
    name = ("a-quite-long-name-" * 4)[: length - 1] + "z"
    await home.apply(model(), runtime(), service(name))
    await home.report("tiny", "Ready")
    await home.until_condition(name, "Ready", "True", "Serving")
    for resource in (*CHILDREN, r.PODS):
        for item in (await home.client.list(resource, "default")).items:
            labels = item["metadata"].get("labels") or {}
            assert all(len(value) <= 63 for value in labels.values())
    assert all(len(found) <= 63 for found in await home.names(r.SERVICES))


async def test_two_long_names_that_differ_at_the_front_do_not_touch_each_other(home: Home) -> None:
    tail = "-serves-the-same-long-name-after-the-first-few-characters"
    first, second = f"aa{tail}", f"bb{tail}"
    await home.apply(model(), runtime(), service(first), service(second))
    await home.report("tiny", "Ready")
    for name in (first, second):
        await home.until_condition(name, "Ready", "True", "Serving")
    assert len(await home.names(r.DEPLOYMENTS)) == 2
    await home.client.delete(o.INFERENCE_SERVICES, first, "default")

    async def one_left() -> bool:
        return len(await home.names(r.DEPLOYMENTS)) == 1

    await home.until("only the other is left", one_left)
    await home.until_condition(second, "Ready", "True", "Serving")


async def test_a_hundred_labels_reach_the_pods_and_ours_are_not_lost(home: Home) -> None:
    labels = {f"team.example.com/label-{i}": f"value-{i}" for i in range(100)}
    theirs = {"ome.io/inferenceservice": "another", "app": "another", "component": "x"}
    await _serve(home, service(engine={"labels": {**labels, **theirs}}))
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    found = live["spec"]["template"]["metadata"]["labels"]
    assert labels.items() <= found.items()
    assert found["ome.io/inferenceservice"] == "chat"
    assert found["component"] == "engine"
    assert live["spec"]["selector"]["matchLabels"].items() <= found.items()


def _left_over(uid: str) -> Object:
    owner = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "name": "chat",
        "uid": uid,
        "controller": True,
    }
    name, body = _SPECS[r.DEPLOYMENTS]
    meta = {"name": name, "namespace": "default", "ownerReferences": [owner]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, **body}


async def test_what_an_earlier_service_of_the_name_left_is_cleared_away(home: Home) -> None:
    """A garbage collector that is late holds nobody up: it would delete the same."""
    left = await home.client.create(r.DEPLOYMENTS, _left_over("an-earlier-one"))
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True", "Serving")
    live = await home.client.get(r.DEPLOYMENTS, left["metadata"]["name"], "default")
    assert live["metadata"]["uid"] != left["metadata"]["uid"]


async def test_what_belongs_to_another_kind_of_that_name_is_not_cleared_away(home: Home) -> None:
    foreign = _left_over("somebody")
    foreign["metadata"]["ownerReferences"][0]["apiVersion"] = "other.example/v1"
    made = await home.client.create(r.DEPLOYMENTS, foreign)
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "False", "NameTaken")
    live = await home.client.get(r.DEPLOYMENTS, made["metadata"]["name"], "default")
    assert live["metadata"]["uid"] == made["metadata"]["uid"]
