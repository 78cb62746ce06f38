"""InferenceService: a model, served."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

import msgspec

from ome.api.components import (
    AcceleratorSelector,
    ComponentExtensionSpec,
    DecoderSpec,
    EngineSpec,
    KedaConfig,
    RouterSpec,
    WorkerSpec,
)
from ome.api.fields import ATOMIC, Field, Inline, Int32, Int64, Time
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.model import Condition
from ome.apimachinery.objects import Object


class TransitionStatus(StrEnum):
    UP_TO_DATE = "UpToDate"
    IN_PROGRESS = "InProgress"
    BLOCKED_BY_FAILED_LOAD = "BlockedByFailedLoad"
    INVALID_SPEC = "InvalidSpec"


class ModelState(StrEnum):
    PENDING = "Pending"
    STANDBY = "Standby"
    LOADING = "Loading"
    LOADED = "Loaded"
    FAILED_TO_LOAD = "FailedToLoad"


class FailureReason(StrEnum):
    """Reasons in ``status.modelStatus.lastFailureInfo``; the last seven widen the older list."""

    BASE_MODEL_NOT_READY = "BaseModelNotReady"
    BASE_MODEL_NOT_FOUND = "BaseModelNotFound"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    RUNTIME_UNHEALTHY = "RuntimeUnhealthy"
    RUNTIME_DISABLED = "RuntimeDisabled"
    NO_SUPPORTING_RUNTIME = "NoSupportingRuntime"
    RUNTIME_NOT_RECOGNIZED = "RuntimeNotRecognized"
    INVALID_PREDICTOR_SPEC = "InvalidPredictorSpec"
    FINE_TUNED_WEIGHTS_NOT_FOUND = "FineTunedWeightsNotFound"
    BASE_MODEL_DISABLED = "BaseModelDisabled"
    FINE_TUNED_WEIGHTS_DISABLED = "FineTunedWeightsDisabled"
    BASE_MODEL_DEPRECATED = "BaseModelDeprecated"
    FINE_TUNED_WEIGHTS_DEPRECATED = "FineTunedWeightsDeprecated"
    FINE_TUNE_WEIGHT_LOAD_FAILED = "FineTuneWeightLoadFailed"
    INVALID_ROUTER_SPEC = "InvalidRouterSpec"


_TRANSITIONS: Final = ("", *TransitionStatus)
_MODEL_STATES: Final = ("", *ModelState)


class ModelRef(Lens, frozen=True, kw_only=True, rename="camel"):
    """Which model is served."""

    name: Annotated[str, Field("Name of the model.", example="qwen3-0-6b")]
    kind: Annotated[
        str,
        Field(
            "Kind of the model.",
            example="ClusterBaseModel",
            values=("ClusterBaseModel", "BaseModel"),
        ),
    ] = "ClusterBaseModel"
    api_group: Annotated[
        str, Field("API group of the model; no other has any.", example="ome.io")
    ] = "ome.io"
    fine_tuned_weights: Annotated[
        tuple[str, ...],
        Field(
            "Names of the FineTunedWeights that are served on top.",
            default="none",
            example=["support-lora"],
            schema=ATOMIC,
        ),
    ] = ()


class ServingRuntimeRef(Lens, frozen=True, kw_only=True, rename="camel"):
    """Which runtime serves it."""

    name: Annotated[str, Field("Name of the runtime.", example="vllm-text-generation")]
    kind: Annotated[
        str,
        Field(
            "Kind of the runtime.",
            example="ServingRuntime",
            values=("ClusterServingRuntime", "ServingRuntime"),
        ),
    ] = "ClusterServingRuntime"
    api_group: Annotated[
        str, Field("API group of the runtime; no other has any.", example="ome.io")
    ] = "ome.io"


class ModelSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """The model of a predictor (deprecated), with the container that serves it inlined."""

    inline: ClassVar[Inline | None] = Inline("io.k8s.api.core.v1.Container")

    runtime: Annotated[
        str | None,
        Field("Name of the runtime; use spec.runtime.name.", default="chosen", example="vllm"),
    ] = None
    storage_uri: Annotated[
        str | None,
        Field(
            "Where the model's files come from; handed on as STORAGE_URI.",
            default="none",
            example="hf://Qwen/Qwen3-0.6B",
        ),
    ] = None
    runtime_version: Annotated[
        str | None,
        Field(
            "Has no effect, and a warning says so; use spec.engine.runner.image.",
            default="the runtime's image",
            example="v0.9.0",
        ),
    ] = None
    protocol_version: Annotated[
        str | None,
        Field(
            "Protocol to speak; handed on as PROTOCOL_VERSION.",
            default="the runtime's",
            example="openAI",
            values=("openAI", "openInference-v1", "openInference-v2"),
        ),
    ] = None
    base_model: Annotated[
        str | None,
        Field("Name of the model; use spec.model.name.", default="none", example="qwen3-0-6b"),
    ] = None
    fine_tuned_weights: Annotated[
        tuple[str, ...],
        Field(
            "Names of FineTunedWeights; use spec.model.fineTunedWeights.",
            default="none",
            example=["support-lora"],
            schema=ATOMIC,
        ),
    ] = ()

    @property
    def container(self) -> Object:
        """The inlined container as it was written."""
        return self.rest


class PredictorSpec(ComponentExtensionSpec, frozen=True, kw_only=True, rename="camel"):
    """The older single component. Deprecated: use model and engine."""

    model: Annotated[ModelSpec | None, Field("The model to serve.", default="none")] = None
    worker_spec: Annotated[
        WorkerSpec | None, Field("Worker pods; use engine.worker.", default="single node")
    ] = None


class InferenceServiceSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What is served, with what, and how many times."""

    predictor: Annotated[
        PredictorSpec | None, Field("Deprecated: use engine and model.", default="none")
    ] = None
    engine: Annotated[
        EngineSpec | None,
        Field(
            "The component that runs the model. An empty object takes all from the runtime.",
            default="none",
        ),
    ] = None
    decoder: Annotated[
        DecoderSpec | None,
        Field(
            "The component that generates tokens apart from prefill; needs engine.", default="none"
        ),
    ] = None
    model: Annotated[ModelRef | None, Field("The model to serve.", default="none")] = None
    runtime: Annotated[
        ServingRuntimeRef | None,
        Field("The runtime to serve it with.", default="chosen by the model"),
    ] = None
    router: Annotated[
        RouterSpec | None, Field("The component that spreads requests.", default="none")
    ] = None
    keda_config: Annotated[
        KedaConfig | None, Field("KEDA scaling of all components.", default="none")
    ] = None
    accelerator_selector: Annotated[
        AcceleratorSelector | None,
        Field("Which accelerator to use.", default="any that the runtime's pods fit on"),
    ] = None


