"""ServingRuntime and ClusterServingRuntime: how a kind of model is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec

from ome.api.components import DecoderSpec, EngineSpec, RouterSpec
from ome.api.fields import ATOMIC, Field, Inline, Int32, Int64
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.model import DiffusionPipelineSpec, ModelFormat, ModelFrameworkSpec
from ome.apimachinery.objects import Object

PROTOCOL_VERSIONS: Final = ("openAI", "openInference-v1", "openInference-v2")
_PARALLEL: Final[Object] = {"minimum": 0}

POD_FIELDS: Final = (
    "containers", "volumes", "nodeSelector", "affinity", "tolerations", "imagePullSecrets",
    "schedulerName", "hostIPC", "dnsPolicy", "hostNetwork",
)  # fmt: skip
"""Pod spec fields among a runtime's own (the older form without engineConfig)."""


class TensorParallelismConfig(Lens, frozen=True, kw_only=True, rename="camel"):
    """How a model is split over accelerators; 0 leaves the runtime's flag as it is."""

    tensor_parallel_size: Annotated[
        Int64 | None,
        Field(
            "Accelerators over which each layer is split.",
            unit="accelerators",
            default="the runtime's flag",
            example=4,
            schema=_PARALLEL,
        ),
    ] = None
    pipeline_parallel_size: Annotated[
        Int64 | None,
        Field(
            "Stages into which the layers are divided.",
            unit="stages",
            default="the runtime's flag",
            example=1,
            schema=_PARALLEL,
        ),
    ] = None
    data_parallel_size: Annotated[
        Int64 | None,
        Field(
            "Copies of the model within one engine.",
            unit="copies",
            default="the runtime's flag",
            example=1,
            schema=_PARALLEL,
        ),
    ] = None


class AcceleratorModelConfig(Lens, frozen=True, kw_only=True, rename="camel"):
    """What changes for one format on one accelerator class."""

    min_memory_per_billion_params: Annotated[
        Int64 | None,
        Field(
            "Accelerator memory that one billion parameters need.",
            unit="GB",
            default="estimated",
            example=2,
            schema=_PARALLEL,
        ),
    ] = None
    tensor_parallelism_override: Annotated[
        TensorParallelismConfig | None,
        Field("How the model is split on this accelerator.", default="the runtime's flags"),
    ] = None
    runtime_args_override: Annotated[
        tuple[str, ...],
        Field(
            "Arguments that replace or extend the runtime's, by flag.",
            default="none",
            example=["--mem-fraction-static=0.85"],
            schema=ATOMIC,
        ),
    ] = ()
    environment_override: Annotated[
        dict[str, str],
        Field(
            "Environment variables that replace or extend the runtime's.",
            default="none",
            example={"NCCL_DEBUG": "WARN"},
        ),
    ] = {}


class SupportedModelFormat(Lens, frozen=True, kw_only=True, rename="camel"):
    """One kind of model that the runtime can serve."""

    name: Annotated[
        str | None,
        Field(
            "Label of this entry; equal names share one priority. Superseded by modelFormat.",
            default="none",
            example="safetensors",
        ),
    ] = None
    model_format: Annotated[ModelFormat, Field("File format that the model must have.")]
    model_type: Annotated[
        str | None, Field("Deprecated: has no effect.", default="none", example="llama")
    ] = None
    version: Annotated[
        str | None,
        Field("Deprecated: modelFormat.version is what is compared.", default="any", example="1"),
    ] = None
    model_framework: Annotated[
        ModelFrameworkSpec, Field("Framework that the model must have been made for.")
    ]
    model_architecture: Annotated[
        str | None,
        Field(
            "Class that implements the model.",
            default="see the page on runtime selection",
            example="LlamaForCausalLM",
        ),
    ] = None
    quantization: Annotated[
        str | None,
        Field("Quantization that the model must have.", default="unquantized", example="fp8"),
    ] = None
    auto_select: Annotated[
        bool | None,
        Field(
            "Allow this runtime to be chosen for services that name none.",
            default="false",
            example=True,
        ),
    ] = None
    priority: Annotated[
        Int32 | None,
        Field(
            "Rank among runtimes that fit; the higher one is chosen. At least 1.",
            default="1",
            example=2,
            schema={"minimum": 1},
        ),
    ] = None
    diffusion_pipeline: Annotated[
        DiffusionPipelineSpec | None,
        Field("Parts that a diffusion model must have.", default="not a diffusion model"),
    ] = None
    accelerator_config: Annotated[
        dict[str, AcceleratorModelConfig],
        Field("Changes by name of the accelerator class that is used.", default="none"),
    ] = {}


class ModelSizeRangeSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """How large a model may be."""

    min: Annotated[
        str | None,
        Field(
            "Least number of parameters, with suffix M, B or T.",
            unit="parameters",
            default="no bound",
            example="5B",
        ),
    ] = None
    max: Annotated[
        str | None,
        Field(
            "Greatest number of parameters, with suffix M, B or T.",
            unit="parameters",
            default="no bound",
            example="9B",
        ),
    ] = None


