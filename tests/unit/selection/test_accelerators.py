from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.objects import runtime, service

from ome.selection.accelerators import AcceleratorChoice, choose_accelerator

Object = dict[str, Any]


def accelerator(name: str, memory: str, **spec: Any) -> Object:
    capabilities = {"memoryGB": memory, **spec.pop("capabilities", {})}
    return {"metadata": {"name": name}, "spec": {"capabilities": capabilities, **spec}}


CLASSES = {
    obj["metadata"]["name"]: obj
    for obj in (
        accelerator(
            "small",
            "24Gi",
            vendor="nvidia",
            family="ada",
            cost={"perHour": "1"},
            capabilities={"computeCapability": "8.9", "performance": {"fp16Tflops": 100}},
        ),
        accelerator(
            "large",
            "80Gi",
            vendor="nvidia",
            family="hopper",
            cost={"perHour": "9", "spotPerHour": "3"},
            capabilities={
                "computeCapability": "9.0",
                "features": ["NVLink"],
                "performance": {"fp16Tflops": 900},
            },
        ),
        accelerator(
            "next",
            "192",
            vendor="nvidia",
            family="blackwell",
            capabilities={"computeCapability": "10.0", "performance": {"fp16Tflops": 2000}},
        ),
    )
}


def choose(
    selector: Object, listed: tuple[str, ...] = ("small", "large", "next")
) -> AcceleratorChoice:
    wants = runtime()
    wants["spec"]["acceleratorRequirements"] = {"acceleratorClasses": list(listed)}
    return choose_accelerator(service(acceleratorSelector=selector), "engine", wants, CLASSES)


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ({}, ""),
        ({"acceleratorClass": "large", "policy": "Cheapest"}, "large"),
        ({"policy": "BestFit", "constraints": {"minMemory": 40}}, "large"),
        ({"policy": "BestFit"}, "small"),  # nothing to fit: all tie, the first listed
        ({"policy": "Cheapest"}, "small"),
        ({"policy": "MostCapable"}, "next"),
        ({"policy": "FirstAvailable", "constraints": {"excludedClasses": ["small"]}}, "large"),
        ({"policy": "Cheapest", "constraints": {"minArchitectureVersion": "10.0"}}, "next"),
        (
            {"policy": "Cheapest", "constraints": {"architectureFamilies": ["NVIDIA-Hopper"]}},
            "large",
        ),
        ({"policy": "Cheapest", "constraints": {"requiredFeatures": ["nvlink"]}}, "large"),
        ({"policy": "Cheapest", "constraints": {"minMemory": 100}}, "next"),
    ],
)
def test_the_policy_chooses_among_what_satisfies_the_constraints(
    selector: Object, name: str
) -> None:
    assert choose(selector).name == name


def test_nothing_is_chosen_where_the_runtime_lists_nothing() -> None:
    given = service(acceleratorSelector={"acceleratorClass": "large"})
    assert choose_accelerator(given, "engine", runtime(), CLASSES) == AcceleratorChoice()


def test_the_components_own_wish_goes_first() -> None:
    wants = runtime()
    wants["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["small", "large"]}
    given = service(
        acceleratorSelector={"acceleratorClass": "small"},
        engine={"acceleratorOverride": {"acceleratorClass": "large"}},
    )
    assert choose_accelerator(given, "engine", wants, CLASSES).name == "large"


def test_a_class_that_does_not_exist_is_waited_for_and_a_policy_without_result_says_why() -> None:
    missing = choose({"acceleratorClass": "h9000"}).problem
    assert missing is not None
    assert missing.code == "AcceleratorClassNotFound"
    nothing = choose({"policy": "BestFit", "constraints": {"minMemory": 999}}, ("small", "ghost"))
    assert nothing.problem is not None
    assert "24 GiB" in nothing.problem.message
    assert "ghost: it does not exist" in nothing.problem.message
