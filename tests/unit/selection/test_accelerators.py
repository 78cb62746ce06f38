from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.objects import runtime, service

from ome.selection.accelerators import (
    AcceleratorChoice,
    Holds,
    Memory,
    choose_accelerator,
    memory_gib,
)
from ome.selection.explain import accelerator_lines

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


def test_every_reason_against_a_class_is_named_and_the_nearest_miss_too() -> None:
    wants = {"minMemory": 100, "requiredFeatures": ["nvlink"], "architectureFamilies": ["hopper"]}
    choice = choose({"policy": "BestFit", "constraints": wants}, ("small", "large"))
    small, large = choice.losers
    assert len(small.reasons) == 3
    assert large.reasons == ("it has 80 GiB of memory, wanted: at least 100",)
    assert choice.nearest_miss == large
    assert choice.problem is not None
    assert choice.problem.fix == "large would fit with minMemory: 80"


# --- memory -------------------------------------------------------------------------------------


def holds(needed: float) -> Memory:
    def judge(obj: Object) -> Holds:
        has = memory_gib(obj)
        text = f"needs {needed:g} GiB, has {has:g} GiB"
        return Holds(has >= needed, text, "would fit with tensor-parallel-size 2", needed)

    return judge


def choose_for(needed: float, selector: Object, *, current: str = "") -> AcceleratorChoice:
    wants = runtime()
    wants["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["next", "large", "small"]}
    given = service(acceleratorSelector=selector)
    return choose_accelerator(given, "engine", wants, CLASSES, holds(needed), current)


@pytest.mark.parametrize(
    ("policy", "needed", "name"),
    [
        ("BestFit", 20, "small"),
        ("BestFit", 60, "large"),
        ("BestFit", 100, "next"),
        ("Cheapest", 60, "large"),
        ("MostCapable", 60, "next"),
        ("FirstAvailable", 60, "next"),
    ],
)
def test_a_class_too_small_for_the_model_is_no_candidate(
    policy: str, needed: float, name: str
) -> None:
    choice = choose_for(needed, {"policy": policy})
    assert choice.name == name
    assert choice.memory is not None and choice.memory.fits
    assert {loser.name for loser in choice.losers} == {"small", "large", "next"} - {name}


def test_where_the_model_fits_nowhere_it_is_said_what_would_help() -> None:
    problem = choose_for(300, {"policy": "Cheapest"}).problem
    assert problem is not None and problem.code == "NoAcceleratorFits"
    assert "large: needs 300 GiB, has 80 GiB" in problem.message
    assert problem.fix == "next would fit with tensor-parallel-size 2"


def test_a_class_named_by_hand_is_used_with_a_warning() -> None:
    choice = choose_for(100, {"acceleratorClass": "large"})
    assert (choice.name, choice.problem) == ("large", None)
    assert choice.warning == (
        "accelerator class large is too small: needs 100 GiB, has 80 GiB; "
        "would fit with tensor-parallel-size 2"
    )


def test_what_is_not_known_refuses_nothing() -> None:
    wants = runtime()
    wants["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["small"]}
    given = service(acceleratorSelector={"policy": "Cheapest"})
    unknown = choose_accelerator(
        given, "engine", wants, CLASSES, lambda _: Holds(None, "unknown: its size")
    )
    assert unknown.name == "small"
    assert accelerator_lines("engine", unknown) == [
        "accelerator of the engine: small (Cheapest: 1 per hour)",
        "  memory: unknown: its size",
    ]


def test_what_runs_keeps_its_class() -> None:
    kept = choose_for(20, {"policy": "Cheapest"}, current="next")
    assert kept.name == "next"
    assert kept.reason == "it is in use; Cheapest would choose small for a new service"
    assert choose_for(300, {"policy": "Cheapest"}, current="large").name == "large"
    constrained = {"policy": "Cheapest", "constraints": {"excludedClasses": ["next"]}}
    assert choose_for(20, constrained, current="next").name == "small"


def test_the_explanation_names_winner_losers_and_nearest_miss() -> None:
    choice = choose_for(60, {"policy": "BestFit", "constraints": {"requiredFeatures": ["nvlink"]}})
    assert accelerator_lines("engine", choice) == [
        "accelerator of the engine: large (BestFit: 0.82 of 1, 80 GiB)",
        "  memory: needs 60 GiB, has 80 GiB",
        "  next: it lacks nvlink",
        "  small: it lacks nvlink; needs 60 GiB, has 24 GiB",
        "nearest miss: next would fit without requiredFeatures in "
        "spec.acceleratorSelector.constraints",
    ]
