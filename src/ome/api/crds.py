"""The CustomResourceDefinitions of ``ome.io/v1beta1``, made from the lenses.

``crd(resource)`` is deterministic: the same code gives the same bytes. The schemas are structural
and complete, pod specs included, and carry a description for each field of OME's own. What needs a
look-up is for admission (:mod:`ome.admission`); the few rules here need none.

Where the existing CRDs are more lenient than their types, so are these: an InferenceService's
runner needs no name, and a probe's handler needs no port before it is merged with the runtime's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ome.api import resources as o
from ome.api.accelerator import AcceleratorClass
from ome.api.benchmark import BenchmarkJob
from ome.api.inferenceservice import InferenceService
from ome.api.lens import KubeObject
from ome.api.model import BaseModel, ClusterBaseModel
from ome.api.runtime import ClusterServingRuntime, ServingRuntime
from ome.api.schemas import Schemas
from ome.api.weight import FineTunedWeight
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, Resource

KINDS: Final[dict[Resource, type[KubeObject]]] = {
    o.INFERENCE_SERVICES: InferenceService,
    o.SERVING_RUNTIMES: ServingRuntime,
    o.CLUSTER_SERVING_RUNTIMES: ClusterServingRuntime,
    o.BASE_MODELS: BaseModel,
    o.CLUSTER_BASE_MODELS: ClusterBaseModel,
    o.FINE_TUNED_WEIGHTS: FineTunedWeight,
    o.BENCHMARK_JOBS: BenchmarkJob,
    o.ACCELERATOR_CLASSES: AcceleratorClass,
}
CATEGORY: Final = "ome"

_READY: Final = ".status.conditions[?(@.type=='Ready')]"
# The one that serves, whether the service names it or it was selected.
_RUNTIME: Final = ".status.annotations.ome\\.io/serving-runtime"
_ENGINE: Final = ".status.components.engine.traffic"
_AGE: Final = ("Age", "date", ".metadata.creationTimestamp")
_RUNTIME_COLUMNS: Final = (
    ("Disabled", "boolean", ".spec.disabled"),
    ("ModelFormat", "string", ".spec.supportedModelFormats[*].modelFormat.name"),
    ("ModelFramework", "string", ".spec.supportedModelFormats[*].modelFramework.name"),
    ("ModelFrameworkVersion", "string", ".spec.supportedModelFormats[*].modelFramework.version"),
    ("ModelArchitecture", "string", ".spec.supportedModelFormats[*].modelArchitecture"),
    ("ModelSizeMin", "string", ".spec.modelSizeRange.min"),
    ("ModelSizeMax", "string", ".spec.modelSizeRange.max"),
    ("Images", "string", ".spec.containers[*].image"),
    _AGE,
)
_MODEL_COLUMNS: Final = (
    ("Disabled", "boolean", ".spec.disabled"),
    ("Version", "string", ".spec.version"),
    ("Vendor", "string", ".spec.vendor"),
    ("Framework", "string", ".spec.modelFramework.name"),
    ("FrameworkVersion", "string", ".spec.modelFramework.version"),
    ("ModelFormat", "string", ".spec.modelFormat.name"),
    ("Architecture", "string", ".spec.modelArchitecture"),
    ("Capabilities", "string", ".spec.modelCapabilities[*]"),
    ("Size", "string", ".spec.modelParameterSize"),
    ("CompartmentID", "string", ".spec.compartmentID"),
    ("Ready", "string", ".status.state"),
    _AGE,
    ("Why", "string", ".status.message"),
)
COLUMNS: Final[dict[Resource, tuple[tuple[str, str, str], ...]]] = {
    o.INFERENCE_SERVICES: (
        ("URL", "string", ".status.url"),
        ("Ready", "string", f"{_READY}.status"),
        ("BaseModel", "string", ".spec.model.name"),
        ("Runtime", "string", _RUNTIME),
        ("Prev", "integer", f"{_ENGINE}[?(@.tag=='prev')].percent"),
        ("Latest", "integer", f"{_ENGINE}[?(@.latestRevision==true)].percent"),
        ("PrevRolledoutRevision", "string", f"{_ENGINE}[?(@.tag=='prev')].revisionName"),
        ("LatestReadyRevision", "string", f"{_ENGINE}[?(@.latestRevision==true)].revisionName"),
        _AGE,
        ("Why", "string", f"{_READY}.message"),
    ),
    o.SERVING_RUNTIMES: _RUNTIME_COLUMNS,
    o.CLUSTER_SERVING_RUNTIMES: _RUNTIME_COLUMNS,
    o.BASE_MODELS: _MODEL_COLUMNS,
    o.CLUSTER_BASE_MODELS: _MODEL_COLUMNS,
    o.FINE_TUNED_WEIGHTS: (
        ("Disabled", "boolean", ".spec.disabled"),
        ("Version", "string", ".spec.version"),
        ("Vendor", "string", ".spec.vendor"),
        ("CompartmentID", "string", ".spec.compartmentID"),
        ("ModelType", "string", ".spec.modelType"),
        ("Ready", "string", ".status.state"),
        _AGE,
        ("Why", "string", ".status.message"),
    ),
    o.BENCHMARK_JOBS: (
        _AGE,
        ("Status", "string", ".status.state"),
        ("Why", "string", ".status.details"),
    ),
    o.ACCELERATOR_CLASSES: (
        ("Vendor", "string", ".spec.vendor"),
        ("Family", "string", ".spec.family"),
        ("Model", "string", ".spec.model"),
        ("Memory", "string", ".spec.capabilities.memoryGB"),
        ("Nodes", "integer", ".status.availableNodes"),
        _AGE,
    ),
}
SHORT_NAMES: Final[dict[Resource, tuple[str, ...]]] = {o.INFERENCE_SERVICES: ("isvc",)}
_WITHOUT_STATUS: Final = (o.SERVING_RUNTIMES, o.CLUSTER_SERVING_RUNTIMES)


def crd(resource: Resource) -> Object:
    """The CustomResourceDefinition of one of our kinds."""
    schema = Schemas().struct(KINDS[resource])
    if resource in _ADJUST:
        _ADJUST[resource](schema)
    version: Object = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": n, "type": t, "jsonPath": p} for n, t, p in COLUMNS[resource]
        ],
        "schema": {"openAPIV3Schema": schema},
        "subresources": _subresources(resource),
    }
    singular = resource.kind.lower()
    names: Object = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": singular,
        "categories": [CATEGORY],
    }
    if resource in SHORT_NAMES:
        names["shortNames"] = list(SHORT_NAMES[resource])
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{resource.group}",
            "labels": {"app.kubernetes.io/part-of": "ome"},
        },
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def _subresources(resource: Resource) -> Object:
    """``status`` where the existing CRDs have it, and ``scale`` for services.

    ``kubectl scale isvc NAME --replicas=3`` sets the *fewest* engine replicas: what autoscaling
    does above that is not a wish of the user's. It is refused above ``maxReplicas``. There is no
    label selector in it, so that no HorizontalPodAutoscaler can be aimed at a service: it would
    fight the one that OME makes for the engine.
    """
    if resource in _WITHOUT_STATUS:
        return {}
    found: Object = {"status": {}}
    if resource == o.INFERENCE_SERVICES:
        found["scale"] = {
            "specReplicasPath": ".spec.engine.minReplicas",
            "statusReplicasPath": ".status.components.engine.replicas",
        }
    return found


def all_crds() -> list[Object]:
    """All of them, in the order of :data:`ome.api.resources.ALL`."""
    return [crd(resource) for resource in o.ALL]


# --- where a kind differs from what its types say ---------------------------------------------

_HANDLERS: Final = ("httpGet", "tcpSocket")


def _lenient_service(schema: Object) -> None:
    """A service's parts are merged onto the runtime's, so they need not be complete."""
    schema["properties"]["status"]["x-kubernetes-preserve-unknown-fields"] = True
    spec = schema["properties"]["spec"]
    for component, body in spec["properties"].items():
        spec["properties"][component] = body = copy_json(body)
        for part in (body.get("properties") or {}).values():
            part.pop("required", None)
        _relax_probes(body)
        if component in ("model", "runtime"):
            body["required"] = ["name"]
    spec["x-kubernetes-validations"] = [
        {
            "rule": "!has(self.decoder) || has(self.engine)",
            "message": "decoder needs engine: add spec.engine, an empty object is enough",
        }
    ]
    for component in ("engine", "decoder", "router"):
        _component_rules(spec["properties"][component])
    for component in ("engine", "decoder", "router", "predictor"):
        fields = spec["properties"][component]["properties"]
        for holder in (spec["properties"][component], *map(fields.get, _POD_HOLDERS)):
            if holder is not None:
                holder.setdefault("x-kubernetes-validations", []).append(dict(_NO_EPHEMERAL))


_POD_HOLDERS: Final = ("leader", "worker", "workerSpec")
_NO_EPHEMERAL: Final[Object] = {
    "rule": "!has(self.ephemeralContainers)",
    "message": "ephemeralContainers can't be part of a template: use kubectl debug",
}


def _component_rules(component: Object) -> None:
    fields = component["properties"]
    fields["minReplicas"]["minimum"] = 0
    fields["maxReplicas"]["minimum"] = 0
    fields["canaryTrafficPercent"] |= {"minimum": 0, "maximum": 100}
    component["x-kubernetes-validations"] = [
        {
            "rule": "!has(self.minReplicas) || !has(self.maxReplicas) || self.maxReplicas == 0"
            " || self.minReplicas <= self.maxReplicas",
            "message": "minReplicas must not be greater than maxReplicas",
        },
        {
            "rule": "!has(self.minAvailable) || !has(self.maxUnavailable)",
            "message": "set minAvailable or maxUnavailable, not both",
        },
    ]


def _relax_probes(node: Any) -> None:
    """Drops what the handlers of probes require: the runtime may give it."""
    if isinstance(node, dict):
        for handler in _HANDLERS:
            if isinstance(node.get(handler), dict):
                node[handler].pop("required", None)
        for value in node.values():
            _relax_probes(value)


def _one_endpoint(schema: Object) -> None:
    schema["properties"]["spec"]["properties"]["endpoint"]["x-kubernetes-validations"] = [
        {
            "rule": "has(self.inferenceService) != has(self.endpoint)",
            "message": "give exactly one of inferenceService and endpoint",
        }
    ]


_ADJUST: Final[dict[Resource, Callable[[Object], None]]] = {
    o.INFERENCE_SERVICES: _lenient_service,
    o.BENCHMARK_JOBS: _one_endpoint,
}
