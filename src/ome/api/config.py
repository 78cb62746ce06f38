"""The configuration of the operator: the ConfigMaps, section by section.

Each data key is one section, a JSON object. Reading never fails: a value that can't be used keeps
its last good one (or the default), and a :class:`FieldError` names ConfigMap, key and JSON field,
what is wrong and what to write instead. So a typo in one field is reported and stops nothing.

Nothing is required. Sections that only one way of deploying needs are empty for everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from ome.api import constants as c
from ome.api.configreading import kept, read_sections
from ome.api.fields import Field
from ome.api.lens import Lens, Member, members
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

DEFAULT_DOMAIN_TEMPLATE: Final = "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}"
PROBE_COMPLETION: Final = "completion"
PROBE_NONE: Final = "none"


class Ingress(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``ingress``: how services get addresses."""

    ingress_gateway: Annotated[
        str, Field("Istio gateway for outside traffic.", example=c.KNATIVE_INGRESS_GATEWAY)
    ] = ""
    ingress_service: Annotated[
        str,
        Field(
            "Host of that gateway.", example="istio-ingressgateway.istio-system.svc.cluster.local"
        ),
    ] = ""
    local_gateway: Annotated[
        str, Field("Istio gateway for inside traffic.", example=c.KNATIVE_LOCAL_GATEWAY)
    ] = ""
    local_gateway_service: Annotated[
        str,
        Field(
            "Host of that gateway.", example="knative-local-gateway.istio-system.svc.cluster.local"
        ),
    ] = ""
    knative_local_gateway_service: Annotated[
        str, Field("Host of Knative's own inside gateway.", default="localGatewayService")
    ] = ""
    ome_ingress_gateway: Annotated[
        str, Field("Gateway API gateway, as namespace/name.", example="ome/ome-gateway")
    ] = ""
    ingress_domain: Annotated[
        str, Field("Domain below which services get hosts.", example="svc.cluster.local")
    ] = "example.com"
    ingress_class_name: Annotated[
        str | None, Field("Class of Ingress objects.", example="istio")
    ] = None
    additional_ingress_domains: Annotated[
        tuple[str, ...], Field("Further domains.", example=["models.example.com"])
    ] = ()
    domain_template: Annotated[
        str, Field("Template of a service's host.", example=DEFAULT_DOMAIN_TEMPLATE)
    ] = DEFAULT_DOMAIN_TEMPLATE
    url_scheme: Annotated[
        str, Field("Scheme of a service's URL.", example="https", enum=("http", "https"))
    ] = "http"
    disable_istio_virtual_host: Annotated[
        bool, Field("Create no Istio VirtualService.", example=True)
    ] = False
    path_template: Annotated[
        str,
        Field(
            "Template of a path on ingressDomain; empty: hosts only.",
            example="/services/{{ .Namespace }}/{{ .Name }}",
        ),
    ] = ""
    disable_ingress_creation: Annotated[
        bool, Field("Create neither Ingress nor routes; services are reached inside.", example=True)
    ] = False
    enable_gateway_api: Annotated[
        bool, Field("Use the Gateway API instead of Ingress.", example=False)
    ] = msgspec.field(name="enableGatewayAPI", default=False)


