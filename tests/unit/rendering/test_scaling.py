"""HPA, KEDA, somebody else: what scales a component."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes.objects import service
from tests.unit.rendering.modes import (
    EVERYTHING,
    check_golden,
    child,
    from_zero,
    gpu_runtime,
    made,
    names,
    settings,
)

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.controllers.settings import OperatorSettings, read
from ome.rendering import Capabilities, Rendered

Object = dict[str, Any]
KEDA = {"ome.io/autoscalerClass": "keda"}


def scaled_object(rendered: Rendered) -> Object:
    return child(rendered, x.SCALED_OBJECTS, "scaledobject-chat-engine")


def trigger(rendered: Rendered) -> Object:
    found: Object = scaled_object(rendered)["spec"]["triggers"][0]
    return found


def test_a_service_scaled_by_keda_is_rendered_as_in_the_golden_file() -> None:
    config = {
        "enableKeda": True,
        "promServerAddress": "https://prom:9090",
        "customPromQuery": 'rate(x{s="%s"}[1m]) % 2',
        "scalingThreshold": "5",
        "authenticationRef": {"name": "prom", "kind": "ClusterTriggerAuthentication"},
        "authModes": "bearer",
    }
    check_golden("keda", made(service(kedaConfig=config, engine={"minReplicas": 0})))


def test_keda_replaces_the_hpa_and_leaves_the_count_to_it() -> None:
    subject = service(engine={"annotations": KEDA, "minReplicas": 2, "maxReplicas": 6})
    rendered = made(subject)
    assert names(rendered, r.HORIZONTAL_POD_AUTOSCALERS) == []
    spec = scaled_object(rendered)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 6)
    assert "replicas" not in child(rendered, r.DEPLOYMENTS, "chat-engine")["spec"]


def test_the_default_query_asks_for_the_service_that_metrics_carry() -> None:
    query = trigger(made(service(engine={"annotations": KEDA})))["metadata"]["query"]
    assert 'ome_io_inferenceservice="chat"' in query
    assert "chat-engine" not in query


def test_a_components_keda_settings_go_before_the_services_and_annotations_before_both() -> None:
    subject = service(
        kedaConfig={"enableKeda": True, "scalingThreshold": "1", "promServerAddress": "http://a"},
        engine={"kedaConfig": {"scalingThreshold": "2"}},
        router={"runner": {"image": "r:1"}, "kedaConfig": {"enableKeda": False}},
    )
    rendered = made(subject)
    found = trigger(rendered)["metadata"]
    assert (found["threshold"], found["serverAddress"]) == ("2", "http://a")
    assert names(rendered, r.HORIZONTAL_POD_AUTOSCALERS) == ["chat-router"]
    subject["metadata"]["annotations"] = {"autoscaling.keda.sh/threshold": "3"}
    assert trigger(made(subject))["metadata"]["threshold"] == "3"


def test_the_operators_configuration_fills_what_is_left_out() -> None:
    section = {"promServerAddress": "http://mine:1", "scalingThreshold": "7"}
    base = settings()
    config = read({"data": {"kedaConfig": json.dumps(section)}}, base)
    found = trigger(made(service(engine={"annotations": KEDA}), config=config))["metadata"]
    assert (found["serverAddress"], found["threshold"]) == ("http://mine:1", "7")
    assert found["operator"] == "GreaterThanOrEqual"


def test_without_keda_something_else_scales_and_the_service_says_so() -> None:
    without = Capabilities(EVERYTHING.kinds - {x.SCALED_OBJECTS})
    rendered = made(service(engine={"annotations": KEDA}), capabilities=without)
    assert names(rendered, r.HORIZONTAL_POD_AUTOSCALERS) == ["chat-engine"]
    assert "keda.sh" in rendered.warnings[0]


def test_an_operator_that_keda_does_not_know_is_warned_about() -> None:
    subject = service(kedaConfig={"enableKeda": True, "scalingOperator": "LessThan"})
    assert "LessThan" in made(subject).warnings[0]


def test_external_makes_nothing_and_keeps_no_bounds() -> None:
    subject = service(engine={"annotations": {"ome.io/autoscalerClass": "external"}})
    rendered = made(subject)
    assert names(rendered, r.HORIZONTAL_POD_AUTOSCALERS) == []
    assert names(rendered, x.SCALED_OBJECTS) == []
    deployment = next(c for c in rendered.children if c.resource == r.DEPLOYMENTS)
    assert deployment.replica_bounds is None
    assert deployment.initial_replicas == 1


@pytest.mark.parametrize(
    ("engine", "metric", "target"),
    [
        ({}, "cpu", 80),
        ({"scaleMetric": "memory", "scaleTarget": 60}, "memory", 60),
        ({"scaleTarget": 60, "annotations": {"ome.io/targetUtilizationPercentage": "9"}}, "cpu", 9),
        ({"annotations": {"ome.io/metrics": "memory"}}, "memory", 80),
        ({"scaleMetric": "rps"}, "cpu", 80),
    ],
)
def test_the_hpa_measures_what_it_can(engine: Object, metric: str, target: int) -> None:
    rendered = made(service(engine=engine))
    spec = child(rendered, r.HORIZONTAL_POD_AUTOSCALERS, "chat-engine")["spec"]
    resource = spec["metrics"][0]["resource"]
    assert (resource["name"], resource["target"]["averageUtilization"]) == (metric, target)
    assert bool(rendered.warnings) is (engine.get("scaleMetric") == "rps")


# --- zero -----------------------------------------------------------------------------------------


def _initial(rendered: Rendered) -> tuple[int | None, str]:
    deployment = next(c for c in rendered.children if c.resource == r.DEPLOYMENTS)
    return deployment.initial_replicas, rendered.components["engine"].at_zero


def test_zero_replicas_that_nothing_would_start_are_one_with_a_warning() -> None:
    nothing = Capabilities(frozenset({r.INGRESSES}))
    rendered = made(service(engine={"minReplicas": 0}), capabilities=nothing)
    assert _initial(rendered) == (1, "")
    assert "one is kept. Scaling from zero takes Knative, KEDA" in rendered.warnings[0]
    deployment = next(c for c in rendered.children if c.resource == r.DEPLOYMENTS)
    assert deployment.replica_bounds == (1, 3), "also where somebody scales it to zero by hand"


@pytest.mark.parametrize(
    ("engine", "config", "starts"),
    [
        ({}, from_zero(), "a request starts it"),
        ({"kedaConfig": {"enableKeda": True}}, None, "KEDA starts it when its query says so"),
        (
            {"annotations": {"ome.io/autoscalerClass": "external"}},
            None,
            "whoever scales it (ome.io/autoscalerClass: external) starts it",
        ),
    ],
)
def test_zero_stays_zero_where_something_starts_the_first(
    engine: Object, config: OperatorSettings | None, starts: str
) -> None:
    kinds = Capabilities(frozenset({r.INGRESSES, x.SCALED_OBJECTS}))
    rendered = made(service(engine={"minReplicas": 0, **engine}), config=config, capabilities=kinds)
    assert _initial(rendered) == (0, starts)
    assert rendered.warnings == ()


def test_groups_at_zero_are_switched_off_and_no_autoscaler_is_expected() -> None:
    rendered = made(service(engine={"minReplicas": 0}), runtime=gpu_runtime())
    group = child(rendered, x.LEADER_WORKER_SETS, "lws-chat-engine")
    assert group["spec"]["replicas"] == 0
    assert (rendered.components["engine"].least, rendered.components["engine"].at_zero) == (0, "")
