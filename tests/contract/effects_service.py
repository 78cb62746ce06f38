"""What a service refers to: its model, its runtime, the accelerator it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import REFUSED, Case, case
from tests.contract.world import Seen, World, accelerator
from tests.fakes import objects as make

KIND = "InferenceService"
CLASSES = ["a10", "h100", "l4"]


def cases() -> Iterator[Case]:
    yield from _model()
    yield from _runtime()
    yield from selector(KIND, "spec.acceleratorSelector", "engine")
    for component in ("engine", "decoder"):
        yield from selector(KIND, f"spec.{component}.acceleratorOverride", component)


# --- model and runtime ----------------------------------------------------------------------------


def _two_models() -> World:
    world = World()
    same = make.model(storage={"storageUri": "hf://example/own", "path": "/raid/models/own"})
    same["kind"] = "BaseModel"
    same["metadata"]["namespace"] = "default"
    world.others += [make.model("other"), same]
    return world


def _model() -> Iterator[Case]:
    yield from case(
        KIND, "spec.model.name", "other",
        lambda s: s.template()["metadata"]["labels"]["base-model-name"], base=_two_models,
    )  # fmt: skip
    yield from case(
        KIND, "spec.model.kind", "BaseModel", lambda s: s.env()["MODEL_PATH"],
        base=_two_models, expected="/raid/models/own",
    )  # fmt: skip
    yield from _foreign("model")
    yield from case(
        KIND, "spec.model.fineTunedWeights", ["tuned"],
        lambda s: s.template()["metadata"]["annotations"]["ome.io/inject-fine-tuned-adapter"],
        expected="tuned",
    )  # fmt: skip


def _foreign(what: str) -> Iterator[Case]:
    path = f"spec.{what}.apiGroup"
    yield from case(
        KIND, path, "example.com", lambda s: (s.problem, path in s.refusals),
        expected=("InvalidSpec", True), state=REFUSED, also={f"spec.{what}.name": "rt"},
        why="only ome.io has models and runtimes; another group is refused",
    )  # fmt: skip


def _two_runtimes() -> World:
    world = World()
    same = make.runtime(image="own:1")
    same["kind"] = "ServingRuntime"
    same["metadata"]["namespace"] = "default"
    world.others += [make.runtime("zz-other"), same]
    return world


def _runtime() -> Iterator[Case]:
    yield from case(KIND, "spec.runtime.name", "zz-other", lambda s: s.winner, base=_two_runtimes)
    yield from case(
        KIND, "spec.runtime.kind", "ServingRuntime", lambda s: s.main()["image"],
        base=_two_runtimes, expected="own:1", also={"spec.runtime.name": "rt"},
    )  # fmt: skip
    yield from _foreign("runtime")


# --- accelerators ---------------------------------------------------------------------------------


def classes() -> list[dict[str, Any]]:
    """An older, a newer and a small class; the older is listed first by runtimes."""

    def capable(memory: int, version: str, features: list[str], **speed: int) -> dict[str, Any]:
        return {
            "capabilities": {
                "memoryGB": f"{memory}Gi",
                "computeCapability": version,
                "features": features,
                "performance": speed,
            }
        }

    return [
        accelerator("a10", "ampere", 24, **capable(24, "8.6", [], fp16Tflops=125)),
        accelerator(
            "h100", "hopper", 80,
            **capable(80, "9.0", ["nvlink"], fp16Tflops=989, int8Tops=1979),
        ),
        accelerator("l4", "ada", 16, **capable(16, "8.9", [], fp16Tflops=121)),
    ]  # fmt: skip


def accelerated() -> World:
    world = World(accelerators=classes())
    world.runtime["spec"]["acceleratorRequirements"] = {"acceleratorClasses": list(CLASSES)}
    return world


def with_decoder() -> World:
    world = accelerated()
    world.service["spec"]["decoder"] = {}
    world.runtime["spec"]["decoderConfig"] = {"runner": {"name": "d", "image": "engine:1"}}
    return world


CONSTRAINTS: tuple[tuple[str, Any, str, str], ...] = (
    ("minMemory", 40, "FirstAvailable", "h100"),
    ("maxMemory", 20, "FirstAvailable", "l4"),
    ("minComputePerformanceTFLOPS", 900, "BestFit", "h100"),
    ("minArchitectureVersion", "9.0", "FirstAvailable", "h100"),
    ("requiredFeatures", ["nvlink"], "FirstAvailable", "h100"),
    ("excludedClasses", ["a10"], "FirstAvailable", "h100"),
    ("architectureFamilies", ["hopper"], "FirstAvailable", "h100"),
    ("preferredPrecisions", ["fp8", "fp16"], "BestFit", "h100"),
)
"""Constraint, value, policy and the class that is chosen then; without it that is a10."""


def selector(kinds: str, path: str, component: str) -> Iterator[Case]:
    base: Callable[[], World] = with_decoder if component == "decoder" else accelerated

    def chosen(seen: Seen) -> str:
        return seen.chosen(component)

    yield from case(kinds, f"{path}.acceleratorClass", "h100", chosen, base=base)
    yield from case(kinds, f"{path}.policy", "MostCapable", chosen, base=base, expected="h100")
    for name, value, policy, wins in CONSTRAINTS:
        yield from case(
            kinds, f"{path}.constraints.{name}", value, chosen,
            base=base, expected=wins, also={f"{path}.policy": policy},
        )  # fmt: skip
