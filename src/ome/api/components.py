"""What a component (engine, decoder, router, predictor) is made of.

Services and runtimes share these types: a runtime's ``engineConfig`` has the shape of a service's
``engine``, and the service's is merged onto it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

import msgspec

from ome.api.fields import (
    ATOMIC,
    DeploymentStrategy,
    Field,
    Inline,
    Int64,
    IntOrString,
)
from ome.api.lens import Lens
from ome.apimachinery.objects import Object

SCALE_METRICS: Final = ("cpu", "memory", "concurrency", "rps")
ACCELERATOR_POLICIES: Final = ("BestFit", "Cheapest", "MostCapable", "FirstAvailable")
AUTHENTICATION_KINDS: Final = ("TriggerAuthentication", "ClusterTriggerAuthentication")

_POD: Final = "io.k8s.api.core.v1.PodSpec"
_CONTAINER: Final = "io.k8s.api.core.v1.Container"


class ScalerAuthenticationRef(Lens, frozen=True, kw_only=True, rename="camel"):
    """Which KEDA object holds the credentials for the metrics server."""

    name: Annotated[
        str,
        Field(
            "Name of the KEDA authentication object.",
            example="prometheus-auth",
            schema={"minLength": 1},
        ),
    ]
    kind: Annotated[
        str,
        Field(
            "Kind of the KEDA authentication object.",
            enum=AUTHENTICATION_KINDS,
            example="TriggerAuthentication",
        ),
    ] = "TriggerAuthentication"


class KedaConfig(Lens, frozen=True, kw_only=True, rename="camel"):
    """How KEDA scales a component by a Prometheus query."""

    enable_keda: Annotated[
        bool | None,
        Field(
            "Scale with KEDA instead of a plain HorizontalPodAutoscaler.",
            default="false",
            example=True,
        ),
    ] = None
    prom_server_address: Annotated[
        str | None,
        Field(
            "Base URL of the Prometheus server, with scheme and host.",
            default="the operator's setting",
            example="http://prometheus.monitoring.svc.cluster.local:9090",
        ),
    ] = None
    custom_prom_query: Annotated[
        str | None,
        Field(
            "PromQL query whose value is compared with the threshold.",
            default="tokens per second of the service",
            example="sum(rate(vllm:request_success_total[1m]))",
        ),
    ] = None
    scaling_threshold: Annotated[
        str | None,
        Field(
            "Value of the query at which one more replica is wanted; a finite number as text.",
            default='"10"',
            example="10",
        ),
    ] = None
    scaling_operator: Annotated[
        str | None,
        Field(
            "How the query's value is compared with the threshold.",
            default="GreaterThanOrEqual",
            example="GreaterThanOrEqual",
            values=("GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual"),
        ),
    ] = None
    authentication_ref: Annotated[
        ScalerAuthenticationRef | None,
        Field("Credentials for the metrics server.", default="none"),
    ] = None
    auth_modes: Annotated[
        str | None,
        Field(
            "Comma list of authentication modes; has an effect only with authenticationRef.",
            default="none",
            example="tls,bearer",
            values=("basic", "tls", "bearer", "custom"),
        ),
    ] = None


class AcceleratorConstraints(Lens, frozen=True, kw_only=True, rename="camel"):
    """What an accelerator must have to be chosen."""

    min_memory: Annotated[
        Int64 | None,
        Field("Least memory of one accelerator.", unit="GB", default="no bound", example=40),
    ] = None
    max_memory: Annotated[
        Int64 | None,
        Field(
            "Most memory of one accelerator, to keep large ones free.",
            unit="GB",
            default="no bound",
            example=80,
        ),
    ] = None
    min_compute_performance_tflops: Annotated[
        Int64 | None,
        Field(
            "Least computing performance in half precision.",
            unit="TFLOPS",
            default="no bound",
            example=300,
        ),
    ] = msgspec.field(name="minComputePerformanceTFLOPS", default=None)
    min_architecture_version: Annotated[
        str | None,
        Field(
            "Least compute capability, compared as a version.", default="no bound", example="9.0"
        ),
    ] = None
    required_features: Annotated[
        tuple[str, ...],
        Field(
            "Features that the accelerator must all have, in any letter case.",
            default="none",
            example=["nvlink"],
            schema=ATOMIC,
        ),
    ] = ()
    excluded_classes: Annotated[
        tuple[str, ...],
        Field(
            "Accelerator classes that are never chosen.",
            default="none",
            example=["nvidia-a10"],
            schema=ATOMIC,
        ),
    ] = ()
    architecture_families: Annotated[
        tuple[str, ...],
        Field(
            "Families that may be chosen, as family or vendor-family.",
            default="all",
            example=["hopper"],
            schema=ATOMIC,
        ),
    ] = ()
    preferred_precisions: Annotated[
        tuple[str, ...],
        Field(
            "Precisions by which performance is compared, best first.",
            default="fp16",
            example=["fp8", "fp16"],
            schema=ATOMIC,
        ),
    ] = ()


class AcceleratorSelector(Lens, frozen=True, kw_only=True, rename="camel"):
    """Which accelerator a service or component wants."""

    accelerator_class: Annotated[
        str | None,
        Field(
            "Name of the AcceleratorClass to use; wins over everything else here.",
            default="chosen by policy",
            example="nvidia-h100-80gb",
        ),
    ] = None
    constraints: Annotated[
        AcceleratorConstraints | None,
        Field("What the chosen accelerator must have.", default="none"),
    ] = None
    policy: Annotated[
        str | None,
        Field(
            "How to choose among accelerators that fit.",
            default="none: no class is chosen",
            enum=ACCELERATOR_POLICIES,
            example="BestFit",
        ),
    ] = None


class PodLens(Lens, frozen=True, kw_only=True, rename="camel"):
    """A struct among whose siblings are the fields of a Kubernetes pod spec."""

    inline: ClassVar[Inline | None] = Inline(_POD, optional=("containers",))

    @property
    def pod_spec(self) -> Object:
        """The inlined pod spec as it was written, unknown fields included."""
        return self.rest


class RunnerSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """A container: the one that runs the component's program."""

    inline: ClassVar[Inline | None] = Inline(_CONTAINER)

    @property
    def container(self) -> Object:
        """The container as it was written."""
        return self.rest


