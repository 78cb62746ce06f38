"""What a runtime says it can serve, and what a model says it is: seen in the selection."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import DEPRECATED, REFUSED, Case, case
from tests.contract.effects_components import RUNTIMES
from tests.contract.effects_predictor import predictor
from tests.contract.effects_service import CONSTRAINTS, accelerated
from tests.contract.world import Seen, World
from tests.fakes import objects as make

MODELS = "BaseModel ClusterBaseModel"
ENTRY = "spec.supportedModelFormats[]"
PIPELINE: dict[str, Any] = {
    "className": "QwenImagePipeline",
    **{
        part: {"library": "diffusers", "type": "Old"}
        for part in ("scheduler", "textEncoder", "tokenizer", "transformer", "vae")
    },
    "additionalComponents": {"upscaler": {"library": "diffusers", "type": "Old"}},
}


def misses(code: str) -> Callable[[Seen], bool]:
    """Whether the nearest runtime fails by this criterion."""
    return lambda seen: code in seen.mismatches


def cases() -> Iterator[Case]:
    yield from _entries()
    yield from _runtime()
    yield from _pipeline()
    yield from _requirements()
    yield from _models()


def rival() -> World:
    """Another runtime fits equally well, and its name sorts first."""
    world = World()
    other = make.runtime("aa")
    other["kind"], other["metadata"]["namespace"] = "ServingRuntime", "default"
    cluster = make.runtime("ab")
    world.others += [other, cluster]
    return world


def _rival_of(kind: str) -> Callable[[], World]:
    def made() -> World:
        world = rival()
        keep = world.others[0] if kind == "ServingRuntime" else world.others[1]
        world.others = [keep]
        return world

    return made


def _newer_runtime(part: str) -> Callable[[], World]:
    def made() -> World:
        world = World()
        world.runtime["spec"]["supportedModelFormats"][0][part]["version"] = "9.0.0"
        return world

    return made


def _two_entries() -> World:
    world = World()
    entries = world.runtime["spec"]["supportedModelFormats"]
    entries.append({**entries[0], "name": "same", "priority": 3})
    return world


def _entries() -> Iterator[Case]:
    yield from case(
        RUNTIMES, f"{ENTRY}.name", "same", lambda s: s.refusals, base=_two_entries,
        expected=["spec.supportedModelFormats[1].priority"],
    )  # fmt: skip
    for part, what in (("modelFormat", "Format"), ("modelFramework", "Framework")):
        path = f"{ENTRY}.{part}"
        yield from case(RUNTIMES, f"{path}.name", "onnx", misses(f"Model{what}"), expected=True)
        yield from case(
            RUNTIMES, f"{path}.version", "2.0.0", misses(f"{what}Version"), expected=True
        )
        yield from case(
            RUNTIMES, f"{path}.operator", "GreaterThanOrEqual", lambda s: s.winner,
            base=_newer_runtime(part), expected="rt",
        )  # fmt: skip
        for kind in RUNTIMES.split():
            yield from case(
                kind, f"{path}.weight", 50, lambda s: s.winner, base=_rival_of(kind),
                expected="rt",
            )  # fmt: skip
    for kind in RUNTIMES.split():
        yield from case(
            kind, f"{ENTRY}.priority", 5, lambda s: s.winner, base=_rival_of(kind), expected="rt"
        )
    yield from case(
        RUNTIMES, f"{ENTRY}.modelArchitecture", "OtherForCausalLM", misses("Architecture"),
        expected=True,
    )  # fmt: skip
    yield from case(RUNTIMES, f"{ENTRY}.quantization", "fp8", misses("Quantization"), expected=True)
    yield from case(RUNTIMES, f"{ENTRY}.autoSelect", False, misses("AutoSelect"), expected=True)
    for name, value in (("modelType", "llama"), ("version", "7")):
        yield from case(
            RUNTIMES, f"{ENTRY}.{name}", value,
            lambda s, name=name: s.warned(f"supportedModelFormats[0].{name} is deprecated"),
            expected=True, state=DEPRECATED, why="superseded by modelFormat; a warning says so",
        )  # fmt: skip


def _runtime() -> Iterator[Case]:
    yield from case(RUNTIMES, "spec.disabled", True, misses("RuntimeDisabled"), expected=True)
    for side, value in (("min", "7B"), ("max", "100M")):
        yield from case(
            RUNTIMES, f"spec.modelSizeRange.{side}", value, misses("ModelSize"), expected=True
        )

    def speaks() -> World:
        world = predictor()
        world.service["spec"]["predictor"]["model"]["protocolVersion"] = "openInference-v2"
        return world

    yield from case(
        RUNTIMES, "spec.protocolVersions", ["openAI"], misses("Protocol"), base=speaks,
        expected=True,
    )  # fmt: skip


def _pipeline_runtime() -> World:
    """The runtime takes any pipeline that has an upscaler."""
    world = World()
    world.model["spec"]["diffusionPipeline"] = copy.deepcopy(PIPELINE)
    entry = world.runtime["spec"]["supportedModelFormats"][0]
    entry["diffusionPipeline"] = {"additionalComponents": {"upscaler": {}}}
    return world


def _strict() -> World:
    """The runtime takes exactly the model's pipeline."""
    world = World()
    entry = world.runtime["spec"]["supportedModelFormats"][0]
    entry["diffusionPipeline"] = copy.deepcopy(PIPELINE)
    world.model["spec"]["diffusionPipeline"] = copy.deepcopy(PIPELINE)
    return world


