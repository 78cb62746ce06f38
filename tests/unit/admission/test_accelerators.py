"""Which accelerator classes are refused, and which are only warned about."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.view import FixedView

from ome.admission import OmeAdmission, Review
from ome.api import resources as o

Object = dict[str, Any]


def review(old: Object | None = None, **spec: Any) -> Review:
    obj = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": "h100"},
        "spec": {
            "discovery": {"nodeSelector": {"gpu": "h100"}},
            "capabilities": {"memoryGB": "80Gi"},
            "resources": [{"name": "nvidia.com/gpu", "quantity": "1"}],
            **spec,
        },
    }
    operation = "UPDATE" if old else "CREATE"
    return OmeAdmission().review(operation, o.ACCELERATOR_CLASSES, obj, old, FixedView())


def test_a_complete_class_is_accepted() -> None:
    cost = {"perHour": 2.5, "perMillionTokens": "0.2", "spotPerHour": "1200m", "tier": "high"}
    latency = {"averageMillis": 20, "maximumMillis": 100}
    found = review(cost=cost, capabilities={"memoryGB": 80, "performance": {"latency": latency}})
    assert (found.errors, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"capabilities": {"memoryGB": "lots"}}, "spec.capabilities.memoryGB"),
        ({"capabilities": {"memoryBandwidthGBps": "-1"}}, "spec.capabilities.memoryBandwidthGBps"),
        ({"cost": {"spotPerHour": "-0.1"}}, "spec.cost.spotPerHour"),
        (
            {
                "capabilities": {
                    "performance": {"latency": {"averageMillis": 9, "maximumMillis": 1}}
                }
            },
            "spec.capabilities.performance.latency",
        ),
        (
            {"resources": [{"name": "nvidia.com/gpu", "quantity": "0.5"}]},
            "spec.resources[0].quantity",
        ),
        ({"resources": [{"name": "a/b"}, {"name": "a/b"}]}, "spec.resources[1].name"),
    ],
)
def test_what_can_not_be_meant_is_refused(spec: Object, field: str) -> None:
    assert [error.path for error in review(**spec).errors] == [field]


def test_a_class_that_finds_no_nodes_is_warned_about() -> None:
    assert "give nodeSelector" in review(discovery={}).warnings[0]
