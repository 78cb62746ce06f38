"""What the status says of components that are not plain Deployments."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.fakes.objects import service
from tests.unit.rendering.modes import from_zero, gpu_runtime, live, made, settings

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource
from ome.rendering import Capabilities, Observed, Rendered
from ome.rendering import ingress as ingress_rules
from ome.rendering.status import StatusInput, StatusResult, build
from ome.rendering.workloads import clusters, read

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
UP = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "readyReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}
GATEWAY = settings(ingressDomain="example.com", enableGatewayAPI=True, omeIngressGateway="i/gw")


def status(
    subject: Object,
    rendered: Rendered,
    observed: Observed,
    config: Any = None,
    pods: dict[str, list[Object]] | None = None,
) -> Object:
    given = StatusInput(
        subject,
        NOW,
        rendered,
        observed=observed,
        pods=pods or {},
        ingress=ingress_rules.resolve((config or settings()).ingress, subject),
    )
    return build(given).status


def entry(found: Object, type_: str) -> Object:
    return next(item for item in found["conditions"] if item["type"] == type_)


# --- groups of pods ------------------------------------------------------------------------------


def group(wanted: int = 2, **status_: Any) -> Object:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"generation": 1},
        "spec": {"replicas": wanted},
        "status": status_,
    }


@pytest.mark.parametrize(
    ("status_", "serves", "rolling"),
    [
        ({}, False, True),
        ({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 0}, False, False),
        ({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}, False, False),
        ({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}, True, False),
        (
            {
                "replicas": 2,
                "updatedReplicas": 1,
                "readyReplicas": 1,
                "conditions": [{"type": "UpdateInProgress", "status": "True"}],
            },
            True,
            True,
        ),
    ],
)
def test_groups_serve_when_all_their_members_do(
    status_: Object, serves: bool, rolling: bool
) -> None:
    state = read(group(**status_))
    assert (state.serves, state.rolling) == (serves, rolling)


def _updated(at: str, **conditions: tuple[str, str]) -> tuple[Object, Object, Observed]:
    """A service of groups that has been ready, whose group was changed ``at`` that time."""
    subject, serving = service(), gpu_runtime()
    first = made(subject, runtime=serving)
    up = {k: v for k, v in UP.items() if k != "observedGeneration"}
    observed = live(first, status={x.LEADER_WORKER_SETS: up})
    group_ = observed.of(x.LEADER_WORKER_SETS)["lws-chat-engine"]
    group_["metadata"]["generation"] = 1
    subject["status"] = status(subject, first, observed)
    changed = {**subject, **service(engine={"labels": {"team": "a"}})}
    second = made(changed, runtime=serving, observed=observed)
    entries = [
        {"type": kind, "status": value, "lastTransitionTime": when}
        for kind, (value, when) in conditions.items()
    ]
    observed = live(second, status={x.LEADER_WORKER_SETS: {**up, "conditions": entries}})
    group_ = observed.of(x.LEADER_WORKER_SETS)["lws-chat-engine"]
    group_["metadata"]["generation"] = 2
    group_["metadata"]["managedFields"] = [{"manager": "ome", "operation": "Apply", "time": at}]
    return changed, status(changed, second, observed), observed


BEFORE, AT, AFTER = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))


@pytest.mark.parametrize(
    ("conditions", "reason", "words"),
    [
        ({"Available": ("True", BEFORE)}, "RollingUpdate", "a change is being taken up"),
        ({"Available": ("True", AFTER)}, "Serving", "1 of 1 engine groups are available"),
        (
            {"Available": ("True", BEFORE), "UpdateInProgress": ("False", BEFORE)},
            "RollingUpdate",
            "a change is being taken up",
        ),
        (
            {"Available": ("True", AFTER), "UpdateInProgress": ("False", AFTER)},
            "Serving",
            "1 of 1 engine groups are available",
        ),
    ],
)
def test_groups_that_have_not_taken_up_a_new_template_are_not_taken_for_updated(
    conditions: Any, reason: str, words: str
) -> None:
    changed, found, _ = _updated(AT, **conditions)
    ready = entry(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", reason)
    assert words in ready["message"]
    noted = found["annotations"]["ome.io/groups-engine"]
    before = changed["status"]["annotations"]["ome.io/groups-engine"]
    assert (noted == before) == (reason == "RollingUpdate")


def test_the_note_about_groups_goes_with_them() -> None:
    changed, found, _ = _updated(AT, Available=("True", AFTER))
    plain = made()
    after = status({**changed, **service(), "status": found}, plain, live(plain))
    assert "ome.io/groups-engine" not in after["annotations"]


def test_a_workload_that_was_changed_a_moment_ago_is_not_called_ready_as_before() -> None:
    rendered = made()
    observed = live(rendered, status={r.DEPLOYMENTS: UP})
    changing = {(r.DEPLOYMENTS, "chat-engine")}
    ingress = ingress_rules.resolve(settings().ingress, service())
    given = StatusInput(
        service(), NOW, rendered, observed=observed, changing=changing, ingress=ingress
    )
    ready = entry(build(given).status, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "RollingUpdate")
    assert ready["message"] == "1 of 1 engine replicas are available; a change is being taken up"


def test_a_member_that_cannot_be_placed_is_named() -> None:
    rendered = made(runtime=gpu_runtime())
    pod = {
        "metadata": {"name": "lws-chat-engine-0-1", "creationTimestamp": NOW},
        "status": {
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "Insufficient nvidia.com/gpu",
                }
            ]
        },
    }
    found = status(service(), rendered, live(rendered), pods={"engine": [pod]})
    ready = entry(found, "Ready")
    assert ready["reason"] == "Unschedulable"
    assert "lws-chat-engine-0-1" in ready["message"]


def test_ray_needs_the_cluster_and_an_engine_that_answers() -> None:
    cluster = {"metadata": {"name": "c"}, "status": {"state": "ready"}}
    answering = {"status": {"availableReplicas": 1}}
    assert clusters(1, [(cluster, answering)]).serves
    silent = clusters(1, [(cluster, None)])
    assert not silent.serves
    assert silent.says == (
        "EngineStarting",
        "Ray cluster c runs, and its engine does not answer the prober yet",
    )
    assert not clusters(2, [(cluster, answering), (None, None)]).serves


# --- canary and change of mode -------------------------------------------------------------------


def _with_canary(canary_status: Object) -> Object:
    engine = {"canaryTrafficPercent": 20}
    first = made(service(engine=engine), config=GATEWAY)
    new = {**engine, "runner": {"name": "ome-container", "image": "engine:2"}}
    subject = service(engine=new)
    rendered = made(subject, config=GATEWAY, observed=live(first))
    observed = live(rendered, status={r.DEPLOYMENTS: UP})
    observed.of(r.DEPLOYMENTS)["chat-engine-canary"]["status"] = canary_status
    return status(subject, rendered, observed, GATEWAY)


def test_the_traffic_of_a_canary_is_told() -> None:
    found = _with_canary(UP)
    shares = {
        item["revisionName"]: (item["percent"], item["tag"])
        for item in found["components"]["engine"]["traffic"]
    }
    assert shares == {"chat-engine": (80, "prev"), "chat-engine-canary": (20, "latest")}
    assert "canary with 20 % of the traffic" in entry(found, "EngineReady")["message"]


def test_a_canary_that_does_not_start_leaves_the_service_ready() -> None:
    found = _with_canary({"observedGeneration": 9, "replicas": 1, "updatedReplicas": 1})
    engine = entry(found, "EngineReady")
    assert engine["status"] == "True"
    assert "the engine canary starts" in engine["message"]


def test_the_old_mode_serves_and_the_new_one_is_waited_for() -> None:
    before = live(made(), status={r.DEPLOYMENTS: UP})
    change = made(runtime=gpu_runtime(), observed=before)
    both = live(made(), change, status={r.DEPLOYMENTS: UP})
    found = status(service(), change, both)
    engine = entry(found, "EngineReady")
    assert (engine["status"], engine["reason"]) == ("True", "ModeChange")
    assert "Deployment chat-engine serves until LeaderWorkerSet" in engine["message"]
    assert entry(found, "Ready")["reason"] == "RollingUpdate"


# --- addresses ------------------------------------------------------------------------------------


def test_an_address_counts_when_it_leads_somewhere() -> None:
    rendered = made(config=GATEWAY)
    accepted = {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}
    ups: dict[Resource, Object] = {r.DEPLOYMENTS: UP}
    waiting = status(service(), rendered, live(rendered, status=ups), GATEWAY)
    assert entry(waiting, "IngressReady")["reason"] == "ParentStatusNotAvailable"
    assert entry(waiting, "Ready")["status"] == "False"
    ups[x.HTTP_ROUTES] = accepted
    routed = status(service(), rendered, live(rendered, status=ups), GATEWAY)
    assert entry(routed, "IngressReady")["reason"] == "Routed"
    assert entry(routed, "Ready")["status"] == "True"
    assert routed["components"]["engine"]["url"] == "http://chat-engine.default.example.com"


def test_what_is_missing_for_the_address_is_said_and_what_to_do() -> None:
    from ome.rendering import Capabilities

    rendered = made(config=GATEWAY, capabilities=Capabilities())
    found = status(service(), rendered, live(rendered, status={r.DEPLOYMENTS: UP}), GATEWAY)
    ready = entry(found, "Ready")
    assert ready["reason"] == "MissingKind"
    assert "gateway-api.sigs.k8s.io" in ready["message"]


def test_knative_conditions_go_with_knative() -> None:
    subject = service(engine={"minReplicas": 0})
    rendered = made(subject)
    up = {
        "url": "http://chat-engine.default.example.com",
        "latestReadyRevisionName": "r1",
        "latestCreatedRevisionName": "r1",
        "observedGeneration": 1,
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "RoutesReady", "status": "True"},
            {"type": "ConfigurationsReady", "status": "False", "message": "no image"},
        ],
    }
    found = status(subject, rendered, live(rendered, status={x.KNATIVE_SERVICES: up}))
    assert entry(found, "EngineRouteReady")["status"] == "True"
    assert entry(found, "LatestDeploymentReady")["message"] == "no image"
    again = copy.deepcopy(subject)
    again["status"] = found
    observed = live(rendered, status={x.KNATIVE_SERVICES: up})
    unchanged = build(
        StatusInput(
            again,
            "2027-01-01T00:00:00Z",
            rendered,
            observed=observed,
            ingress=ingress_rules.resolve(settings().ingress, again),
        )
    )
    assert unchanged.status == found
    later = copy.deepcopy(service())
    later["status"] = found
    plain = made(later)
    after = status(later, plain, live(plain))
    types = {item["type"] for item in after["conditions"]}
    assert not {"EngineRouteReady", "RoutesReady", "LatestDeploymentReady"} & types


# --- nothing runs while nobody asks ---------------------------------------------------------------


def zero_status(replicas: int, before: Object | None = None) -> StatusResult:
    subject = service(engine={"minReplicas": 0})
    subject["metadata"]["generation"] = 1
    subject["status"] = before or {}
    rendered = made(subject, capabilities=Capabilities(), config=from_zero())  # no Knative
    observed = live(rendered, status={r.DEPLOYMENTS: UP if replicas else {}})
    for deployment in observed.of(r.DEPLOYMENTS).values():
        deployment["spec"]["replicas"] = replicas
    return build(
        StatusInput(
            subject,
            NOW,
            rendered,
            observed=observed,
            answer_required=True,
            ingress=ingress_rules.resolve(settings().ingress, subject),
        )
    )


def test_a_service_at_zero_is_ready_and_nobody_asks_it_for_an_answer() -> None:
    found = zero_status(0)
    ready = entry(found.status, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "ScaledToZero")
    assert "a request starts it" in ready["message"]
    assert entry(found.status, "Answers")["reason"] == "ScaledToZero"
    assert found.version == ""


def test_a_service_that_is_woken_is_asked_once() -> None:
    up = zero_status(1, zero_status(0).status)
    assert entry(up.status, "Ready")["reason"] == "Serving"
    assert up.version


def test_a_service_that_gave_no_answer_is_not_ready_at_zero_either() -> None:
    before = zero_status(0).status
    answers = entry(before, "Answers")
    answers.update(status="False", reason="NoAnswer", message="it said nothing")
    ready = entry(zero_status(0, before).status, "Ready")
    assert (ready["status"], ready["message"]) == ("False", "it said nothing")


# --- autoscalers ----------------------------------------------------------------------------------


def _scaled(kind: Resource, state: Object, **engine: Any) -> Object:
    subject = service(engine=engine)
    rendered = made(subject)
    observed = live(rendered, status={r.DEPLOYMENTS: UP, kind: {"conditions": [state]}})
    return status(subject, rendered, observed)


def _false(type_: str, reason: str, message: str) -> Object:
    return {"type": type_, "status": "False", "reason": reason, "message": message}


KEDA = {"annotations": {"ome.io/autoscalerClass": "keda"}}
NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to "
    "fetch metrics from resource metrics API: the server could not find the requested resource"
)


@pytest.mark.parametrize(
    ("kind", "engine", "state", "words"),
    [
        (
            r.HORIZONTAL_POD_AUTOSCALERS,
            {},
            _false("ScalingActive", "FailedGetResourceMetric", NO_METRICS),
            (
                "HorizontalPodAutoscaler chat-engine can't scale the engine",
                "install metrics-server",
            ),
        ),
        (
            r.HORIZONTAL_POD_AUTOSCALERS,
            {},
            _false("ScalingActive", "FailedGetResourceMetric", "missing request for cpu in p"),
            ("missing request for cpu", "give the runner resources.requests"),
        ),
        (
            x.SCALED_OBJECTS,
            KEDA,
            _false("Ready", "ScaledObjectCheckFailed", "error parsing prometheus metadata"),
            ("ScaledObject scaledobject-chat-engine", "error parsing prometheus metadata"),
        ),
    ],
)
def test_an_autoscaler_that_cannot_work_is_told_and_takes_no_readiness_away(
    kind: Resource, engine: Object, state: Object, words: tuple[str, ...]
) -> None:
    found = _scaled(kind, state, **engine)
    told = entry(found, "AutoscalerReady")
    assert (told["status"], told["reason"]) == ("False", "AutoscalerFailing")
    assert all(word in told["message"] for word in (*words, "What to do: "))
    assert entry(found, "Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("state", "engine"),
    [
        ({"type": "ScalingActive", "status": "True"}, {}),
        (_false("ScalingActive", "ScalingDisabled", "it is at zero"), {}),
        (_false("ScalingActive", "F", "no metrics returned from resource metrics API"), {}),
        (_false("ScalingActive", "F", NO_METRICS), {"minReplicas": 2, "maxReplicas": 2}),
    ],
)
def test_what_passes_or_does_not_matter_is_not_told(state: Object, engine: Object) -> None:
    found = _scaled(r.HORIZONTAL_POD_AUTOSCALERS, state, **engine)
    assert "AutoscalerReady" not in {item["type"] for item in found["conditions"]}
