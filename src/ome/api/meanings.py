"""What labels, annotations, environment variables and conditions mean: for the reference pages.

The names are constants (:mod:`ome.api.constants`, :mod:`ome.api.conditions`); here stands who sets
each and what it does. A test holds that no name is left out.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ome.api import conditions as cond
from ome.api import constants as c


class Meaning(NamedTuple):
    """``on``: the objects that carry it. ``by``: who writes it. ``values``: which, if not free."""

    name: str
    on: str
    by: str
    text: str
    values: tuple[str, ...] = ()


_SERVICE, _PODS, _MODEL, _CHILDREN = "InferenceService", "pods", "model", "children and pods"
_YOU, _OME, _ADMISSION, _AGENT = "you", "OME", "admission", "the model agent"
_TRUE: Final = ("true",)

ANNOTATIONS: Final = (
    Meaning(
        c.A_DEPLOYMENT_MODE, f"{_SERVICE}, engine.annotations", f"you or {_ADMISSION}",
        "How components are deployed. Admission derives it from the spec where it is absent; what "
        "you write yourself is never changed. VirtualDeployment makes a name for something that "
        "runs elsewhere.", c.DEPLOYMENT_MODES,
    ),
    Meaning(c.A_HOLD_ROLLOUT, _SERVICE, _YOU,
            "Keeps the engines as they are although a runtime or model they share has changed. "
            "Remove it to let the change through.", _TRUE),
    Meaning(c.A_ACCELERATOR_CLASS, _SERVICE, _YOU,
            "An AcceleratorClass that the selected runtime must list."),
    Meaning(c.A_AUTOSCALER_CLASS, _SERVICE, _YOU,
            "Who scales: a HorizontalPodAutoscaler, KEDA, or somebody outside whom OME never "
            "disturbs.", c.AUTOSCALER_CLASSES),
    Meaning(c.A_AUTOSCALER_METRICS, _SERVICE, _YOU,
            "What a HorizontalPodAutoscaler measures where scaleMetric is not set.",
            ("cpu", "memory")),
    Meaning(c.A_TARGET_UTILIZATION, _SERVICE, _YOU,
            "Percent of that metric to aim at, 1 to 100; goes before scaleTarget."),
    Meaning(c.A_KEDA_THRESHOLD, _SERVICE, _YOU, "Goes before kedaConfig.scalingThreshold."),
    Meaning(c.A_KEDA_OPERATOR, _SERVICE, _YOU, "Goes before kedaConfig.scalingOperator.",
            c.KEDA_OPERATORS),
    Meaning(c.A_KEDA_SERVER_ADDRESS, _SERVICE, _YOU, "Goes before kedaConfig.promServerAddress."),
    Meaning(c.A_KEDA_QUERY, _SERVICE, _YOU,
            "Goes before kedaConfig.customPromQuery; taken as it is, without %s."),
    Meaning(c.A_KNATIVE_MIN_SCALE, "Knative Service", _OME,
            "minReplicas, for Knative. On an InferenceService it is not handed on."),
    Meaning(c.A_KNATIVE_MAX_SCALE, "Knative Service", _OME,
            "maxReplicas, for Knative. On an InferenceService it is not handed on."),
    Meaning(c.A_KNATIVE_ROLLOUT_DURATION, _SERVICE, _YOU,
            "How long Knative takes to move traffic to a new revision."),
    Meaning(c.A_OPENSHIFT_PASSTHROUGH, _SERVICE, _YOU,
            "Handed on to the Knative Service, for OpenShift's routes."),
    Meaning(c.A_ENABLE_TAG_ROUTING, _SERVICE, _YOU,
            "Gives the newest Knative revision a tag, and so an address of its own.", _TRUE),
    Meaning(c.A_SERVICE_TYPE, _SERVICE, _YOU,
            "Type of the Service that requests enter by; anything else counts as ClusterIP.",
            ("LoadBalancer", "NodePort", "ClusterIP")),
    Meaning(c.A_LOAD_BALANCER_IP, _SERVICE, _YOU, "loadBalancerIP of a LoadBalancer Service."),
    Meaning(c.A_ENTRYPOINT_COMPONENT, _SERVICE, "nobody",
            "Reserved. Requests enter by the router where there is one, else by the engine."),
    Meaning(c.A_INGRESS_DOMAIN_TEMPLATE, _SERVICE, _YOU, "Goes before ingress.domainTemplate."),
    Meaning(c.A_INGRESS_DOMAIN, _SERVICE, _YOU, "Goes before ingress.ingressDomain."),
    Meaning(c.A_INGRESS_ADDITIONAL_DOMAINS, _SERVICE, _YOU,
            "Goes before ingress.additionalIngressDomains; separated by commas."),
    Meaning(c.A_INGRESS_URL_SCHEME, _SERVICE, _YOU, "Goes before ingress.urlScheme."),
    Meaning(c.A_INGRESS_PATH_TEMPLATE, _SERVICE, _YOU,
            "Goes before ingress.pathTemplate; an empty text takes the path away."),
    Meaning(c.A_INGRESS_DISABLE_VIRTUAL_HOST, _SERVICE, _YOU,
            "Goes before ingress.disableIstioVirtualHost.", ("true", "false")),
    Meaning(c.A_INGRESS_DISABLE_CREATION, _SERVICE, _YOU,
            "Goes before ingress.disableIngressCreation.", ("true", "false")),
    Meaning(c.A_DEPRECATION_WARNING, _SERVICE, _ADMISSION,
            "Says that the service is still described by a predictor."),
    Meaning(c.A_HOST_PROCESS, "runtime's engineConfig.annotations", "runtimes made for a host",
            "The pod's containers run as processes of the machine, without images (`ome up`).",
            _TRUE),
    Meaning(c.A_ENABLE_METRIC_AGGREGATION, _PODS, f"you or {_ADMISSION}",
            "Lets Knative's proxy gather the engine's metrics with its own.", ("true", "false")),
    Meaning(c.A_ENABLE_PROMETHEUS_SCRAPING, _PODS, f"you or {_ADMISSION}",
            "Adds the annotations by which Prometheus finds the pod.", ("true", "false")),
    Meaning(c.A_APP_METRICS_PORT, _PODS, _YOU, "Port of the engine's own metrics (8080)."),
    Meaning(c.A_APP_METRICS_PATH, _PODS, _YOU, "Path of the engine's own metrics (/metrics)."),
    Meaning(c.A_PROMETHEUS_SCRAPE, _PODS, f"you, a runtime or {_ADMISSION}",
            "Prometheus shall scrape the pod. Kept off Services and off worker pods.", _TRUE),
    Meaning(c.A_PROMETHEUS_PORT, _PODS, f"you, a runtime or {_ADMISSION}", "Port to scrape."),
    Meaning(c.A_PROMETHEUS_PATH, _PODS, f"you, a runtime or {_ADMISSION}", "Path to scrape."),
    Meaning(c.A_VOLCANO_QUEUE, _SERVICE, _YOU, "Volcano queue of the pods; becomes a label."),
    Meaning(c.A_DEDICATED_AI_CLUSTER, _SERVICE, _YOU,
            "Queue of the pods where no Volcano queue is named: Kueue's with `kueue-enabled`, else "
            "Volcano's with high priority."),
    Meaning(c.A_KUEUE_ENABLED, _SERVICE, _YOU, "The dedicated cluster's queue is one of Kueue."),
    Meaning(c.A_VOLCANO_GPU_TYPE, _PODS, _OME,
            "GPU type that the pods of a Volcano queue ask for: `spec.integration.volcanoGPUType` "
            "of their accelerator class."),
    Meaning(c.A_VOLCANO, _SERVICE, _YOU, "Ray clusters are scheduled by Volcano."),
    Meaning(c.A_INJECT_MODEL_INIT, _PODS, f"you, a runtime or {_OME}",
            "Adds the init container that unpacks or decrypts the model; the model is then not "
            "mounted by OME. Needs section modelInit of the configuration.", ("true", "false")),
    Meaning(c.A_INJECT_FINE_TUNED_ADAPTER, _PODS, _OME,
            "Names of the FineTunedWeights that an init container fetches."),
    Meaning(c.A_INJECT_SERVING_SIDECAR, _PODS, "you or a runtime",
            "Adds the container that keeps fine-tuned weights up to date.", _TRUE),
    Meaning(c.A_FT_STRATEGY, _PODS, _OME, "hyperParameters.strategy of the weights."),
    Meaning(c.A_FT_MERGED_WEIGHTS, _PODS, _OME,
            "The weights and their base model are one; the base model is not mounted.", _TRUE),
    Meaning(c.A_BASE_MODEL_NAME, _CHILDREN, _OME, "The model's name."),
    Meaning(c.A_BASE_MODEL_VENDOR, _CHILDREN, _OME, "The model's vendor."),
    Meaning(c.A_BASE_MODEL_FORMAT, _CHILDREN, _OME, "The model's file format."),
    Meaning(c.A_BASE_MODEL_FORMAT_VERSION, _CHILDREN, _OME, "The version of that format."),
    Meaning(c.A_SERVING_RUNTIME, f"{_CHILDREN}; status of the service", _OME,
            "The runtime that serves."),
    Meaning(c.A_DECRYPTION_KEY_NAME, f"{_MODEL}, {_PODS}", _YOU,
            "Key with which the model is encrypted; handed on to the pods."),
    Meaning(c.A_DECRYPTION_SECRET_NAME, f"{_MODEL}, {_PODS}", _YOU,
            "Secret with that key; handed on to the pods."),
    Meaning(c.A_DISABLE_MODEL_DECRYPTION, _PODS, _YOU,
            "The model is not encrypted: unpack it only.", ("true", "false")),
    Meaning(c.A_MODEL_CATEGORY, _MODEL, _YOU,
            f"Size class of the model ({c.DEFAULT_MODEL_CATEGORY} where absent); becomes the label "
            f"{c.L_BASE_MODEL_SIZE}."),
    Meaning(c.A_SKIP_CONFIG_PARSING, _MODEL, _YOU,
            "Nodes don't read the model's files, and nothing is filled into its spec.", _TRUE),
    Meaning(c.A_RDMA_AUTO_INJECT, _PODS, "you or a runtime",
            "Adds what the pod needs for RDMA: volumes, environment, rights.", _TRUE),
    Meaning(c.A_RDMA_PROFILE, _PODS, "you or a runtime",
            f"Which profile ({c.RDMA_PROFILE_OCI_ROCE} where absent); further ones are in section "
            "rdma of the configuration."),
    Meaning(c.A_RDMA_CONTAINER, _PODS, "you or a runtime",
            f"Container that gets it ({c.MAIN_CONTAINER} where absent)."),
    Meaning(c.A_INPUT_HASH, "workloads", _OME,
            "What the pod template was made of. As long as it is the same, the template stays."),
    Meaning(c.A_CREATED_FROM, "children that OME creates", _OME,
            "From its creation to its first change: digest of the object it was made from."),
    Meaning(c.A_SCALE_TO_ZERO_AFTER, _SERVICE, _YOU,
            "How long a service with minReplicas 0 stays up without a request, where a gateway "
            "scales it; as `10m` or `90s`."),
    Meaning(c.A_SCALE_FROM_ZERO_TIMEOUT, _SERVICE, _YOU,
            "How long the gateway holds a request until a replica is there; as `10m` or `90s`."),
    Meaning(c.A_PEER, "Node", "the model agent",
            "Where the agent of this node gives models to other agents."),
    Meaning(c.A_VERIFY, _MODEL, "you, or `ome model verify`",
            "Every node that has the model reads all of its bytes again, once for each new value."),
    Meaning(c.A_CREATED_FROM, "children", _OME,
            "What the object was created from; gone with its first change."),
    Meaning(c.A_RAY_UNAVAILABLE_SINCE, "RayCluster", _OME,
            "Since when the engine has not answered; after a while the cluster is made anew."),
    Meaning(c.A_NODE_NAME, "node's ConfigMap of models", _AGENT, "The node's full name."),
    Meaning(c.A_MANAGED_BY, "node's ConfigMap of models", _AGENT, "Who writes the ConfigMap.",
            (c.MANAGED_BY_MODEL_AGENT,)),
    Meaning(c.A_STORAGE_SOURCE_URI, _SERVICE, "older tools", "Internal; never handed on."),
    Meaning(c.A_LAST_APPLIED, "any", "kubectl", "What was applied last; never handed on."),
)  # fmt: skip

LABELS: Final = (
    Meaning(c.L_INFERENCE_SERVICE, _CHILDREN, _OME, "Name of the service that owns the object."),
    Meaning(c.L_COMPONENT, _CHILDREN, _OME, "Which component it belongs to.",
            (*c.COMPONENTS, c.PREDICTOR, c.COMPONENT_EXTERNAL_SERVICE)),
    Meaning(c.L_APP, "Deployments and their pods", _OME, "What the Deployment selects by."),
    Meaning(c.L_SERVING_RUNTIME, _CHILDREN, _OME, "The runtime; empty where there is none."),
    Meaning(c.L_BASE_MODEL_NAME, _CHILDREN, _OME, "The model's name."),
    Meaning(c.L_BASE_MODEL_SIZE, _CHILDREN, _OME,
            f"Size class of the model, from {c.A_MODEL_CATEGORY}."),
    Meaning(c.L_BASE_MODEL_TYPE, _CHILDREN, _OME, "What the model is used for.",
            (c.BASE_MODEL_TYPE_SERVING,)),
    Meaning(c.L_BASE_MODEL_VENDOR, _CHILDREN, _OME, "The model's vendor."),
    Meaning(c.L_FINE_TUNED_SERVING, _CHILDREN, _OME, "Fine-tuned weights are served.",
            ("true", "false")),
    Meaning(c.L_FT_MERGED_WEIGHTS, _CHILDREN, _OME, "The weights are merged with their model.",
            ("true", "false")),
    Meaning(c.L_FT_STRATEGY, _CHILDREN, _OME, "How the weights were trained."),
    Meaning(c.L_KNATIVE_VISIBILITY, _SERVICE, _YOU,
            "The service is reached from inside the cluster only.",
            (c.VISIBILITY_CLUSTER_LOCAL,)),
    Meaning(c.L_ISTIO_INJECT, f"{_SERVICE}, component labels", _YOU,
            "Istio's proxy runs in the pods; groups of pods get a Sidecar object that leaves the "
            "traffic between their members alone.", ("true", "false")),
    Meaning(c.L_KNATIVE_REVISION, _PODS, "Knative", "The revision that the pod belongs to."),
    Meaning(c.L_RAY_NODE_TYPE, "leaders and Ray heads", f"{_OME} or KubeRay",
            "The pod takes requests.", ("head",)),
    Meaning(c.L_RAY_SCHEDULER, _CHILDREN, _OME, "Ray's scheduler, from the annotation volcano."),
    Meaning(c.L_RAY_PRIORITY_CLASS, _CHILDREN, _OME, "Priority class for Volcano.",
            (c.VOLCANO_PRIORITY_CLASS,)),
    Meaning(c.L_VOLCANO_QUEUE, _CHILDREN, _OME, "Volcano queue."),
    Meaning(c.L_VOLCANO_JOB, _PODS, "Volcano", "Job of Volcano that the pod belongs to."),
    Meaning(c.L_KUEUE_QUEUE, _CHILDREN, _OME, "Kueue queue."),
    Meaning(c.L_KUEUE_PRIORITY_CLASS, _CHILDREN, _OME, "Priority class for Kueue.",
            (c.KUEUE_PRIORITY_CLASS,)),
    Meaning(c.L_RESERVE_ARTIFACT, _MODEL, _YOU,
            "The model's files stay on the nodes when the model is deleted (any letter case).",
            _TRUE),
    Meaning(c.L_MODEL_STATUS, "node's ConfigMap of models", _AGENT,
            "Marks the ConfigMap in which a node reports its models.", _TRUE),
    Meaning(c.L_NODE, "node's ConfigMap of models", _AGENT, "The node's name."),
    Meaning(c.L_INSTANCE_TYPE, "Node", "Kubernetes", "Type of the machine."),
    Meaning(c.L_INSTANCE_TYPE_BETA, "Node", "Kubernetes", "Type of the machine, the older name."),
    Meaning(c.L_PART_OF, "CRDs and what OME ships", _OME, "Belongs to OME.", ("ome",)),
    Meaning(c.L_CONTROL_PLANE, "namespaces, the operator's pods", "the chart",
            "Pods of such namespaces are never changed by the pod webhook."),
    Meaning(c.L_TRAINING_JOB, _PODS, "older tools", "Pods of a training job; reserved."),
    Meaning(c.L_ENDPOINT, _PODS, "nobody", "Reserved."),
)  # fmt: skip

ENVIRONMENT: Final = (
    Meaning(c.E_MODEL_PATH, "engine, decoder", _OME, "Where the model's files are mounted."),
    Meaning(c.E_SERVED_MODEL_NAME, "engine, decoder", _OME,
            "Name for the model, where fine-tuned weights of some vendors ask for one."),
    Meaning(c.E_PARALLELISM_SIZE, "engine, decoder", _OME,
            "GPUs of the container times pods that work together; absent where there are none, or "
            "an accelerator class was chosen."),
    Meaning(c.E_TFEW_PATH, "engine, decoder", _OME, "Where T-Few weights are mounted."),
    Meaning(c.E_STORAGE_URI, "engine", "migration", "storageUri of an older predictor."),
    Meaning(c.E_PROTOCOL_VERSION, "engine", "migration", "protocolVersion of an older predictor."),
    Meaning(c.E_CONTAINER_METRICS_PORT, "queue-proxy", _ADMISSION, "Port of the engine's metrics."),
    Meaning(c.E_CONTAINER_METRICS_PATH, "queue-proxy", _ADMISSION, "Path of the engine's metrics."),
    Meaning(c.E_AGGREGATE_METRICS_PORT, "queue-proxy", _ADMISSION, "Port of the gathered metrics."),
    Meaning(c.E_DEPLOYMENT_MODE, "containers of an older runtime", _YOU,
            "Says that the runtime is for one node or several; admission checks workers by it.",
            (c.MODE_RAW, c.MODE_MULTI_NODE)),
)  # fmt: skip

_EACH = "engine, decoder, router: one each"
CONDITIONS: Final = (
    Meaning(cond.READY, "InferenceService, models", _OME,
            "All that is declared can be used. Where it is not True, reason and message are those "
            "of the condition that stands in the way."),
    Meaning(cond.SELECTED, "InferenceService", _OME,
            "A model, a runtime and, where asked for, an accelerator were found."),
    Meaning("Rendered", "InferenceService", _OME, "All objects of the service could be made."),
    Meaning(cond.MODEL_READY, "InferenceService", _OME, "The model is on enough nodes."),
    Meaning("<Component>Ready", "InferenceService", _OME,
            f"The component can take requests ({_EACH})."),
    Meaning(cond.INGRESS_READY, "InferenceService", _OME, "The service has its address."),
    Meaning(cond.ANSWERS, "InferenceService", _OME,
            "A real request got a real answer, once for each version (section readiness)."),
    Meaning(cond.UPDATE_PENDING, "InferenceService", _OME,
            "A shared runtime or model has changed, and the service waits for its turn or is held. "
            "Absent where nothing waits."),
    Meaning(cond.AUTOSCALER_READY, "InferenceService", _OME,
            "False while a HorizontalPodAutoscaler or ScaledObject can't do its work; it takes no "
            "readiness away. Absent where all is well."),
    Meaning("<Component>RouteReady", "InferenceService", _OME,
            "Knative's route of the component (Serverless only)."),
    Meaning("<Component>ConfigurationReady", "InferenceService", _OME,
            "Knative's configuration of the component (Serverless only)."),
    Meaning(cond.ROUTES_READY, "InferenceService", _OME, "All Knative routes (Serverless only)."),
    Meaning(cond.LATEST_DEPLOYMENT_READY, "InferenceService", _OME,
            "All Knative configurations (Serverless only)."),
    Meaning("InUse", "models", _OME,
            "The model is being deleted and waits: for services that use it, or for nodes."),
    Meaning("Available", "AcceleratorClass", _OME,
            "At least one node with such accelerators is ready and takes pods."),
)  # fmt: skip
