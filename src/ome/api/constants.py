"""Names that other software sees: labels, annotations, environment variables, paths, ports.

They are part of the contract and never change. Each carries who reads or writes it where the name
doesn't say so. Names derived from objects are in :mod:`ome.api.names`.
"""

from __future__ import annotations

from typing import Final

OPERATOR_NAME: Final = "ome"
DEFAULT_NAMESPACE: Final = "ome"
"""Where the operator and its ConfigMaps live when nothing else is said."""

LEADER_LEASE: Final = "ome-controller-manager-leader-lock"

# --- configuration maps -----------------------------------------------------------------------
INFERENCE_SERVICE_CONFIG: Final = "inferenceservice-config"
BENCHMARK_JOB_CONFIG: Final = "benchmarkjob-config"

# --- components, modes, autoscalers -----------------------------------------------------------
ENGINE: Final = "engine"
DECODER: Final = "decoder"
ROUTER: Final = "router"
PREDICTOR: Final = "predictor"
COMPONENTS: Final = (ENGINE, DECODER, ROUTER)

MODE_SERVERLESS: Final = "Serverless"
MODE_RAW: Final = "RawDeployment"
MODE_MULTI_NODE: Final = "MultiNode"
MODE_MULTI_NODE_RAY: Final = "MultiNodeRayVLLM"
MODE_PD_DISAGGREGATED: Final = "PDDisaggregated"
MODE_VIRTUAL: Final = "VirtualDeployment"
DEPLOYMENT_MODES: Final = (
    MODE_SERVERLESS,
    MODE_RAW,
    MODE_MULTI_NODE_RAY,
    MODE_PD_DISAGGREGATED,
    MODE_MULTI_NODE,
    MODE_VIRTUAL,
)
DEFAULT_DEPLOYMENT_MODES: Final = (MODE_SERVERLESS, MODE_RAW)
"""The only values of ``deploy.defaultDeploymentMode``."""

AUTOSCALER_HPA: Final = "hpa"
AUTOSCALER_KEDA: Final = "keda"
AUTOSCALER_EXTERNAL: Final = "external"
AUTOSCALER_CLASSES: Final = (AUTOSCALER_HPA, AUTOSCALER_KEDA, AUTOSCALER_EXTERNAL)
KEDA_OPERATORS: Final = ("GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual")
KEDA_AUTH_MODES: Final = ("basic", "tls", "bearer", "custom")
DEFAULT_MIN_REPLICAS: Final = 1
DEFAULT_MAX_REPLICAS: Final = {ENGINE: 3, DECODER: 3, ROUTER: 2}
DEFAULT_CPU_UTILIZATION: Final = 80
"""Percent; target of an HPA when neither the annotation nor ``scaleTarget`` is given."""

