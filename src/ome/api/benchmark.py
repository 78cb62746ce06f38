"""BenchmarkJob: a measurement of a service or of any endpoint, with genai-bench."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from ome.api.fields import (
    ATOMIC,
    ATOMIC_MAP,
    BY_NAME,
    SET,
    Affinity,
    EnvFromSource,
    EnvVar,
    Field,
    ResourceRequirements,
    Time,
    Toleration,
    Volume,
    VolumeMount,
)
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.model import StorageSpec

TASKS: Final = (
    "text-to-text",
    "image-to-text",
    "text-to-embeddings",
    "image-to-embeddings",
    "text-to-rerank",
)
"""The last one is ours: the earlier definitions do not know it."""
API_FORMATS: Final = ("openai", "oci-cohere", "cohere")
ENGINES: Final = ("vLLM", "SGLang", "TGI")
GPU_TYPES: Final = ("H100", "A100", "MI300", "A10")
PENDING: Final = "Pending"
RUNNING: Final = "Running"
COMPLETED: Final = "Completed"
FAILED: Final = "Failed"
STATES: Final = (PENDING, RUNNING, COMPLETED, FAILED)


class HuggingFaceSecretReference(Lens, frozen=True, kw_only=True, rename="camel"):
    """A Secret with a token for the Hugging Face hub."""

    name: Annotated[str, Field("Name of the Secret in the job's namespace.", example="hf-token")]


class InferenceServiceReference(Lens, frozen=True, kw_only=True, rename="camel"):
    """A service, in any namespace."""

    name: Annotated[str, Field("Name of the InferenceService.", example="qwen3")]
    namespace: Annotated[str, Field("Namespace of the InferenceService.", example="default")]


class Endpoint(Lens, frozen=True, kw_only=True, rename="camel"):
    """Any server that speaks one of the known APIs."""

    url: Annotated[
        str,
        Field(
            "Base URL of the server.",
            example="http://127.0.0.1:8080",
            schema={"pattern": "^(http|https)://"},
        ),
    ]
    api_format: Annotated[
        str, Field("API that the server speaks.", enum=API_FORMATS, example="openai")
    ]
    model_name: Annotated[
        str | None,
        Field(
            "Name by which the server knows the model.",
            default="asked of the server",
            example="qwen3-0-6b",
        ),
    ] = None


class EndpointSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What is measured: a service or a URL, exactly one."""

    inference_service: Annotated[
        InferenceServiceReference | None, Field("The service to measure.", default="none")
    ] = None
    endpoint: Annotated[Endpoint | None, Field("The URL to measure.", default="none")] = None


class ServiceMetadata(Lens, frozen=True, kw_only=True, rename="camel"):
    """Facts about the server that are stored with the results."""

    engine: Annotated[str, Field("The serving engine.", enum=ENGINES, example="vLLM")]
    version: Annotated[str, Field("Version of the engine.", example="0.9.0")]
    gpu_type: Annotated[str, Field("Type of the GPUs.", enum=GPU_TYPES, example="H100")]
    gpu_count: Annotated[int, Field("Number of GPUs.", unit="GPUs", example=8)]


class PodOverride(Lens, frozen=True, kw_only=True, rename="camel"):
    """What is different about the job's pod."""

    image: Annotated[
        str | None,
        Field(
            "Image of genai-bench.",
            default="the operator's setting",
            example="ghcr.io/moirai-internal/genai-bench:v0.0.3",
        ),
    ] = None
    env: Annotated[
        tuple[EnvVar, ...],
        Field("Environment variables to add.", default="none", schema=BY_NAME),
    ] = ()
    env_from: Annotated[
        tuple[EnvFromSource, ...],
        Field("Sources of environment variables to add.", default="none", schema=ATOMIC),
    ] = ()
    volume_mounts: Annotated[
        tuple[VolumeMount, ...],
        Field("Mounts to add. A volume can be mounted once.", default="none", schema=BY_NAME),
    ] = ()
    resources: Annotated[
        ResourceRequirements | None,
        Field("Resources of the container.", default="the operator's setting"),
    ] = None
    tolerations: Annotated[
        tuple[Toleration, ...],
        Field("Taints that the pod tolerates.", default="none", schema=ATOMIC),
    ] = ()
    node_selector: Annotated[
        dict[str, str],
        Field(
            "Labels that the pod's node must have.",
            default="any node",
            example={"pool": "cpu"},
            schema=ATOMIC_MAP,
        ),
    ] = {}
    affinity: Annotated[Affinity | None, Field("Affinity of the pod.", default="none")] = None
    volumes: Annotated[
        tuple[Volume, ...], Field("Volumes to add.", default="none", schema=ATOMIC)
    ] = ()


class BenchmarkJobSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """What is measured, how long, and where results go."""

    hugging_face_secret_reference: Annotated[
        HuggingFaceSecretReference | None,
        Field("Token for tokenizers of gated models.", default="anonymous"),
    ] = None
    endpoint: Annotated[EndpointSpec, Field("What is measured.")]
    service_metadata: Annotated[
        ServiceMetadata | None, Field("Facts that are stored with the results.", default="none")
    ] = None
    task: Annotated[
        str, Field("What goes in and what comes out.", enum=TASKS, example="text-to-text")
    ]
    traffic_scenarios: Annotated[
        tuple[str, ...],
        Field(
            "Shapes of traffic, one run each.",
            default="genai-bench's for the task",
            example=["D(100,100)"],
            schema=SET,
        ),
    ] = ()
    num_concurrency: Annotated[
        tuple[int, ...],
        Field(
            "Numbers of requests at a time, one run each.",
            unit="requests",
            default="genai-bench's for the task",
            example=[1, 4],
            schema=SET,
        ),
    ] = ()
    max_time_per_iteration: Annotated[
        int, Field("Longest time of one run.", unit="minutes", example=5)
    ]
    max_requests_per_iteration: Annotated[
        int, Field("Most requests of one run.", unit="requests", example=100)
    ]
    additional_request_params: Annotated[
        dict[str, str],
        Field("Fields to add to each request.", default="none", example={"temperature": "0"}),
    ] = {}
    dataset: Annotated[
        StorageSpec | None,
        Field("Data for the requests; needed for images.", default="made up by genai-bench"),
    ] = None
    output_location: Annotated[StorageSpec, Field("Where results are stored.")]
    result_folder_name: Annotated[
        str | None,
        Field("Folder for the results.", default="named after the run", example="qwen3-h100"),
    ] = None
    pod_override: Annotated[
        PodOverride | None, Field("What is different about the job's pod.", default="nothing")
    ] = None


class BenchmarkJobStatus(Lens, frozen=True, kw_only=True, rename="camel"):
    """How far the measurement is."""

    state: Annotated[
        str, Field("Where the job stands.", enum=STATES, example="Running", required=True)
    ] = ""
    start_time: Annotated[Time | None, Field("When it began.", example="2026-05-06T10:00:00Z")] = (
        None
    )
    completion_time: Annotated[
        Time | None, Field("When it ended.", example="2026-05-06T10:20:00Z")
    ] = None
    last_reconcile_time: Annotated[
        Time | None, Field("When it was last looked at.", example="2026-05-06T10:20:00Z")
    ] = None
    failure_message: Annotated[
        str | None, Field("Why it failed.", example="every request got 404")
    ] = None
    details: Annotated[
        str | None,
        Field("What it is doing at the moment.", example="run 2 of 4: D(100,100), concurrency 4"),
    ] = None


class BenchmarkJob(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """One measurement, run once."""

    spec: Annotated[BenchmarkJobSpec, Field("What is measured.")]
    status: Annotated[
        BenchmarkJobStatus | None, Field("How far the measurement is; written by OME.")
    ] = None


def decode(obj: Mapping[str, Any]) -> BenchmarkJob:
    return decode_lens(BenchmarkJob, obj)
