"""AcceleratorClass: a type of accelerator, how its nodes are found, and what it can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ome.api.fields import ATOMIC, Affinity, Field, Int32, Int64, Quantity, Time
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.model import Condition


class AcceleratorDiscovery(Lens, frozen=True, kw_only=True, rename="camel"):
    """How nodes with this accelerator are recognised."""

    node_selector: Annotated[
        dict[str, str],
        Field(
            "Labels of such nodes; also added to pods.",
            default="none",
            example={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        ),
    ] = {}
    affinity: Annotated[
        Affinity | None, Field("Affinity that is added to pods.", default="none")
    ] = None
    pci_vendor_id: Annotated[
        str | None,
        Field(
            "PCI number of the vendor. Without nodeSelector and affinity, nodes are found by it "
            "in the labels of Node Feature Discovery.",
            default="none",
            example="10de",
        ),
    ] = msgspec.field(name="pciVendorID", default=None)
    device_ids: Annotated[
        tuple[str, ...],
        Field(
            "PCI numbers of the devices, looked for like pciVendorID; any of them will do.",
            default="none",
            example=["2330"],
            schema=ATOMIC,
        ),
    ] = msgspec.field(name="deviceIDs", default=())


class AcceleratorLatency(Lens, frozen=True, kw_only=True, rename="camel"):
    """How quickly it answers."""

    average_millis: Annotated[
        Int64 | None,
        Field(
            "Time that it usually takes to answer.",
            unit="milliseconds",
            default="unknown",
            example=20,
        ),
    ] = None
    maximum_millis: Annotated[
        Int64 | None,
        Field(
            "Longest time that it takes to answer; not less than averageMillis.",
            unit="milliseconds",
            default="unknown",
            example=100,
        ),
    ] = None


class AcceleratorPerformance(Lens, frozen=True, kw_only=True, rename="camel"):
    """Peak computing performance without sparsity, as the vendor states it."""

    fp32_tflops: Annotated[
        Int64 | None,
        Field(
            "Speed in single precision; counts where fp32 is preferred.",
            unit="TFLOPS",
            default="unknown",
            example=67,
        ),
    ] = msgspec.field(name="fp32Tflops", default=None)
    fp16_tflops: Annotated[
        Int64 | None,
        Field(
            "Speed in half precision; counts where no precision is preferred.",
            unit="TFLOPS",
            default="unknown",
            example=989,
        ),
    ] = msgspec.field(name="fp16Tflops", default=None)
    int8_tops: Annotated[
        Int64 | None,
        Field(
            "Speed with 8-bit integers; counts where int8 or fp8 is preferred.",
            unit="TOPS",
            default="unknown",
            example=1979,
        ),
    ] = msgspec.field(name="int8Tops", default=None)
    int4_tops: Annotated[
        Int64 | None,
        Field(
            "Speed with 4-bit integers; counts where int4 is preferred.",
            unit="TOPS",
            default="unknown",
            example=3958,
        ),
    ] = msgspec.field(name="int4Tops", default=None)
    latency: Annotated[
        AcceleratorLatency | None, Field("How quickly it answers.", default="unknown")
    ] = None


class AcceleratorCapabilities(Lens, frozen=True, kw_only=True, rename="camel"):
    """What one accelerator of this class can do."""

    memory_gb: Annotated[
        Quantity | None,
        Field(
            "Memory of one accelerator; a small plain number means GiB.",
            default="unknown",
            example="80Gi",
        ),
    ] = msgspec.field(name="memoryGB", default=None)
    compute_capability: Annotated[
        str | None,
        Field(
            "Generation of the instruction set, compared as a version with minArchitectureVersion.",
            default="unknown",
            example="9.0",
        ),
    ] = None
    level_zero_version: Annotated[
        str | None,
        Field(
            "Level Zero version (Intel); stands in where computeCapability is not given.",
            default="none",
            example="1.3",
        ),
    ] = None
    clock_speed_mhz: Annotated[
        Int32 | None,
        Field(
            "Boost clock; decides between equals under the policy MostCapable.",
            unit="MHz",
            default="unknown",
            example=1980,
        ),
    ] = msgspec.field(name="clockSpeedMHz", default=None)
    memory_bandwidth_gbps: Annotated[
        Quantity | None,
        Field(
            "Memory bandwidth of one accelerator.", unit="GB/s", default="unknown", example="3350"
        ),
    ] = msgspec.field(name="memoryBandwidthGBps", default=None)
    features: Annotated[
        tuple[str, ...],
        Field(
            "Features by which it can be required.",
            default="none",
            example=["nvlink", "fp8"],
            schema=ATOMIC,
        ),
    ] = ()
    performance: Annotated[
        AcceleratorPerformance | None, Field("Peak speed by precision.", default="unknown")
    ] = None


class AcceleratorResource(Lens, frozen=True, kw_only=True, rename="camel"):
    """A resource that pods request to get the accelerator."""

    name: Annotated[str, Field("Name of the resource.", example="nvidia.com/gpu")]
    quantity: Annotated[Quantity, Field("How much one replica requests.", example="1")] = "1"
    divisible: Annotated[
        bool | None,
        Field("Whether part of one can be requested.", default="false", example=False),
    ] = None


class AcceleratorIntegration(Lens, frozen=True, kw_only=True, rename="camel"):
    """Names by which queueing systems know it."""

    kueue_resource_flavor: Annotated[
        str | None,
        Field(
            "Name of its ResourceFlavor in Kueue. Has no effect: Kueue takes the flavor whose "
            "nodeLabels agree with discovery.nodeSelector.",
            default="none",
            example="h100",
        ),
    ] = None
    volcano_gpu_type: Annotated[
        str | None,
        Field(
            "Name of its GPU type in Volcano; asked for by pods that go through a Volcano queue.",
            default="none",
            example="NVIDIA-H100",
        ),
    ] = msgspec.field(name="volcanoGPUType", default=None)


class AcceleratorCost(Lens, frozen=True, kw_only=True, rename="camel"):
    """What it costs, in any one currency."""

    per_hour: Annotated[
        Quantity | None,
        Field("Price of one accelerator.", unit="per hour", default="unknown", example="2.5"),
    ] = None
    per_million_tokens: Annotated[
        Quantity | None,
        Field("Price by use.", unit="per million tokens", default="unknown", example="0.2"),
    ] = None
    spot_per_hour: Annotated[
        Quantity | None,
        Field(
            "Price of one that can be taken away.",
            unit="per hour",
            default="perHour",
            example="1.2",
        ),
    ] = None
    tier: Annotated[
        str | None,
        Field(
            "Rough price where no figures are given.",
            default="medium",
            example="high",
            values=("low", "medium", "high"),
        ),
    ] = None


class AcceleratorClassSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What the accelerator is."""

    vendor: Annotated[
        str | None, Field("Who makes it, in lower case.", default="unknown", example="nvidia")
    ] = None
    family: Annotated[
        str | None,
        Field(
            "Generation of its architecture, by which constraints name it.",
            default="unknown",
            example="hopper",
        ),
    ] = None
    model: Annotated[
        str | None, Field("Product name within the family.", default="unknown", example="h100")
    ] = None
    discovery: Annotated[
        AcceleratorDiscovery, Field("How its nodes are recognised.", required=True)
    ]
    capabilities: Annotated[
        AcceleratorCapabilities, Field("What one of them can do.", required=True)
    ]
    resources: Annotated[
        tuple[AcceleratorResource, ...],
        Field("What pods request to get it.", default="none", schema=ATOMIC),
    ] = ()
    integration: Annotated[
        AcceleratorIntegration | None, Field("Names in queueing systems.", default="none")
    ] = None
    cost: Annotated[AcceleratorCost | None, Field("What it costs.", default="unknown")] = None


