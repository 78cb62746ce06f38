"""AcceleratorClass: found on nodes, chosen by policies, added to pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import DEPRECATED, Case, case, written
from tests.contract.effects_models import column, described
from tests.contract.effects_pods import TERM
from tests.contract.world import NOW, Seen, World, accelerator, node

from ome.api.constants import A_VOLCANO_GPU_TYPE
from ome.controllers.accelerators import has_class

KIND = "AcceleratorClass"
PERFORMANCE = "spec.capabilities.performance"


def cases() -> Iterator[Case]:
    yield from _discovery()
    yield from _capabilities()
    yield from _resources()
    yield from _cost()
    yield from _status()
    yield from case(KIND, "spec.vendor", "intel", column("Vendor"))
    yield from _queues()
    yield from case(
        KIND, "spec.model", "h100-sxm", described("Product"), expected="nvidia hopper h100-sxm",
        also={"spec.vendor": "nvidia", "spec.family": "hopper"},
    )  # fmt: skip
    yield from case(
        KIND,
        "spec.family",
        "hopper",
        _chosen,
        base=_asking("FirstAvailable", architectureFamilies=["hopper"]),
        expected="one",
    )


def _queues() -> Iterator[Case]:
    path = "spec.integration"
    yield from case(
        KIND, f"{path}.volcanoGPUType", "NVIDIA-H100",
        lambda s: s.template()["metadata"]["annotations"].get(A_VOLCANO_GPU_TYPE), base=_queued,
        expected="NVIDIA-H100",
    )  # fmt: skip
    yield from case(
        KIND, f"{path}.kueueResourceFlavor", "h100",
        lambda s: s.warned("kueueResourceFlavor has no effect"), expected=True, state=DEPRECATED,
        why="Kueue takes the flavor whose node labels pods ask for; a warning says so",
    )  # fmt: skip


def _queued() -> World:
    """A service that takes a class by name, and whose pods go through a queue."""
    world = _named()
    world.service["metadata"].setdefault("annotations", {})["ome.io/volcano-queue"] = "gpus"
    return world


def _asking(policy: str, **constraints: Any) -> Callable[[], World]:
    """A service that asks for one of two classes; the case is about the one listed second."""

    def made() -> World:
        world = World(
            accelerators=[accelerator("one", "ampere", 24), accelerator("two", "ampere", 24)]
        )
        world.runtime["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["two", "one"]}
        world.service["spec"]["acceleratorSelector"] = {
            "policy": policy,
            "constraints": constraints,
        }
        return world

    return made


def _chosen(seen: Seen) -> str:
    return seen.chosen()


# --- discovery ------------------------------------------------------------------------------------


def _named() -> World:
    world = _asking("FirstAvailable")()
    world.service["spec"]["acceleratorSelector"] = {"acceleratorClass": "one"}
    return world


def _found_by_labels() -> World:
    """A node with a device, and a class that says nothing of nodes yet."""
    label = "feature.node.kubernetes.io/pci-0302_10de_2330.present"
    bare = accelerator("one", "hopper", 80, discovery={}, resources=[])
    return World(accelerators=[bare], node=node(**{label: "true"}))


def _discovery() -> Iterator[Case]:
    yield from case(
        KIND, "spec.discovery.nodeSelector", {"pool": "h100"},
        lambda s: s.pod()["nodeSelector"].get("pool"), base=_named, expected="h100",
    )  # fmt: skip
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": TERM}}
    yield from case(
        KIND, "spec.discovery.affinity", affinity, lambda s: s.pod().get("affinity"), base=_named
    )
    for name, value in (("pciVendorID", "10de"), ("deviceIDs", ["2330"])):
        yield from case(
            KIND, f"spec.discovery.{name}", value,
            lambda s: has_class(s.world.node, s.subject), base=_found_by_labels, expected=True,
        )  # fmt: skip


# --- capabilities ---------------------------------------------------------------------------------


def _capabilities() -> Iterator[Case]:
    path = "spec.capabilities"
    for name, value, base in (
        ("memoryGB", "80Gi", _asking("FirstAvailable", minMemory=40)),
        ("computeCapability", "9.0", _asking("FirstAvailable", minArchitectureVersion="9.0")),
        ("levelZeroVersion", "1.3", _asking("FirstAvailable", minArchitectureVersion="1.2")),
        ("features", ["nvlink"], _asking("FirstAvailable", requiredFeatures=["nvlink"])),
        ("memoryBandwidthGBps", "3350", _asking("MostCapable")),
        ("clockSpeedMHz", 1980, _asking("MostCapable")),
    ):
        yield from case(KIND, f"{path}.{name}", value, _chosen, base=base, expected="one")
    for name, precision in (
        ("fp32Tflops", "fp32"),
        ("fp16Tflops", "fp16"),
        ("int8Tops", "int8"),
        ("int4Tops", "int4"),
    ):
        yield from case(
            KIND, f"{PERFORMANCE}.{name}", 900, _chosen,
            base=_asking("MostCapable", preferredPrecisions=[precision]), expected="one",
        )  # fmt: skip
    wrong = f"{PERFORMANCE}.latency"
    yield from case(
        KIND, f"{PERFORMANCE}.latency.averageMillis", 200, lambda s: s.refusals,
        expected=[wrong], also={f"{PERFORMANCE}.latency.maximumMillis": 100},
    )  # fmt: skip
    yield from case(
        KIND, f"{PERFORMANCE}.latency.maximumMillis", 10, lambda s: s.refusals,
        expected=[wrong], also={f"{PERFORMANCE}.latency.averageMillis": 100},
    )  # fmt: skip


# --- resources, cost ------------------------------------------------------------------------------


def _resources() -> Iterator[Case]:
    def limits(seen: Seen) -> dict[str, Any]:
        return seen.main()["resources"]["limits"]  # type: ignore[no-any-return]

    yield from case(
        KIND, "spec.resources[].name", "example.com/gpu", lambda s: sorted(limits(s)),
        base=_named, expected=["example.com/gpu"],
    )  # fmt: skip
    yield from case(
        KIND, "spec.resources[].quantity", "4", lambda s: limits(s)["nvidia.com/gpu"],
        base=_named,
    )  # fmt: skip
    yield from case(
        KIND, "spec.resources[].divisible", True, lambda s: s.refusals, base=_named,
        expected=[], also={"spec.resources[].quantity": "500m"},
    )  # fmt: skip


def _cost() -> Iterator[Case]:
    for name, value in (
        ("perHour", "0.5"),
        ("spotPerHour", "0.5"),
        ("perMillionTokens", "0.5"),
        ("tier", "low"),
    ):
        yield from case(
            KIND, f"spec.cost.{name}", value, _chosen, base=_asking("Cheapest"), expected="one"
        )


# --- status ---------------------------------------------------------------------------------------


def _nodes_appear(world: World) -> None:
    world.node = node(gpu="one")


def _no_node() -> World:
    return World(accelerators=[accelerator("one", "hopper", 80)], node=node(gpu="other"))


def _status() -> Iterator[Case]:
    def at(name: str) -> Callable[[Seen], Any]:
        return lambda seen: seen.accelerator_status[name]

    def available(name: str) -> Callable[[Seen], Any]:
        return lambda seen: seen.accelerator_status["conditions"][0][name]

    for name, expected in (
        ("nodes", ["n1"]),
        ("totalAccelerators", 8),
        ("availableAccelerators", 8),
        ("availableNodes", 1),
    ):
        yield from written(KIND, f"status.{name}", expected, at(name), _nodes_appear, base=_no_node)
    path = "status.conditions[]"
    for name, expected in (
        ("status", "True"),
        ("reason", "NodesFound"),
        ("message", "1 of 1 nodes can be used"),
    ):
        yield from written(
            KIND, f"{path}.{name}", expected, available(name), _nodes_appear, base=_no_node
        )

    def nothing_changed(world: World) -> None:
        """The status is already what it would be."""
        status = world.seen().accelerator_status
        world.subject["status"] = {**status, "lastUpdated": "2025-01-01T00:00:00Z"}
        world.subject["status"]["conditions"] = [
            {**entry, "lastTransitionTime": "2025-01-01T00:00:00Z"}
            for entry in status["conditions"]
        ]

    for name, look in (
        ("status.lastUpdated", at("lastUpdated")),
        (f"{path}.lastTransitionTime", available("lastTransitionTime")),
    ):
        yield from written(KIND, name, "2025-01-01T00:00:00Z", look, nothing_changed, base=_no_node)

    def other_condition(world: World) -> None:
        world.subject["status"] = {
            "conditions": [{"type": "Own", "status": "True", "severity": "Info",
                            "lastTransitionTime": NOW, "observedGeneration": 4}]
        }  # fmt: skip

    def kept(name: str) -> Callable[[Seen], Any]:
        return lambda seen: seen.accelerator_status["conditions"][1].get(name)

    for name, expected in (("type", "Own"), ("severity", "Info"), ("observedGeneration", 4)):
        yield from written(
            KIND, f"{path}.{name}", expected, kept(name), other_condition, base=_no_node
        )
