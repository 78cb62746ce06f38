"""What admission refuses because Kubernetes would, were it only later, and what it lets be."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.view import FixedView

from ome.admission import OmeAdmission
from ome.admission.templates import SMALL
from ome.api import resources as o
from ome.api.crds import crd

Object = dict[str, Any]


def review(spec: Any, **metadata: Any) -> list[tuple[str, str]]:
    obj = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "s", "namespace": "d", **metadata},
        "spec": spec,
    }
    found = OmeAdmission().review("CREATE", o.INFERENCE_SERVICES, obj, None, FixedView())
    return [(error.path, error.message) for error in found.errors]


def engine(**fields: Any) -> Object:
    return {"model": {"name": "m"}, "engine": fields}


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        (engine(maxReplicas=2**31), "spec.engine.maxReplicas", "more than Kubernetes"),
        (engine(worker={"size": 2**31}), "spec.engine.worker.size", "more than Kubernetes counts"),
        (engine(minAvailable=1, maxUnavailable="50%"), "spec.engine.maxUnavailable", "remove one"),
        (engine(ephemeralContainers=[]), "spec.engine.ephemeralContainers", "kubectl debug"),
        (
            {"predictor": {"minReplicas": 1, "ephemeralContainers": []}, **engine()},
            "spec.predictor.ephemeralContainers",
            "kubectl debug",
        ),
        (
            {"predictor": {"workerSpec": {"ephemeralContainers": []}}, **engine()},
            "spec.predictor.workerSpec.ephemeralContainers",
            "kubectl debug",
        ),
        (
            engine(evictionResponders=[{"name": "a", "priority": -(2**31) - 1}]),
            "spec.engine.evictionResponders[0].priority",
            "-2147483649 must be between -2147483648 and 2147483647",
        ),
        (
            engine(worker={"restartPolicyRules": [{"exitCodes": {"values": [1, 2**31]}}]}),
            "spec.engine.worker.restartPolicyRules[0].exitCodes.values[1]",
            "pods hold 32 bits here",
        ),
        (
            engine(runner={"resources": {"limits": {"cpu": "1e1.5"}}}),
            "spec.engine.runner.resources.limits.cpu",
            "'1e1.5' is no amount that Kubernetes reads; write for example 500m, 4 or 1.5Gi",
        ),
        (
            engine(containers=[{"name": "a", "resources": {"requests": {"memory": "0" * 500}}}]),
            "spec.engine.containers[0].resources.requests.memory",
            "is no amount",
        ),
    ],
)  # fmt: skip
def test_what_kubernetes_would_refuse_is_refused_here(spec: Object, path: str, said: str) -> None:
    found = review(spec)
    assert [where for where, _ in found] == [path]
    assert said in found[0][1]


def test_amounts_of_every_notation_pass() -> None:
    amounts = ("1", 1, 0.5, "500m", "1.5Gi", "1e3", "1E3", "+1", "0.1", ".5", "5.", "100n")
    for amount in amounts:
        assert review(engine(runner={"resources": {"limits": {"cpu": amount}}})) == []


def test_a_null_is_no_amount_at_all_as_for_the_api_server() -> None:
    assert review(engine(runner={"resources": {"limits": {"cpu": None}}})) == []


def test_nulls_are_as_good_as_nothing() -> None:
    """API servers drop them before they ask; a rule that stumbles over one must not refuse."""
    assert review(None, annotations=None, labels={}) == []
    assert review({**engine(runner={"env": None}), "predictor": {"minReplicas": None}}) == []


def test_messages_stay_short_whatever_they_quote() -> None:
    found = review(engine(), annotations={"ome.io/autoscalerClass": "a\x00" * 100_000})
    assert len(found) == 1
    assert len(found[0][1]) < 2500
    assert found[0][1].isprintable()


def test_the_names_of_small_numbers_are_those_of_the_schema() -> None:
    """But for names that also a field of 64 bits has."""
    small: set[str] = set()
    large: set[str] = set()

    def walk(schema: Object, name: str) -> None:
        if schema.get("type") == "integer":
            (small if schema.get("format") == "int32" else large).add(name)
        for key, inner in (schema.get("properties") or {}).items():
            walk(inner, key)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                walk(schema[key], name)

    for kind in (o.INFERENCE_SERVICES, o.CLUSTER_SERVING_RUNTIMES):
        version = crd(kind)["spec"]["versions"][0]
        walk(version["schema"]["openAPIV3Schema"]["properties"]["spec"], "spec")
    assert small - large == SMALL