# --- annotations ------------------------------------------------------------------------------
A_DEPLOYMENT_MODE: Final = "ome.io/deploymentMode"
A_ENABLE_TAG_ROUTING: Final = "ome.io/enable-tag-routing"
A_AUTOSCALER_CLASS: Final = "ome.io/autoscalerClass"
A_AUTOSCALER_METRICS: Final = "ome.io/metrics"
A_TARGET_UTILIZATION: Final = "ome.io/targetUtilizationPercentage"
A_DEPRECATION_WARNING: Final = "ome.io/deprecation-warning"
A_ENABLE_METRIC_AGGREGATION: Final = "ome.io/enable-metric-aggregation"
A_ENABLE_PROMETHEUS_SCRAPING: Final = "ome.io/enable-prometheus-scraping"
A_APP_METRICS_PORT: Final = "prometheus.ome.io/port"
A_APP_METRICS_PATH: Final = "prometheus.ome.io/path"
A_PROMETHEUS_PORT: Final = "prometheus.io/port"
A_PROMETHEUS_PATH: Final = "prometheus.io/path"
A_PROMETHEUS_SCRAPE: Final = "prometheus.io/scrape"
A_DEDICATED_AI_CLUSTER: Final = "ome.io/dedicated-ai-cluster"
A_VOLCANO_QUEUE: Final = "ome.io/volcano-queue"
A_VOLCANO: Final = "volcano"
A_VOLCANO_GPU_TYPE: Final = "nvidia.com/use-gputype"
A_KUEUE_ENABLED: Final = "kueue-enabled"
A_INJECT_MODEL_INIT: Final = "ome.io/inject-model-init"
A_INJECT_FINE_TUNED_ADAPTER: Final = "ome.io/inject-fine-tuned-adapter"
A_INJECT_SERVING_SIDECAR: Final = "ome.io/inject-serving-sidecar"
A_FT_STRATEGY: Final = "ome.io/fine-tuned-weight-ft-strategy"
A_FT_MERGED_WEIGHTS: Final = "ome.io/fine-tuned-serving-with-merged-weights"
A_BASE_MODEL_NAME: Final = "ome.io/base-model-name"
A_BASE_MODEL_VENDOR: Final = "ome.io/base-model-vendor"
A_BASE_MODEL_FORMAT: Final = "ome.io/base-model-format"
A_BASE_MODEL_FORMAT_VERSION: Final = "ome.io/base-model-format-version"
A_SERVING_RUNTIME: Final = "ome.io/serving-runtime"
A_DECRYPTION_KEY_NAME: Final = "ome.io/base-model-decryption-key-name"
A_DECRYPTION_SECRET_NAME: Final = "ome.io/base-model-decryption-secret-name"
A_DISABLE_MODEL_DECRYPTION: Final = "ome.io/disable-model-decryption"
A_SERVICE_TYPE: Final = "ome.io/service-type"
A_LOAD_BALANCER_IP: Final = "ome.io/load-balancer-ip"
A_ENTRYPOINT_COMPONENT: Final = "ome.io/entrypoint-component"
A_ACCELERATOR_CLASS: Final = "ome.io/accelerator-class"
A_RDMA_AUTO_INJECT: Final = "rdma.ome.io/auto-inject"
A_RDMA_PROFILE: Final = "rdma.ome.io/profile"
A_RDMA_CONTAINER: Final = "rdma.ome.io/container-name"
A_MODEL_CATEGORY: Final = "models.ome.io/category"
A_INGRESS_DOMAIN_TEMPLATE: Final = "ome.io/ingress-domain-template"
A_INGRESS_DOMAIN: Final = "ome.io/ingress-domain"
A_INGRESS_ADDITIONAL_DOMAINS: Final = "ome.io/ingress-additional-domains"
A_INGRESS_URL_SCHEME: Final = "ome.io/ingress-url-scheme"
A_INGRESS_PATH_TEMPLATE: Final = "ome.io/ingress-path-template"
A_INGRESS_DISABLE_VIRTUAL_HOST: Final = "ome.io/ingress-disable-istio-virtualhost"
A_INGRESS_DISABLE_CREATION: Final = "ome.io/ingress-disable-creation"
A_KEDA_THRESHOLD: Final = "autoscaling.keda.sh/threshold"
A_KEDA_OPERATOR: Final = "autoscaling.keda.sh/operator"
A_KEDA_SERVER_ADDRESS: Final = "autoscaling.keda.sh/prometheus.serverAddress"
A_KEDA_QUERY: Final = "autoscaling.keda.sh/prometheus.query"
A_KNATIVE_MIN_SCALE: Final = "autoscaling.knative.dev/min-scale"
A_KNATIVE_MAX_SCALE: Final = "autoscaling.knative.dev/max-scale"
A_KNATIVE_ROLLOUT_DURATION: Final = "serving.knative.dev/rollout-duration"
A_OPENSHIFT_PASSTHROUGH: Final = "serving.knative.openshift.io/enablePassthrough"
A_STORAGE_SOURCE_URI: Final = "internal.ome.io/storage-initializer-sourceuri"
A_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
A_SKIP_CONFIG_PARSING: Final = "ome.oracle.com/skip-config-parsing"
A_RAY_UNAVAILABLE_SINCE: Final = "raycluster/unavailable-since"
A_NODE_NAME: Final = "models.ome.io/node-name"
A_MANAGED_BY: Final = "models.ome.io/managed-by"
A_PEER: Final = "models.ome.io/peer"
"""On a node: where its agent gives models to other agents."""
A_VERIFY: Final = "models.ome.io/verify"
"""On a model: every node that has it reads all bytes again, once for each new value."""
MANAGED_BY_MODEL_AGENT: Final = "model-agent"

