"""BaseModel and ClusterBaseModel: a model, where its files come from, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from ome.api.fields import (
    ATOMIC,
    ATOMIC_MAP,
    Field,
    FreeObject,
    Int32,
    Int64,
    NodeAffinity,
)
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.modelstatus import (
    CREATING,
    FAILED,
    IMPORTING,
    IN_TRAINING,
    IN_TRANSIT,
    LIFECYCLES,
    READY,
    STATES,
    Condition,
    ModelProgress,
    ModelStatusSpec,
)

OPERATORS: Final = ("Equal", "GreaterThan", "GreaterThanOrEqual")
DOWNLOAD_POLICIES: Final = ("AlwaysDownload", "ReuseIfExists")
QUANTIZATIONS: Final = ("fp8", "fbgemm_fp8", "int4")
SERVING_MODES: Final = ("On-demand", "Dedicated")

LEGACY_CAPABILITIES: Final = (
    "TEXT_GENERATION", "TEXT_SUMMARIZATION", "TEXT_EMBEDDINGS", "TEXT_RERANK", "CHAT", "VISION",
)  # fmt: skip
CAPABILITIES: Final = (
    "EMBEDDING", "RERANK", "TEXT_TO_TEXT", "TEXT_TO_AUDIO", "TEXT_TO_IMAGE", "TEXT_TO_VIDEO",
    "IMAGE_TEXT_TO_TEXT", "IMAGE_TEXT_TO_AUDIO", "IMAGE_TEXT_TO_IMAGE", "IMAGE_TEXT_TO_VIDEO",
    "VIDEO_TEXT_TO_AUDIO", "AUDIO_TO_TEXT", "AUDIO_TO_AUDIO", "AUDIO_TRANSLATION",
)  # fmt: skip
API_CAPABILITIES: Final = (
    "OPENAI_V1_CHAT_COMPLETIONS", "OPENAI_V1_RESPONSES", "OPENAI_V1_EMBEDDINGS",
    "OPENAI_V1_IMAGES_GENERATIONS", "OPENAI_V1_IMAGES_EDITS", "OPENAI_V1_AUDIO_SPEECH",
    "OPENAI_V1_AUDIO_TRANSCRIPTIONS", "OPENAI_V1_AUDIO_TRANSLATIONS", "OPENAI_V1_REALTIME",
)  # fmt: skip


class ModelFormat(Lens, frozen=True, kw_only=True, rename="camel"):
    """The file format of a model's weights."""

    name: Annotated[str, Field("Name of the file format.", example="safetensors")]
    version: Annotated[
        str | None, Field("Version of the file format.", default="any", example="1.0.0")
    ] = None
    operator: Annotated[
        str,
        Field(
            "How a runtime's version is compared with the model's.",
            example="Equal",
            values=OPERATORS,
        ),
    ] = "Equal"
    weight: Annotated[
        Int64,
        Field("How much a match of the format counts when runtimes are ranked.", example=1),
    ] = 1


class ModelFrameworkSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """The library that the model was made for."""

    name: Annotated[str, Field("Name of the framework.", example="transformers")]
    version: Annotated[
        str | None, Field("Version of the framework.", default="any", example="4.51.0")
    ] = None
    operator: Annotated[
        str,
        Field(
            "How a runtime's version is compared with the model's.",
            example="GreaterThanOrEqual",
            values=OPERATORS,
        ),
    ] = "Equal"
    weight: Annotated[
        Int64,
        Field("How much a match of the framework counts when runtimes are ranked.", example=1),
    ] = 1


class PipelinePart(Lens, frozen=True, kw_only=True, rename="camel"):
    """One part of a diffusion pipeline."""

    library: Annotated[
        str | None, Field("Python library of the part.", default="any", example="diffusers")
    ] = None
    type: Annotated[
        str | None,
        Field("Class of the part.", default="any", example="FlowMatchEulerDiscreteScheduler"),
    ] = None


class DiffusionPipelineSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """The parts of a diffusion model, as its ``model_index.json`` lists them."""

    class_name: Annotated[
        str | None, Field("Class of the pipeline.", default="any", example="QwenImagePipeline")
    ] = None
    scheduler: Annotated[
        PipelinePart | None, Field("Part that sets the steps of noise.", default="any")
    ] = None
    text_encoder: Annotated[
        PipelinePart | None, Field("Part that reads the prompt.", default="any")
    ] = None
    tokenizer: Annotated[
        PipelinePart | None, Field("Part that splits the prompt.", default="any")
    ] = None
    transformer: Annotated[
        PipelinePart | None, Field("Part that removes the noise.", default="any")
    ] = None
    vae: Annotated[
        PipelinePart | None,
        Field("Variational autoencoder: the part that makes the picture.", default="any"),
    ] = None
    additional_components: Annotated[
        dict[str, PipelinePart],
        Field("Further parts by name.", default="none", schema=ATOMIC_MAP),
    ] = {}


class StorageSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """Where files come from, how to get at them, and which nodes should hold them."""

    path: Annotated[
        str | None,
        Field(
            "Absolute path on the node where the files are kept.",
            default="/raid/models/<kind>/<namespace>/<name>",
            example="/raid/models/qwen/qwen3-0-6b",
        ),
    ] = None
    schema_path: Annotated[
        str | None,
        Field(
            "Path of a schema or configuration file inside the storage.",
            default="none",
            example="config/schema.json",
        ),
    ] = None
    parameters: Annotated[
        dict[str, str],
        Field(
            "Settings of the storage client, such as region or authentication.",
            default="none",
            example={"region": "eu-frankfurt-1"},
        ),
    ] = {}
    key: Annotated[
        str | None,
        Field(
            "Name of the Secret with the credentials for the storage.",
            default="anonymous",
            example="hf-token",
        ),
    ] = None
    storage_uri: Annotated[
        str,
        Field(
            "Where the files come from: an oci, pvc, vendor, hf, s3, az, gs, github or local URI.",
            example="hf://Qwen/Qwen3-0.6B",
        ),
    ]
    node_selector: Annotated[
        dict[str, str],
        Field(
            "Labels that a node must have to get the files.",
            default="all nodes",
            example={"node.kubernetes.io/instance-type": "BM.GPU.H100.8"},
            schema=ATOMIC_MAP,
        ),
    ] = {}
    node_affinity: Annotated[
        NodeAffinity | None,
        Field("Node affinity that a node must satisfy to get the files.", default="all nodes"),
    ] = None
    download_policy: Annotated[
        str | None,
        Field(
            "Whether files that are already there are used as they are.",
            default="AlwaysDownload",
            enum=DOWNLOAD_POLICIES,
            example="ReuseIfExists",
        ),
    ] = None


class ModelExtensionSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What every kind of model says about itself."""

    display_name: Annotated[
        str | None, Field("Name for people.", default="the object's name", example="Qwen3 0.6B")
    ] = None
    version: Annotated[
        str | None, Field("Version of the model.", default="none", example="1.0.0")
    ] = None
    disabled: Annotated[
        bool | None, Field("Keep the model from being used.", default="false", example=False)
    ] = None
    vendor: Annotated[str | None, Field("Who made the model.", default="none", example="qwen")] = (
        None
    )
    compartment_id: Annotated[
        str | None,
        Field(
            "Compartment that owns the model (Oracle Cloud).",
            default="none",
            example="ocid1.compartment.oc1..example",
        ),
    ] = msgspec.field(name="compartmentID", default=None)


class BaseModelSpec(ModelExtensionSpec, frozen=True, kw_only=True, rename="camel"):
    """What the model is. What is left out is read from its files once they are there."""

    model_format: Annotated[
        ModelFormat | None, Field("File format of the weights.", default="read from the files")
    ] = None
    model_type: Annotated[
        str | None,
        Field(
            "Family of the model, as its configuration names it.",
            default="read from the files",
            example="qwen3",
        ),
    ] = None
    model_framework: Annotated[
        ModelFrameworkSpec | None,
        Field("Library that the model was made for.", default="read from the files"),
    ] = None
    model_architecture: Annotated[
        str | None,
        Field(
            "Class that implements the model.",
            default="read from the files",
            example="Qwen3ForCausalLM",
        ),
    ] = None
    quantization: Annotated[
        str | None,
        Field(
            "Scheme by which the weights are quantized.",
            default="read from the files",
            example="fp8",
            values=QUANTIZATIONS,
        ),
    ] = None
    model_parameter_size: Annotated[
        str | None,
        Field(
            "Number of parameters, with suffix M, B or T.",
            unit="parameters",
            default="read from the files",
            example="7B",
        ),
    ] = None
    model_capabilities: Annotated[
        tuple[str, ...],
        Field(
            "What the model can do.",
            default="read from the files",
            example=["TEXT_TO_TEXT"],
            values=CAPABILITIES,
            schema=ATOMIC,
        ),
    ] = ()
    api_capabilities: Annotated[
        tuple[str, ...],
        Field(
            "Which APIs the model is served with.",
            default="by capability",
            example=["OPENAI_V1_CHAT_COMPLETIONS"],
            values=API_CAPABILITIES,
            schema=ATOMIC,
        ),
    ] = ()
    model_configuration: Annotated[
        FreeObject | None,
        Field(
            "The model's own configuration, kept as it is.",
            default="none",
            example={"hidden_size": 1024},
        ),
    ] = None
    storage: Annotated[StorageSpec, Field("Where the model's files come from.")]
    serving_mode: Annotated[
        tuple[str, ...],
        Field(
            "Ways in which the model may be offered.",
            default="all",
            example=["On-demand"],
            values=SERVING_MODES,
            schema=ATOMIC,
        ),
    ] = ()
    max_tokens: Annotated[
        Int32 | None,
        Field(
            "Longest context that the model handles.",
            unit="tokens",
            default="read from the files",
            example=32768,
        ),
    ] = None
    diffusion_pipeline: Annotated[
        DiffusionPipelineSpec | None,
        Field("Parts of a diffusion model.", default="read from the files"),
    ] = None
    additional_metadata: Annotated[
        dict[str, str],
        Field(
            "Anything else worth knowing about the model.",
            default="none",
            example={"license": "apache-2.0"},
        ),
    ] = {}


class BaseModel(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """A model that services of one namespace can use."""

    spec: Annotated[BaseModelSpec, Field("What the model is.")]
    status: Annotated[
        ModelStatusSpec | None, Field("Where the model's files are; written by OME.")
    ] = None


class ClusterBaseModel(BaseModel, frozen=True, kw_only=True, rename="camel"):
    """A model that services of all namespaces can use."""


def decode(obj: Mapping[str, Any]) -> BaseModel:
    """View a BaseModel or a ClusterBaseModel, by its ``kind``."""
    cls = ClusterBaseModel if obj.get("kind") == "ClusterBaseModel" else BaseModel
    return decode_lens(cls, obj)


def is_disabled(spec: ModelExtensionSpec) -> bool:
    return spec.disabled is True


__all__ = [
    "API_CAPABILITIES",
    "CAPABILITIES",
    "CREATING",
    "FAILED",
    "IMPORTING",
    "IN_TRAINING",
    "IN_TRANSIT",
    "LEGACY_CAPABILITIES",
    "LIFECYCLES",
    "READY",
    "STATES",
    "BaseModel",
    "BaseModelSpec",
    "ClusterBaseModel",
    "Condition",
    "DiffusionPipelineSpec",
    "ModelExtensionSpec",
    "ModelFormat",
    "ModelFrameworkSpec",
    "ModelProgress",
    "ModelStatusSpec",
    "PipelinePart",
    "StorageSpec",
    "decode",
    "is_disabled",
]