class ComponentExtensionSpec(PodLens, frozen=True, kw_only=True, rename="camel"):
    """How a component scales, rolls out and is labelled."""

    min_replicas: Annotated[
        int | None,
        Field(
            "Fewest replicas that are kept running; 0 lets the component sleep.",
            unit="replicas",
            default="1",
            example=1,
        ),
    ] = None
    max_replicas: Annotated[
        int | None,
        Field(
            "Most replicas that autoscaling may start; 0 means unset.",
            unit="replicas",
            default="3 (router: 2), never less than minReplicas",
            example=3,
        ),
    ] = None
    scale_target: Annotated[
        int | None,
        Field(
            "Value of the metric per replica that autoscaling aims at.",
            unit="percent for cpu and memory, requests for concurrency and rps",
            default="80",
            example=70,
        ),
    ] = None
    scale_metric: Annotated[
        str | None,
        Field("Metric that autoscaling watches.", default="cpu", enum=SCALE_METRICS, example="cpu"),
    ] = None
    container_concurrency: Annotated[
        Int64 | None,
        Field(
            "Most requests that one replica handles at a time. Only Knative can hold requests "
            "back; elsewhere it has no effect, and the status says so.",
            unit="requests",
            default="0: no bound",
            example=16,
        ),
    ] = None
    timeout_seconds: Annotated[
        Int64 | None,
        Field(
            "How long one request may take before it is given up.",
            unit="seconds",
            default="the router's own",
            example=600,
        ),
    ] = None
    canary_traffic_percent: Annotated[
        Int64 | None,
        Field(
            "Share of traffic for the newest revision; the rest stays on the previous one.",
            unit="percent, 0 to 100",
            default="100",
            example=10,
        ),
    ] = None
    labels: Annotated[
        dict[str, str],
        Field(
            "Labels for the component's objects and pods.",
            default="none",
            example={"team": "search"},
        ),
    ] = {}
    annotations: Annotated[
        dict[str, str],
        Field(
            "Annotations for the component's objects and pods.",
            default="none",
            example={"prometheus.io/scrape": "true"},
        ),
    ] = {}
    min_available: Annotated[
        IntOrString | None,
        Field(
            "Replicas that voluntary disruptions must leave running. Not with maxUnavailable.",
            unit="replicas or percent",
            default="unset",
            example=1,
        ),
    ] = None
    max_unavailable: Annotated[
        IntOrString | None,
        Field(
            "Replicas that voluntary disruptions may take down. Not with minAvailable.",
            unit="replicas or percent",
            default="1",
            example="25%",
        ),
    ] = None
    deployment_strategy: Annotated[
        DeploymentStrategy | None,
        Field(
            "How a Deployment replaces its pods. Groups of pods take maxSurge and maxUnavailable "
            "from it.",
            default="RollingUpdate, one more pod at a time",
            example={"type": "Recreate"},
        ),
    ] = None
    keda_config: Annotated[
        KedaConfig | None,
        Field("KEDA scaling of this component.", default="the service's kedaConfig"),
    ] = None