A_SCALE_TO_ZERO_AFTER: Final = "ome.io/scale-to-zero-after"
"""How long a service with minReplicas 0 stays up without a request, where a gateway scales it."""
A_SCALE_FROM_ZERO_TIMEOUT: Final = "ome.io/scale-from-zero-timeout"
"""How long its gateway holds a request until a replica is there."""
A_HOST_PROCESS: Final = "ome.io/host-process"
"""On a pod: ``"true"`` runs its containers as processes of the host (the one-machine home)."""
A_HOLD_ROLLOUT: Final = "ome.io/hold-rollout"
"""On a service: ``"true"`` keeps its live pod template although a shared input changed."""
A_INPUT_HASH: Final = "ome.io/template-input-hash"
"""On a child: hash of the inputs of its pod template. Same inputs keep the live template."""
A_CREATED_FROM: Final = "ome.io/created-from"
"""On a child, from its creation to its first change: digest of the object it was made from."""

NOT_PROPAGATED_ANNOTATIONS: Final = frozenset(
    {A_KNATIVE_MIN_SCALE, A_KNATIVE_MAX_SCALE, A_STORAGE_SOURCE_URI, A_LAST_APPLIED}
)
"""Annotations of a service that never reach its children."""

POD_ONLY_ANNOTATION_PREFIXES: Final = (
    "k8s.grafana.com/",
    "loki.grafana.com/",
    "prometheus.io/",
    "networking.gke.io/",
    "rdma.ome.io/",
)
POD_ONLY_ANNOTATIONS: Final = frozenset(
    {A_INJECT_MODEL_INIT, A_INJECT_FINE_TUNED_ADAPTER, A_INJECT_SERVING_SIDECAR}
)
"""Annotations that belong on pods and are kept away from Services (with the prefixes above)."""

# --- labels -----------------------------------------------------------------------------------
L_INFERENCE_SERVICE: Final = "ome.io/inferenceservice"
L_TRAINING_JOB: Final = "ome.io/trainingjob"
L_COMPONENT: Final = "component"
L_APP: Final = "app"
L_ENDPOINT: Final = "endpoint"
L_KNATIVE_REVISION: Final = "serving.knative.dev/revision"
L_BASE_MODEL_NAME: Final = "base-model-name"
L_BASE_MODEL_SIZE: Final = "base-model-size"
L_BASE_MODEL_TYPE: Final = "base-model-type"
L_BASE_MODEL_VENDOR: Final = "base-model-vendor"
L_SERVING_RUNTIME: Final = "serving-runtime"
L_FINE_TUNED_SERVING: Final = "fine-tuned-serving"
L_FT_MERGED_WEIGHTS: Final = "fine-tuned-serving-with-merged-weights"
L_FT_STRATEGY: Final = "fine-tuned-weight-ft-strategy"
L_RAY_SCHEDULER: Final = "ray.io/scheduler-name"
L_RAY_PRIORITY_CLASS: Final = "ray.io/priority-class-name"
L_RAY_NODE_TYPE: Final = "ray.io/node-type"
L_VOLCANO_QUEUE: Final = "volcano.sh/queue-name"
L_VOLCANO_JOB: Final = "volcano.sh/job-name"
L_KUEUE_QUEUE: Final = "kueue.x-k8s.io/queue-name"
L_KUEUE_PRIORITY_CLASS: Final = "kueue.x-k8s.io/priority-class"
L_KNATIVE_VISIBILITY: Final = "networking.knative.dev/visibility"
L_ISTIO_INJECT: Final = "sidecar.istio.io/inject"
L_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
L_INSTANCE_TYPE_BETA: Final = "beta.kubernetes.io/instance-type"
L_MODEL_STATUS: Final = "models.ome/basemodel-status"
"""``"true"`` marks a node's model status ConfigMap."""
L_NODE: Final = "node"
"""On a node's model status ConfigMap: the node's name."""
L_RESERVE_ARTIFACT: Final = "models.ome/reserve-model-artifact"
"""On a model: ``"true"`` (any case) keeps its files when the model is deleted."""
L_PART_OF: Final = "app.kubernetes.io/part-of"
L_CONTROL_PLANE: Final = "control-plane"