class AcceleratorClassStatus(Lens, frozen=True, kw_only=True, rename="camel"):
    """Where such accelerators are."""

    nodes: Annotated[
        tuple[str, ...],
        Field("Nodes that have it, sorted.", default="none", example=["gpu-node-1"], schema=ATOMIC),
    ] = ()
    total_accelerators: Annotated[
        Int32 | None, Field("Accelerators on these nodes.", unit="accelerators", example=8)
    ] = None
    available_accelerators: Annotated[
        Int32 | None, Field("Of these, not requested by pods.", unit="accelerators", example=2)
    ] = None
    last_updated: Annotated[
        Time | None, Field("When this last changed.", example="2026-05-06T10:00:00Z")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...], Field("Observations, one per type.", default="none", schema=ATOMIC)
    ] = ()
    available_nodes: Annotated[
        Int32 | None, Field("Number of nodes that have it.", unit="nodes", example=1)
    ] = None


class AcceleratorClass(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """A type of accelerator in this cluster."""

    spec: Annotated[AcceleratorClassSpec, Field("What the accelerator is.")]
    status: Annotated[AcceleratorClassStatus | None, Field("Where they are; written by OME.")] = (
        None
    )


def decode(obj: Mapping[str, Any]) -> AcceleratorClass:
    return decode_lens(AcceleratorClass, obj)