class Deploy(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``deploy``: how components run when nothing else is said."""

    default_deployment_mode: Annotated[
        str,
        Field(
            "Mode of services that ask for none; empty acts like RawDeployment.",
            example=c.MODE_RAW,
            enum=c.DEFAULT_DEPLOYMENT_MODES,
        ),
    ] = ""


class MetricsAggregator(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``metricsAggregator``: Prometheus defaults for pods. Texts, not booleans."""

    enable_metric_aggregation: Annotated[
        str, Field("Aggregate metrics in Knative's proxy.", example="false", enum=("true", "false"))
    ] = "false"
    enable_prometheus_scraping: Annotated[
        str, Field("Annotate pods for scraping.", example="false", enum=("true", "false"))
    ] = "false"


class Resources(Lens, frozen=True, kw_only=True, rename="camel"):
    """An image and what its container asks for. Shared by the sections for helper containers."""

    image: Annotated[str, Field("Image of the container.", example="ghcr.io/example/agent:v1")] = ""
    cpu_request: Annotated[str, Field("CPU that is reserved.", example="1")] = ""
    cpu_limit: Annotated[str, Field("Most CPU.", example="2")] = ""
    memory_request: Annotated[str, Field("Memory that is reserved.", example="2Gi")] = ""
    memory_limit: Annotated[str, Field("Most memory.", example="4Gi")] = ""

    def requirements(self) -> Object:
        """As ``resources`` of a container; what is not given is left out."""
        requests = {"cpu": self.cpu_request, "memory": self.memory_request}
        limits = {"cpu": self.cpu_limit, "memory": self.memory_limit}
        given = {
            name: {key: value for key, value in side.items() if value}
            for name, side in (("requests", requests), ("limits", limits))
        }
        return {name: side for name, side in given.items() if side}


class Agent(Resources, frozen=True, kw_only=True, rename="camel"):
    """What containers that fetch files from Oracle Cloud need (with injection only)."""

    auth_type: Annotated[
        str, Field("How it identifies itself.", example=c.AUTH_OKE_WORKLOAD_IDENTITY)
    ] = ""
    compartment_id: Annotated[
        str, Field("Compartment of the files.", example="ocid1.compartment.oc1..example")
    ] = ""
    region: Annotated[str, Field("Region of the files.", example="eu-frankfurt-1")] = ""

    def missing(self) -> list[str]:
        """JSON names of fields that must be given before the container can be added."""
        return [m.name for m in members(type(self)) if m.name in self.needed and not self._get(m)]

    @property
    def needed(self) -> tuple[str, ...]:
        return ("image", "compartmentId", "authType")

    def _get(self, member: Member) -> Any:
        return getattr(self, member.attribute)


class ModelInit(Agent, frozen=True, kw_only=True, rename="camel"):
    """Section ``modelInit``: the container that decrypts a model before the engine starts."""

    vault_id: Annotated[str, Field("Vault with the key.", example="ocid1.vault.oc1..example")] = ""
    extra_volume_mounts: Annotated[tuple[Object, ...], Field("Mounts to add.")] = ()
    extra_env_vars: Annotated[tuple[Object, ...], Field("Environment variables to add.")] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        return ("image", "compartmentId", "authType", "vaultId")


class FineTunedAdapter(Agent, frozen=True, kw_only=True, rename="camel"):
    """Section ``fineTunedAdapter``: the container that fetches fine-tuned weights."""


class ServingSidecar(Agent, frozen=True, kw_only=True, rename="camel"):
    """Section ``servingSidecar``: the container that keeps fine-tuned weights up to date."""

    realm_domain_component: Annotated[
        str, Field("Domain of the realm; has no effect.", example="oraclecloud.com")
    ] = ""
    fine_tuned_weight_info_file_path: Annotated[
        str,
        Field(
            "File in the container that lists the wanted weights; by default on the volume that "
            "it shares with the engine.",
            example="/mnt/finetuned/download/fine-tuned-weights.json",
        ),
    ] = f"{c.FINE_TUNED_DOWNLOAD_PATH}/fine-tuned-weights.json"


class RdmaProfile(Lens, frozen=True, kw_only=True, rename="camel"):
    """What a pod gets that asks for RDMA. What its author wrote stays."""

    volumes: Annotated[
        tuple[Object, ...],
        Field(
            "Volumes to add.", example=[{"name": "devinf", "hostPath": {"path": "/dev/infiniband"}}]
        ),
    ] = ()
    volume_mounts: Annotated[
        tuple[Object, ...],
        Field("Mounts to add.", example=[{"name": "devinf", "mountPath": "/dev/infiniband"}]),
    ] = ()
    env: Annotated[
        dict[str, str],
        Field("Environment variables to add, by name.", example={"NCCL_IB_GID_INDEX": "3"}),
    ] = {}
    capabilities: Annotated[
        tuple[str, ...], Field("Capabilities to add.", example=["IPC_LOCK"])
    ] = ()
    privileged: Annotated[
        bool, Field("Make the container privileged, unless it says it is not.", example=True)
    ] = False


class Rdma(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``rdma`` (ours): profiles next to, or instead of, the built-in ``oci-roce``."""

    profiles: Annotated[
        dict[str, RdmaProfile],
        Field("By the name that the annotation `rdma.ome.io/profile` gives."),
    ] = {}


class MultinodeProber(Resources, frozen=True, kw_only=True, rename="camel"):
    """Section ``multinodeProber``: the pod that watches a Ray cluster."""

    startup_failure_threshold: Annotated[
        int, Field("Failed probes before giving up.", example=150)
    ] = 150
    startup_period_seconds: Annotated[
        int, Field("Time between probes.", unit="seconds", example=30)
    ] = 30
    startup_timeout_seconds: Annotated[
        int, Field("Longest time of a probe.", unit="seconds", example=60)
    ] = 60
    startup_initial_delay_seconds: Annotated[
        int, Field("Time before the first probe.", unit="seconds", example=200)
    ] = 200
    unavailable_threshold_seconds: Annotated[
        int, Field("Time without the cluster before it is made anew.", unit="seconds", example=1800)
    ] = 1800


class Keda(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``kedaConfig``: what services that use KEDA and say no more get."""

    enable_keda: Annotated[bool, Field("Allow KEDA.", example=True)] = True
    prom_server_address: Annotated[
        str,
        Field(
            "Prometheus server.",
            example="http://prometheus-operated.monitoring.svc.cluster.local:9090",
        ),
    ] = "http://prometheus-operated.monitoring.svc.cluster.local:9090"
    custom_prom_query: Annotated[str, Field("Query; empty: the built-in one.")] = ""
    scaling_threshold: Annotated[str, Field("Threshold, as text.", example="10")] = "10"
    scaling_operator: Annotated[
        str, Field("Comparison.", example="GreaterThanOrEqual", enum=c.KEDA_OPERATORS)
    ] = "GreaterThanOrEqual"


class Readiness(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``readiness`` (ours): what Ready takes."""

    probe: Annotated[
        str,
        Field(
            "completion: Ready needs a real answer to a real request, once per version.",
            example=PROBE_COMPLETION,
            enum=(PROBE_COMPLETION, PROBE_NONE),
        ),
    ] = PROBE_NONE
    timeout_seconds: Annotated[
        int, Field("Longest wait for that answer.", unit="seconds", example=120)
    ] = 60


class Models(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``models`` (ours): where models lie on nodes."""

    root: Annotated[
        str,
        Field("Folder below which models without storage.path are kept.", example="/raid/models"),
    ] = c.DEFAULT_MODELS_ROOT


class Rollout(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``rollout`` (ours): how a change of something shared reaches services."""

    services_at_once: Annotated[
        int, Field("Services that follow such a change at the same time.", example=10)
    ] = 10


class Scaling(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``scaling`` (ours): who scales beside Kubernetes."""

    from_zero: Annotated[
        bool,
        Field(
            "Something here starts a service's first replica when it is asked (the gateway of "
            "ome up does). Without it, and without Knative or KEDA, minReplicas 0 keeps one.",
            example=False,
        ),
    ] = False


class InferenceServiceConfig(Lens, frozen=True, kw_only=True, rename="camel"):
    """ConfigMap ``inferenceservice-config``. Each member is a data key."""

    ingress: Ingress = Ingress()
    deploy: Deploy = Deploy()
    metrics_aggregator: MetricsAggregator = MetricsAggregator()
    model_init: ModelInit = ModelInit()
    fine_tuned_adapter: FineTunedAdapter = FineTunedAdapter()
    serving_sidecar: ServingSidecar = ServingSidecar()
    multinode_prober: MultinodeProber = MultinodeProber()
    keda_config: Keda = Keda()
    readiness: Readiness = Readiness()
    models: Models = Models()
    rollout: Rollout = Rollout()
    rdma: Rdma = Rdma()
    scaling: Scaling = Scaling()

    @staticmethod
    def from_config_map(
        data: Mapping[str, str] | None, last: InferenceServiceConfig | None = None
    ) -> tuple[InferenceServiceConfig, list[FieldError]]:
        """``data`` of the ConfigMap (None: there is none) as configuration and problems."""
        config, problems = read_sections(
            InferenceServiceConfig, c.INFERENCE_SERVICE_CONFIG, data, last
        )
        if config.ingress.path_template and not config.ingress.raw.get("ingressDomain"):
            path = f"{c.INFERENCE_SERVICE_CONFIG}.data[ingress].ingressDomain"
            text = "is needed, because pathTemplate is a path on it"
            problems.append(kept(path, text, "write the host that answers, or drop pathTemplate"))
            before = (last or InferenceServiceConfig()).ingress
            config = msgspec.structs.replace(config, ingress=before)
        return config, problems


class BenchmarkPod(Resources, frozen=True, kw_only=True, rename="camel"):
    """The pod of a benchmark."""

    cpu_request: Annotated[str, Field("CPU that is reserved.", example="2")] = "2"
    cpu_limit: Annotated[str, Field("Most CPU.", example="2")] = "2"
    memory_request: Annotated[str, Field("Memory that is reserved.", example="2Gi")] = "2Gi"
    memory_limit: Annotated[str, Field("Most memory.", example="2Gi")] = "2Gi"
    host_process: Annotated[
        bool, Field("Run as a process of the host (ours; one machine).", example=True)
    ] = False
    command: Annotated[
        tuple[str, ...],
        Field("What runs Python in the image (ours); none: python3.", example=["python3"]),
    ] = ()
    python: Annotated[
        str,
        Field(
            "Python that has genai-bench, where it is another one (ours).",
            example="/opt/genai-bench/bin/python",
        ),
    ] = ""


class BenchmarkJob(Lens, frozen=True, kw_only=True, rename="camel"):
    """Section ``benchmarkjob``."""

    pod_config: Annotated[BenchmarkPod, Field("The pod of a benchmark.")] = BenchmarkPod()


class BenchmarkJobConfig(Lens, frozen=True, kw_only=True, rename="camel"):
    """ConfigMap ``benchmarkjob-config``."""

    benchmarkjob: BenchmarkJob = BenchmarkJob()

    @staticmethod
    def from_config_map(
        data: Mapping[str, str] | None, last: BenchmarkJobConfig | None = None
    ) -> tuple[BenchmarkJobConfig, list[FieldError]]:
        """``data`` of the ConfigMap (None: there is none) as configuration and problems."""
        return read_sections(BenchmarkJobConfig, c.BENCHMARK_JOB_CONFIG, data, last)