class LeaderSpec(PodLens, frozen=True, kw_only=True, rename="camel"):
    """The first pod of a component that spans several nodes."""

    runner: Annotated[
        RunnerSpec | None,
        Field("Container of the leader pod.", default="the component's runner"),
    ] = None


class WorkerSpec(PodLens, frozen=True, kw_only=True, rename="camel"):
    """The other pods of a component that spans several nodes."""

    size: Annotated[
        int | None,
        Field("Worker pods beside each leader.", unit="pods", default="0", example=1),
    ] = None
    runner: Annotated[
        RunnerSpec | None,
        Field("Container of the worker pods.", default="the worker's first container"),
    ] = None


class EngineSpec(ComponentExtensionSpec, frozen=True, kw_only=True, rename="camel"):
    """The component that runs the model (with a decoder: the prefill side)."""

    runner: Annotated[
        RunnerSpec | None,
        Field("The serving container; merged onto the runtime's.", default="the runtime's"),
    ] = None
    leader: Annotated[
        LeaderSpec | None,
        Field("Leader pod of an engine that spans several nodes.", default="single node"),
    ] = None
    worker: Annotated[
        WorkerSpec | None,
        Field("Worker pods of an engine that spans several nodes.", default="single node"),
    ] = None
    accelerator_override: Annotated[
        AcceleratorSelector | None,
        Field(
            "Accelerator choice of this component; wins over the service's.",
            default="the service's acceleratorSelector",
        ),
    ] = None


class DecoderSpec(EngineSpec, frozen=True, kw_only=True, rename="camel"):
    """The component that generates tokens where prefill and decode run apart."""


class RouterSpec(ComponentExtensionSpec, frozen=True, kw_only=True, rename="camel"):
    """The component that spreads requests over engines and decoders."""

    runner: Annotated[
        RunnerSpec | None,
        Field("The router's container; merged onto the runtime's.", default="the runtime's"),
    ] = None
    config: Annotated[
        dict[str, str],
        Field(
            "Settings handed to the router as environment variables.",
            default="none",
            example={"ROUTER_POLICY": "cache_aware"},
        ),
    ] = {}


__all__ = [
    "AcceleratorConstraints",
    "AcceleratorSelector",
    "ComponentExtensionSpec",
    "DecoderSpec",
    "EngineSpec",
    "KedaConfig",
    "LeaderSpec",
    "PodLens",
    "RouterSpec",
    "RunnerSpec",
    "ScalerAuthenticationRef",
    "WorkerSpec",
]