class Addressable(Lens, frozen=True, kw_only=True, rename="camel"):
    """Where something is reached."""

    name: Annotated[str | None, Field("Name of the address.", example="http")] = None
    url: Annotated[
        str | None,
        Field("URL to send requests to.", example="http://qwen3.default.svc.cluster.local"),
    ] = None
    ca_certs: Annotated[
        str | None,
        Field(
            "Certificates that sign the server's, in PEM form.",
            default="the usual ones",
            example="-----BEGIN CERTIFICATE-----",
        ),
    ] = msgspec.field(name="CACerts", default=None)
    audience: Annotated[str | None, Field("Audience for tokens.", example="qwen3")] = None


class TrafficTarget(Lens, frozen=True, kw_only=True, rename="camel"):
    """A revision and its share of the traffic."""

    configuration_name: Annotated[
        str | None, Field("Configuration whose newest revision is meant.", example="qwen3-engine")
    ] = None
    revision_name: Annotated[
        str | None, Field("Revision that gets this share.", example="qwen3-engine-00002")
    ] = None
    tag: Annotated[str | None, Field("Name of the revision's own URL.", example="prev")] = None
    latest_revision: Annotated[
        bool | None, Field("Whether this follows the newest revision.", example=True)
    ] = None
    percent: Annotated[Int64 | None, Field("Share of the traffic.", unit="percent", example=10)] = (
        None
    )
    url: Annotated[
        str | None, Field("The revision's own URL.", example="http://prev-qwen3.example.com")
    ] = None


class AcceleratorSelection(Lens, frozen=True, kw_only=True, rename="camel"):
    """The accelerator that was chosen, and why."""

    accelerator_class: Annotated[
        str, Field("Name of the AcceleratorClass.", example="nvidia-h100-80gb", required=True)
    ] = ""
    reason: Annotated[
        str | None, Field("Why it was chosen.", example="BestFit: the smallest that holds 16 GB")
    ] = None
    node_selector: Annotated[
        dict[str, str],
        Field("Node labels that it adds.", example={"nvidia.com/gpu.product": "NVIDIA-H100"}),
    ] = {}
    resource_requests: Annotated[
        dict[str, str], Field("Resources that it adds.", example={"nvidia.com/gpu": "1"})
    ] = {}


class ComponentStatusSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What one component is doing."""

    latest_ready_revision: Annotated[
        str | None, Field("Newest revision that is ready.", example="qwen3-engine-00001")
    ] = None
    latest_created_revision: Annotated[
        str | None, Field("Newest revision, ready or not.", example="qwen3-engine-00002")
    ] = None
    previous_rolledout_revision: Annotated[
        str | None, Field("Revision that had all traffic before.", example="qwen3-engine-00001")
    ] = None
    latest_rolledout_revision: Annotated[
        str | None, Field("Newest revision that had all traffic.", example="qwen3-engine-00002")
    ] = None
    traffic: Annotated[
        tuple[TrafficTarget, ...], Field("How traffic is split.", schema=ATOMIC)
    ] = ()
    url: Annotated[
        str | None, Field("Where the component is reached.", example="http://qwen3-engine.default")
    ] = None
    rest_url: Annotated[
        str | None, Field("Where its REST API is reached.", example="http://qwen3-engine.default")
    ] = msgspec.field(name="restURL", default=None)
    address: Annotated[Addressable | None, Field("Where it is reached in the cluster.")] = None
    selected_accelerator: Annotated[
        AcceleratorSelection | None, Field("The accelerator that was chosen.")
    ] = None
    replicas: Annotated[
        Int32 | None,
        Field(
            "Replicas that exist; addition to the contract, read by `kubectl scale`.",
            unit="replicas",
            example=1,
        ),
    ] = None


class ModelRevisionStates(Lens, frozen=True, kw_only=True, rename="camel"):
    """How far the present and the next model are."""

    active_model_state: Annotated[
        str,
        Field("The model that answers now.", enum=_MODEL_STATES, example="Loaded", required=True),
    ] = "Pending"
    target_model_state: Annotated[
        str,
        Field(
            "The model that shall answer.",
            enum=_MODEL_STATES,
            example="Loading",
            schema={"default": ""},
        ),
    ] = ""


class FailureInfo(Lens, frozen=True, kw_only=True, rename="camel"):
    """The last failure to load the model."""

    location: Annotated[
        str | None, Field("Pod or component in which it happened.", example="qwen3-engine-abc")
    ] = None
    reason: Annotated[
        str | None,
        Field("What kind of failure.", enum=tuple(FailureReason), example="ModelLoadFailed"),
    ] = None
    message: Annotated[
        str | None,
        Field(
            "What the container said last, else what happened to it.", example="CUDA out of memory"
        ),
    ] = None
    model_revision_name: Annotated[
        str | None, Field("Revision that failed.", example="qwen3-engine-00002")
    ] = None
    time: Annotated[Time | None, Field("When it happened.", example="2026-05-06T10:00:00Z")] = None
    exit_code: Annotated[Int32 | None, Field("Exit code of the container.", example=137)] = None


class ModelCopies(Lens, frozen=True, kw_only=True, rename="camel"):
    """Copies of the model."""

    failed_copies: Annotated[
        int,
        Field(
            "Copies that failed to load.",
            unit="copies",
            example=0,
            required=True,
            schema={"default": 0},
        ),
    ] = 0
    total_copies: Annotated[int | None, Field("Copies in all.", unit="copies", example=1)] = None


class ModelStatus(Lens, frozen=True, kw_only=True, rename="camel"):
    """Whether the model is loaded."""

    transition_status: Annotated[
        str,
        Field(
            "Whether the model that answers is the one asked for.",
            enum=_TRANSITIONS,
            example="UpToDate",
            required=True,
        ),
    ] = "UpToDate"
    model_revision_states: Annotated[
        ModelRevisionStates | None, Field("How far the present and the next model are.")
    ] = None
    last_failure_info: Annotated[
        FailureInfo | None, Field("The last failure; cleared when the model is loaded.")
    ] = None
    model_copies: Annotated[ModelCopies | None, Field("Copies of the model.")] = None


class InferenceServiceStatus(Lens, frozen=True, kw_only=True, rename="camel"):
    """What the service is doing, and why it is not ready if it isn't."""

    observed_generation: Annotated[
        Int64 | None, Field("Generation of the spec that this status is about.", example=3)
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field("Observations, one per type, sorted by type; Ready sums them up.", schema=ATOMIC),
    ] = ()
    annotations: Annotated[
        dict[str, str], Field("Further facts for tools.", example={"note": "none"})
    ] = {}
    address: Annotated[Addressable | None, Field("Where it is reached in the cluster.")] = None
    url: Annotated[
        str | None, Field("Where it is reached.", example="http://qwen3.default.example.com")
    ] = None
    components: Annotated[
        dict[str, ComponentStatusSpec],
        Field("What each component is doing: engine, decoder, router or predictor."),
    ] = {}
    model_status: Annotated[ModelStatus | None, Field("Whether the model is loaded.")] = None


class InferenceService(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """A model, served at a URL by a number of replicas."""

    spec: Annotated[InferenceServiceSpec, Field("What is served, with what, how many times.")] = (
        InferenceServiceSpec()
    )
    status: Annotated[
        InferenceServiceStatus | None, Field("What the service is doing; written by OME.")
    ] = None


def decode(obj: Mapping[str, Any]) -> InferenceService:
    return decode_lens(InferenceService, obj)
