"""The rest of a runtime: overrides by accelerator class; the older form without engineConfig."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import REFUSED, Case, Open, case
from tests.contract.effects_components import RUNTIMES
from tests.contract.effects_pods import POD, has
from tests.contract.effects_service import accelerated
from tests.contract.world import Seen, World

from ome.api.runtime import POD_FIELDS

OPEN_PLACES = (
    Open(
        RUNTIMES,
        r"spec\.supportedModelFormats\[\]\.acceleratorConfig\{\}\.minMemoryPerBillionParams",
        "sizing: will the model fit into the accelerators' memory",
    ),
)
OVERRIDES = "spec.supportedModelFormats[].acceleratorConfig{}"


def cases() -> Iterator[Case]:
    yield from _overrides()
    yield from _idle_overrides()
    yield from _older_form()


# --- overrides by accelerator class ---------------------------------------------------------------


def _with_class() -> World:
    """The service names the class ``h100``, and the engine has flags for parallelism."""
    world = accelerated()
    world.service["spec"]["acceleratorSelector"] = {"acceleratorClass": "h100"}
    world.runtime["spec"]["engineConfig"]["runner"]["args"] = [
        "--tp-size=1", "--pp-size=1", "--dp-size=1", "--memory=0.9",
    ]  # fmt: skip
    return world


def _overrides() -> Iterator[Case]:
    for name, flag in (
        ("tensorParallelSize", "--tp-size=4"),
        ("pipelineParallelSize", "--pp-size=4"),
        ("dataParallelSize", "--dp-size=4"),
    ):
        yield from case(
            RUNTIMES, f"{OVERRIDES}.tensorParallelismOverride.{name}", 4,
            lambda s, flag=flag: flag in s.main()["args"], base=_with_class, expected=True,
        )  # fmt: skip
    yield from case(
        RUNTIMES, f"{OVERRIDES}.runtimeArgsOverride", ["--memory=0.5"],
        lambda s: s.main()["args"][-1], base=_with_class, expected="--memory=0.5",
    )  # fmt: skip
    yield from case(
        RUNTIMES, f"{OVERRIDES}.environmentOverride", {"NCCL_DEBUG": "WARN"},
        lambda s: s.env().get("NCCL_DEBUG"), base=_with_class, expected="WARN",
    )  # fmt: skip


def _idle_overrides() -> Iterator[Case]:
    """acceleratorOverride is a service's word; in a runtime it is said to have no effect."""
    lists = ("requiredFeatures", "excludedClasses", "architectureFamilies", "preferredPrecisions")
    values: dict[str, Any] = {
        "acceleratorClass": "h100",
        "policy": "BestFit",
        **{f"constraints.{name}": ["x"] for name in lists},
        "constraints.minMemory": 1,
        "constraints.maxMemory": 1,
        "constraints.minComputePerformanceTFLOPS": 1,
        "constraints.minArchitectureVersion": "9.0",
    }
    for part in ("engineConfig", "decoderConfig"):
        path = f"spec.{part}.acceleratorOverride"
        for name, value in values.items():
            yield from case(
                RUNTIMES, f"{path}.{name}", value,
                lambda s, path=path: s.warned(f"{path} has no effect"), expected=True,
                state=REFUSED,
                why="which accelerator to take is the service's word; a runtime states what it "
                "needs in acceleratorRequirements, and a warning says so",
            )  # fmt: skip


# --- the older form -------------------------------------------------------------------------------


def older() -> World:
    world = World()
    runner = world.runtime["spec"].pop("engineConfig")["runner"]
    world.runtime["spec"]["containers"] = [runner]
    return world


def _older_form() -> Iterator[Case]:
    def without_containers() -> World:
        world = older()
        del world.runtime["spec"]["containers"]
        return world

    two = [{"name": "engine", "image": "old:1"}, {"name": "side", "image": "side:1"}]
    yield from case(
        RUNTIMES, "spec.containers", two, lambda s: [c["image"] for c in s.pod()["containers"]],
        base=without_containers, expected=["side:1", "old:1"],
    )  # fmt: skip

    def images(seen: Seen) -> list[str]:
        return [item["image"] for item in seen.pod("engine", "worker")["containers"]]

    group = {"spec.workers": {"size": 1, "containers": [{"name": "w", "image": "worker:1"}]}}
    yield from case(
        RUNTIMES, "spec.workers.containers", two, images, base=older,
        expected=["side:1", "old:1"], also={"spec.workers": {"size": 1}},
    )  # fmt: skip
    yield from case(
        RUNTIMES, "spec.workers.size", 3,
        lambda s: s.child("LeaderWorkerSet", "lws-chat-engine")["spec"]["leaderWorkerTemplate"][
            "size"
        ],
        base=older, expected=4,
    )  # fmt: skip
    roles: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("spec", "", {}),
        ("spec.workers", "worker", group),
    )
    for path, role, also in roles:
        template: Callable[[Seen], Any] = lambda s, role=role: s.template("engine", role)  # noqa: E731
        for name in POD_FIELDS:
            if name == "containers":
                continue
            yield from case(
                RUNTIMES, f"{path}.{name}", POD[name],
                has(lambda s, template=template: template(s)["spec"], name, POD[name]),
                base=older, expected=True, also=also,
            )  # fmt: skip
        for what in ("labels", "annotations"):
            yield from case(
                RUNTIMES, f"{path}.{what}", {"team": "search"},
                lambda s, t=template, what=what: t(s)["metadata"].get(what, {}).get("team"),
                base=older, expected="search", also=also,
            )  # fmt: skip