MODEL_LABEL_DOMAIN: Final = "models.ome.io"
BASE_MODEL_TYPE_SERVING: Final = "Serving"
DEFAULT_MODEL_CATEGORY: Final = "SMALL"
COMPONENT_EXTERNAL_SERVICE: Final = "external-service"
VISIBILITY_CLUSTER_LOCAL: Final = "cluster-local"
VOLCANO_PRIORITY_CLASS: Final = "volcano-scheduling-high-priority"
KUEUE_PRIORITY_CLASS: Final = "kueue-scheduling-high-priority"

# --- a model on one node: value of the node label and of `status` in the node's ConfigMap -----
NODE_MODEL_READY: Final = "Ready"
NODE_MODEL_UPDATING: Final = "Updating"
NODE_MODEL_FAILED: Final = "Failed"
NODE_MODEL_DELETED: Final = "Deleted"

# --- finalizers -------------------------------------------------------------------------------
FINALIZER_INFERENCE_SERVICE: Final = "inferenceservice.finalizers"
FINALIZER_BASE_MODEL: Final = "basemodels.ome.io/finalizer"
FINALIZER_WEIGHTS: Final = "finetunedweights.ome.io/finalizer"
FINALIZER_CLUSTER_BASE_MODEL: Final = "clusterbasemodels.ome.io/finalizer"
FINALIZER_BENCHMARK_JOB: Final = "benchmarkjob.finalizers"
FINALIZER_ACCELERATOR_CLASS: Final = "acceleratorclasses.ome.io/finalizer"

# --- field managers ---------------------------------------------------------------------------
MANAGER: Final = "ome"
"""Owns children that were applied."""
MANAGER_STATUS: Final = "ome-status"
MANAGER_AGENT: Final = "ome-agent"
MANAGER_BEFORE: Final = "manager"
"""The program of the implementation that OME can take over from, and go back to."""

# --- containers, volumes, paths, ports --------------------------------------------------------
MAIN_CONTAINER: Final = "ome-container"
TRAINER_CONTAINER: Final = "trainer"
PROBER_CONTAINER: Final = "multinode-prober"
STORAGE_INITIALIZER_CONTAINER: Final = "storage-initializer"
MODEL_INIT_CONTAINER: Final = "model-init"
FINE_TUNED_ADAPTER_CONTAINER: Final = "fine-tuned-adapter"
SERVING_SIDECAR_CONTAINER: Final = "serving-sidecar"
QUEUE_PROXY_CONTAINER: Final = "queue-proxy"

MODEL_EMPTY_DIR_VOLUME: Final = "model-empty-dir"
DEFAULT_MODELS_ROOT: Final = "/raid/models"
MODEL_SOURCE_PATH: Final = "/mnt/model"
MODEL_STORE_PATH: Final = "/opt/ml/model"
MODEL_STORE_PREFIX: Final = "/opt/ml"
FINE_TUNED_DOWNLOAD_PATH: Final = "/mnt/finetuned/download"
TFEW_PATH: Final = "/opt/ml/tfew"
TFEW_TRANSFORMER_PATH: Final = "/opt/ml/tfew/fastertransformer/1"
SERVED_FINE_TUNED_PREFIX: Final = "/data"
SUBPATH_BASE: Final = "base"
SUBPATH_DOWNLOAD: Final = "download"
SUBPATH_FINE_TUNED: Final = "finetuned"
SUBPATH_TENSORRT_LLM: Final = "tensorrt_llm"

SERVICE_PORT: Final = 8080
HTTP_PORT: Final = 80
AGGREGATE_METRICS_PORT: Final = 9088
AGGREGATE_METRICS_PORT_NAME: Final = "aggr-metric"
QUEUE_PROXY_METRICS_PORT: Final = 9091
PROBER_PORT: Final = 8080
WEBHOOK_PORT: Final = 9443
MANAGER_METRICS_PORT: Final = 8080
PROBE_PORT: Final = 8081
DEFAULT_METRICS_PATH: Final = "/metrics"

