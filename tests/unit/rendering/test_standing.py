"""What the status says of what runs while the present spec can't be carried out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.fakes.kubelet import crashing
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import gpu_runtime, live, made

from ome.api import conditions as cond
from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource, condition
from ome.rendering import Observed, Rendered
from ome.rendering.status import Problem, StatusInput, build

NOW = "2026-01-01T00:00:00Z"
GONE = Problem(cond.SELECTED, "BaseModelNotFound", "waits for model tiny", "create the model")
UP: Object = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "readyReplicas": 1,
    "state": "ready",
    "latestCreatedRevisionName": "chat-engine-00001",
    "latestReadyRevisionName": "chat-engine-00001",
    "conditions": [{"type": kind, "status": "True"} for kind in ("Available", "Ready")],
}
DOWN: Object = {
    **UP,
    "availableReplicas": 0,
    "readyReplicas": 0,
    "state": "",
    "latestReadyRevisionName": "",
    "conditions": [],
}
RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
MODES: dict[str, tuple[Object, Object, Resource, str]] = {
    "raw": (service(), runtime(), r.DEPLOYMENTS, "replicas"),
    "groups": (service(), gpu_runtime(), x.LEADER_WORKER_SETS, "groups"),
    "ray": (service(engine=RAY), gpu_runtime(), x.RAY_CLUSTERS, "Ray clusters"),
    "serverless": (
        service(engine={"minReplicas": 0}), runtime(), x.KNATIVE_SERVICES, "revisions",
    ),
}  # fmt: skip


def rendered(mode: str) -> tuple[Object, Rendered]:
    subject, serving, _, _ = MODES[mode]
    subject = copy.deepcopy(subject)
    subject["metadata"]["uid"] = "u-1"
    return subject, made(subject, runtime=serving)


def children(mode: str, state: Object) -> Observed:
    kind = MODES[mode][2]
    return live(rendered(mode)[1], status={kind: state, r.DEPLOYMENTS: state})


def status(
    mode: str, observed: Observed, before: Object | None = None, pods: Any = (), **more: Any
) -> Object:
    subject, _ = rendered(mode)
    subject["status"] = before or {}
    given = StatusInput(
        subject, NOW, problem=GONE, observed=observed, pods={"engine": list(pods)}, **more
    )
    return build(given).status


def entry(found: Object, type_: str) -> Object:
    return condition({"status": found}, type_) or {}


@pytest.mark.parametrize("mode", MODES)
def test_what_serves_on_is_told_beside_the_problem(mode: str) -> None:
    found = status(mode, children(mode, UP))
    ready = entry(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "BaseModelNotFound")
    assert ready["message"].endswith("create the model. What was applied before keeps running")
    engine = entry(found, "EngineReady")
    assert engine["status"] == "True"
    assert engine["message"] == f"1 of 1 engine {MODES[mode][3]} are available"
    states = found["modelStatus"]["modelRevisionStates"]
    assert (states["activeModelState"], states["targetModelState"]) == ("Loaded", "FailedToLoad")


@pytest.mark.parametrize("mode", MODES)
def test_what_breaks_meanwhile_does_not_stay_ready(mode: str) -> None:
    before = status(mode, children(mode, UP))
    found = status(mode, children(mode, DOWN), before)
    assert entry(found, "EngineReady")["status"] != "True"
    message = entry(found, "Ready")["message"]
    assert "keeps running" not in message
    assert "What was applied before is left as it is: " in message
    assert found["modelStatus"]["modelRevisionStates"]["activeModelState"] == "Pending"


def test_a_crash_meanwhile_is_named_too() -> None:
    pod: Object = {
        "metadata": {"name": "p", "labels": {"app": "chat-engine"}},
        "spec": {"containers": [{"name": "ome-container", "image": "x"}]},
    }
    pod["status"] = crashing(1, "CUDA out of memory")(pod)
    found = status("raw", children("raw", DOWN), pods=[pod])
    assert entry(found, "EngineReady")["reason"] == "GpuOutOfMemory"
    message = entry(found, "Ready")["message"]
    assert "create the model" in message
    assert "CUDA out of memory" in message


def test_what_is_gone_is_not_kept_as_ready() -> None:
    before = status("raw", children("raw", UP))
    found = status("raw", Observed(), before)
    assert entry(found, "EngineReady") == {}
    assert entry(found, "Ready")["message"] == "waits for model tiny. What to do: create the model"


def test_a_deployment_of_somebody_else_is_none_of_ours() -> None:
    observed = children("raw", UP)
    for deployment in observed.of(r.DEPLOYMENTS).values():
        deployment["metadata"]["ownerReferences"][0]["uid"] = "another"
    assert entry(status("raw", observed), "EngineReady") == {}