class AcceleratorRequirements(Lens, frozen=True, kw_only=True, rename="camel"):
    """What accelerators the runtime needs."""

    accelerator_classes: Annotated[
        tuple[str, ...],
        Field(
            "AcceleratorClasses on which the runtime works.",
            default="not restricted",
            example=["nvidia-h100-80gb"],
            schema=ATOMIC,
        ),
    ] = ()
    min_memory: Annotated[
        Int64 | None,
        Field(
            "Least memory of one accelerator.",
            unit="GB",
            default="no bound",
            example=80,
            schema=_PARALLEL,
        ),
    ] = None
    min_compute_performance_tflops: Annotated[
        Int64 | None,
        Field(
            "Least computing performance in half precision.",
            unit="TFLOPS",
            default="no bound",
            example=300,
            schema=_PARALLEL,
        ),
    ] = msgspec.field(name="minComputePerformanceTFLOPS", default=None)
    min_architecture_version: Annotated[
        str | None,
        Field(
            "Least compute capability, compared as a version.", default="no bound", example="8.0"
        ),
    ] = None
    required_features: Annotated[
        tuple[str, ...],
        Field(
            "Features that the accelerator must all have.",
            default="none",
            example=["nvlink"],
            schema=ATOMIC,
        ),
    ] = ()
    preferred_precisions: Annotated[
        tuple[str, ...],
        Field(
            "Precisions by which performance is compared, best first.",
            default="fp16",
            example=["fp8"],
            schema=ATOMIC,
        ),
    ] = ()


class ServingRuntimePodSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """Pod fields among the runtime's own fields (the older form, without engineConfig)."""

    inline: ClassVar[Inline | None] = Inline(
        "io.k8s.api.core.v1.PodSpec", optional=("containers",), only=POD_FIELDS
    )

    labels: Annotated[
        dict[str, str],
        Field("Labels for the pods.", default="none", example={"team": "search"}),
    ] = {}
    annotations: Annotated[
        dict[str, str],
        Field(
            "Annotations for the pods.", default="none", example={"prometheus.io/scrape": "true"}
        ),
    ] = {}

    @property
    def pod_spec(self) -> Object:
        """The pod fields as they were written, unknown fields included."""
        return self.rest


class WorkerPodSpec(ServingRuntimePodSpec, frozen=True, kw_only=True, rename="camel"):
    """Worker pods of a runtime that spans several nodes (the older form)."""

    size: Annotated[
        int | None, Field("Worker pods beside the leader.", unit="pods", default="0", example=1)
    ] = None


class ServingRuntimeSpec(ServingRuntimePodSpec, frozen=True, kw_only=True, rename="camel"):
    """What the runtime serves, and with which containers."""

    supported_model_formats: Annotated[
        tuple[SupportedModelFormat, ...],
        Field("Kinds of model that the runtime can serve.", default="none", schema=ATOMIC),
    ] = ()
    model_size_range: Annotated[
        ModelSizeRangeSpec | None, Field("How large a model may be.", default="any size")
    ] = None
    disabled: Annotated[
        bool | None,
        Field("Keep the runtime from being used.", default="false", example=False),
    ] = None
    router_config: Annotated[RouterSpec | None, Field("How routers are made.", default="none")] = (
        None
    )
    engine_config: Annotated[
        EngineSpec | None, Field("How engines are made.", default="the older pod fields")
    ] = None
    decoder_config: Annotated[
        DecoderSpec | None, Field("How decoders are made.", default="none")
    ] = None
    protocol_versions: Annotated[
        tuple[str, ...],
        Field(
            "Protocols that the runtime speaks; none listed means any.",
            default="any",
            example=["openAI"],
            values=PROTOCOL_VERSIONS,
            schema=ATOMIC,
        ),
    ] = ()
    workers: Annotated[
        WorkerPodSpec | None,
        Field("Worker pods (the older form of engineConfig.worker).", default="none"),
    ] = None
    accelerator_requirements: Annotated[
        AcceleratorRequirements | None,
        Field("What accelerators the runtime needs.", default="any"),
    ] = None


class ServingRuntimeStatus(Lens, frozen=True, kw_only=True, rename="camel"):
    """Nothing: a runtime is read, never driven."""


class ServingRuntime(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """A runtime that services of one namespace can use."""

    spec: Annotated[ServingRuntimeSpec, Field("What the runtime serves, and how.")] = (
        ServingRuntimeSpec()
    )
    status: Annotated[
        ServingRuntimeStatus | None, Field("Always empty: a runtime is only read.")
    ] = None


class ClusterServingRuntime(ServingRuntime, frozen=True, kw_only=True, rename="camel"):
    """A runtime that services of all namespaces can use."""


def decode(obj: Mapping[str, Any]) -> ServingRuntime:
    """View a ServingRuntime or a ClusterServingRuntime, by its ``kind``."""
    cls = ClusterServingRuntime if obj.get("kind") == "ClusterServingRuntime" else ServingRuntime
    return decode_lens(cls, obj)


def is_disabled(spec: ServingRuntimeSpec) -> bool:
    return spec.disabled is True


def supports_protocol(spec: ServingRuntimeSpec, protocol: str) -> bool:
    """A runtime that lists no protocol speaks any; asking for none is always satisfied."""
    return not protocol or not spec.protocol_versions or protocol in spec.protocol_versions