# --- environment of serving containers --------------------------------------------------------
E_MODEL_PATH: Final = "MODEL_PATH"
E_SERVED_MODEL_NAME: Final = "SERVED_MODEL_NAME"
E_PARALLELISM_SIZE: Final = "PARALLELISM_SIZE"
E_TFEW_PATH: Final = "TFEW_PATH"
E_STORAGE_URI: Final = "STORAGE_URI"
E_PROTOCOL_VERSION: Final = "PROTOCOL_VERSION"
E_CONTAINER_METRICS_PORT: Final = "CONTAINER_PROMETHEUS_METRICS_PORT"
E_CONTAINER_METRICS_PATH: Final = "CONTAINER_PROMETHEUS_METRICS_PATH"
E_AGGREGATE_METRICS_PORT: Final = "AGGREGATE_PROMETHEUS_METRICS_PORT"
E_DEPLOYMENT_MODE: Final = "DEPLOYMENT_MODE"

# --- environment of the model containers that the pod webhook adds ----------------------------
AGENT_ENV_PREFIX: Final = "OME_AGENT_"
E_AGENT_MODEL_NAME: Final = "OME_AGENT_MODEL_NAME"
E_AGENT_MODEL_STORE_DIRECTORY: Final = "OME_AGENT_MODEL_STORE_DIRECTORY"
E_AGENT_MODEL_FRAMEWORK: Final = "OME_AGENT_MODEL_FRAMEWORK"
E_AGENT_TENSORRTLLM_VERSION: Final = "OME_AGENT_TENSORRTLLM_VERSION"
E_AGENT_MODEL_TYPE: Final = "OME_AGENT_MODEL_TYPE"
E_AGENT_LOCAL_PATH: Final = "OME_AGENT_LOCAL_PATH"
E_AGENT_NUM_OF_GPU: Final = "OME_AGENT_NUM_OF_GPU"
E_AGENT_DISABLE_MODEL_DECRYPTION: Final = "OME_AGENT_DISABLE_MODEL_DECRYPTION"
E_AGENT_MODEL_BUCKET_NAME: Final = "OME_AGENT_MODEL_BUCKET_NAME"
E_AGENT_MODEL_NAMESPACE: Final = "OME_AGENT_MODEL_NAMESPACE"
E_AGENT_MODEL_OBJECT_NAME: Final = "OME_AGENT_MODEL_OBJECT_NAME"
E_AGENT_COMPARTMENT_ID: Final = "OME_AGENT_COMPARTMENT_ID"
E_AGENT_AUTH_TYPE: Final = "OME_AGENT_AUTH_TYPE"
E_AGENT_REGION: Final = "OME_AGENT_REGION"
E_AGENT_VAULT_ID: Final = "OME_AGENT_VAULT_ID"
E_AGENT_KEY_NAME: Final = "OME_AGENT_KEY_NAME"
E_AGENT_SECRET_NAME: Final = "OME_AGENT_SECRET_NAME"
E_AGENT_FT_INFO_FILE_PATH: Final = "OME_AGENT_FINE_TUNED_WEIGHT_INFO_FILE_PATH"
E_AGENT_FT_UNZIPPED_DIRECTORY: Final = "OME_AGENT_UNZIPPED_FINE_TUNED_WEIGHT_DIRECTORY"
E_AGENT_FT_ZIPPED_DIRECTORY: Final = "OME_AGENT_ZIPPED_FINE_TUNED_WEIGHT_DIRECTORY"

# --- environment of the operator --------------------------------------------------------------
E_POD_NAMESPACE: Final = "POD_NAMESPACE"
E_ENABLE_PREDICTOR_MIGRATION: Final = "ENABLE_PREDICTOR_MIGRATION"

# --- resources, auth, headers, mesh -----------------------------------------------------------
NVIDIA_GPU: Final = "nvidia.com/gpu"
AUTH_OKE_WORKLOAD_IDENTITY: Final = "OkeWorkloadIdentity"
HEADER_SERVICE_NAME: Final = "OMe-Isvc-Name"
HEADER_SERVICE_NAMESPACE: Final = "OME-Isvc-Namespace"
MESH_GATEWAY: Final = "mesh"
KNATIVE_LOCAL_GATEWAY: Final = "knative-serving/knative-local-gateway"
KNATIVE_INGRESS_GATEWAY: Final = "knative-serving/knative-ingress-gateway"

VENDOR_META: Final = "meta"
VENDOR_COHERE: Final = "cohere"
VENDOR_OPENAI: Final = "openai"
STRATEGY_TFEW: Final = "tfew"
STRATEGY_LORA: Final = "lora"
RDMA_PROFILE_OCI_ROCE: Final = "oci-roce"