def _pipeline() -> Iterator[Case]:
    """A part that differs keeps the runtime from fitting, on either side."""
    parts = ("scheduler", "textEncoder", "tokenizer", "transformer", "vae")
    holders = [*parts, "additionalComponents{}"]
    for kinds, prefix, base in (
        (RUNTIMES, f"{ENTRY}.diffusionPipeline", _pipeline_runtime),
        (MODELS, "spec.diffusionPipeline", _strict),
    ):
        yield from case(
            kinds, f"{prefix}.className", "OtherPipeline", misses("DiffusionPipeline"),
            base=base, expected=True,
        )  # fmt: skip
        for holder in holders:
            for key, value in (("library", "other"), ("type", "New")):
                yield from case(
                    kinds, f"{prefix}.{holder}.{key}", value, misses("DiffusionPipeline"),
                    base=base, expected=True,
                )  # fmt: skip


def _requirements() -> Iterator[Case]:
    path = "spec.acceleratorRequirements"

    def asks(policy: str) -> Callable[[], World]:
        def made() -> World:
            world = accelerated()
            world.service["spec"]["acceleratorSelector"] = {"policy": policy}
            return world

        return made

    def names_one() -> World:
        world = accelerated()
        del world.runtime["spec"]["acceleratorRequirements"]
        world.service["spec"]["acceleratorSelector"] = {"acceleratorClass": "h100"}
        return world

    yield from case(
        RUNTIMES, f"{path}.acceleratorClasses", ["h100"], lambda s: s.winner, base=names_one,
        expected="rt",
    )  # fmt: skip
    for name, value, policy, wins in CONSTRAINTS:
        if name in ("maxMemory", "excludedClasses", "architectureFamilies"):
            continue
        yield from case(
            RUNTIMES, f"{path}.{name}", value, lambda s: s.chosen(), base=asks(policy),
            expected=wins,
        )  # fmt: skip


# --- the model's side -----------------------------------------------------------------------------


def _models() -> Iterator[Case]:
    for name, value, code in (
        ("modelFormat.name", "onnx", "ModelFormat"),
        ("modelFormat.version", "2.0.0", "FormatVersion"),
        ("modelFramework.name", "onnx", "ModelFramework"),
        ("modelFramework.version", "2.0.0", "FrameworkVersion"),
        ("modelArchitecture", "OtherForCausalLM", "Architecture"),
        ("quantization", "fp8", "Quantization"),
    ):
        yield from case(MODELS, f"spec.{name}", value, misses(code), expected=True)

    def sized() -> World:
        world = World()
        world.runtime["spec"]["modelSizeRange"] = {"max": "1B"}
        return world

    yield from case(
        MODELS, "spec.modelParameterSize", "7B", misses("ModelSize"), base=sized, expected=True
    )
    yield from case(
        MODELS, "spec.disabled", True, lambda s: s.problem, expected="BaseModelDisabled"
    )
    for part in ("modelFormat", "modelFramework"):
        for name, value in (("operator", "GreaterThan"), ("weight", 7)):
            path = f"spec.{part}.{name}"
            yield from case(
                MODELS, path, value,
                lambda s, path=path: s.warned(f"{path} has no effect in a model"),
                expected=True, state=REFUSED,
                why="runtimes say how they compare versions and what a match counts; in a model it "
                "has no effect, and a warning says so",
            )  # fmt: skip
