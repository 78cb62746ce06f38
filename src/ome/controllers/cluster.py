"""The caches that all controllers share, and the questions they answer.

Children and pods are watched by label only, so that a cluster full of other things costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Key, Object, Resource, condition, key_of, labels_of, metadata
from ome.controllers.modelstate import ModelState, aggregate
from ome.controllers.plan import ALWAYS, OPTIONAL, belongs
from ome.controllers.settings import OperatorSettings, read
from ome.kube import Client, Informer
from ome.rendering import Capabilities, Observed
from ome.selection import Runtime

AUTOMATIC = "*"
"""Index value of services that name no runtime."""


class Cluster:
    """Informers on everything that matters. Run them with :meth:`informers`."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.namespace = namespace
        self.services = Informer(client, o.INFERENCE_SERVICES)
        self.models = {
            "ClusterBaseModel": Informer(client, o.CLUSTER_BASE_MODELS),
            "BaseModel": Informer(client, o.BASE_MODELS),
        }
        self.runtimes = (
            Informer(client, o.SERVING_RUNTIMES),
            Informer(client, o.CLUSTER_SERVING_RUNTIMES),
        )
        self.weights = Informer(client, o.FINE_TUNED_WEIGHTS)
        self.accelerators = Informer(client, o.ACCELERATOR_CLASSES)
        ours = c.L_INFERENCE_SERVICE
        self.children = {
            resource: Informer(client, resource, label_selector=ours) for resource in ALWAYS
        }
        self.capabilities = Capabilities()
        self._client = client
        self._coming: dict[Resource, Informer] = {}
        self.pods = Informer(client, r.PODS, label_selector=ours)
        self.nodes = Informer(client, r.NODES)
        self.reports = Informer(
            client, r.CONFIG_MAPS, namespace, label_selector=f"{c.L_MODEL_STATUS}=true"
        )
        self.config = Informer(
            client,
            r.CONFIG_MAPS,
            namespace,
            field_selector=f"metadata.name={c.INFERENCE_SERVICE_CONFIG}",
        )
        self.states = ModelStates()
        self.reports.add_handler(self.states.note_report)
        self.nodes.add_handler(self.states.note_node)
        self._lost: dict[str, str] = {}
        self.nodes.add_handler(self._note_health)
        self.catalog = Catalog()
        for informer in self.runtimes:
            informer.add_handler(self.catalog.note)
        self.settings = OperatorSettings()
        self.config.add_handler(self._read_settings)
        self._add_indexes()

    def informers(self) -> list[Informer]:
        return [
            self.services,
            *self.models.values(),
            *self.runtimes,
            self.weights,
            self.accelerators,
            *self.children.values(),
            self.pods,
            self.nodes,
            self.reports,
            self.config,
        ]

    def missing_informers(self, capabilities: Capabilities) -> list[Informer]:
        """Makes the informers on optional kinds that the cluster serves and we don't watch yet.

        They count (:meth:`observed`, and for rendering) once they are synced and :meth:`use` is
        called: a kind whose objects are not known yet must not be taken for one without objects.
        """
        self._coming = {
            kind: Informer(self._client, kind, label_selector=c.L_INFERENCE_SERVICE)
            for kind in OPTIONAL
            if capabilities.has(kind) and kind not in self.children
        }
        for informer in self._coming.values():
            informer.add_index("service", lambda obj: [service_of(obj)])
        return self.coming()

    def coming(self) -> list[Informer]:
        """Informers that are being read for the first time."""
        return list(self._coming.values())

    def use(self, capabilities: Capabilities) -> None:
        """From now on these kinds are there, and no others of those that a cluster may lack."""
        self.children.update(self._coming)
        self._coming = {}
        for kind in self.children.keys() - ALWAYS - capabilities.kinds:
            del self.children[kind]
        self.capabilities = capabilities

    async def synced(self) -> None:
        for informer in self.informers():
            await informer.synced()

    def _read_settings(self, _event: str, _old: Any, new: Any) -> None:
        config_map = None if new is None else new.object()
        self.settings = read(config_map, self.settings)

    def _add_indexes(self) -> None:
        self.services.add_index("label", lambda obj: [_label_key(obj)])
        self.services.add_index("model", _models_of_service)
        self.services.add_index("weight", _weights_of_service)
        self.services.add_index("runtime", _runtimes_of_service)
        for informer in (*self.children.values(), self.pods):
            informer.add_index("service", lambda obj: [service_of(obj)])
        self.pods.add_index("node", _node_of_pod)
        for informer in (*self.models.values(), self.weights):
            informer.add_index("report", lambda obj: [report_key(obj)])
        self.weights.add_index("base", lambda obj: [base_of_weights(obj)])

    # -- questions ----------------------------------------------------------------------------

    def model(self, kind: str, name: str, namespace: str) -> Object | None:
        return self.models[kind].get("" if kind == "ClusterBaseModel" else namespace, name)

    def weight(self, name: str) -> Object | None:
        return self.weights.get("", name)

    def weights_of_model(self, kind: str, key: Key) -> list[Key]:
        """Fine-tuned weights that name the model as their base."""
        return self.weights.keys_by_index("base", f"{kind} {key}")

    def services_of_weight(self, name: str) -> list[Key]:
        return self.services.keys_by_index("weight", name)

    def model_names(self, namespace: str) -> list[str]:
        cluster = self.models["ClusterBaseModel"].keys()
        local = self.models["BaseModel"].keys(namespace)
        return [key.name for key in (*cluster, *local)]

    def model_state(self, model: Object) -> ModelState:
        return self.states.of(report_key(model))

    def accelerator_classes(self) -> dict[str, Object]:
        return {metadata(obj)["name"]: obj for obj in self.accelerators.list()}

    def observed(self, service: Object) -> Observed:
        """The service's children. What carries its label and is somebody else's is none: it is
        neither changed nor deleted, and who has a child's name keeps it."""
        value = _label_key(service)
        return Observed(
            {
                resource: [
                    child
                    for child in informer.by_index("service", value)
                    if belongs(service, child)
                ]
                for resource, informer in self.children.items()
            }
        )

    def version(self, resource: Resource, key: Key) -> str | None:
        """The version of a service or of a child in the cache; None where it isn't there."""
        informer = (
            self.services if resource == o.INFERENCE_SERVICES else self.children.get(resource)
        )
        snapshot = informer.snapshot(key.namespace, key.name) if informer is not None else None
        return None if snapshot is None else str(snapshot.metadata.get("resourceVersion") or "")

    def pods_of(self, service: Object) -> dict[str, list[Object]]:
        """The service's pods by component, newest first."""
        found: dict[str, list[Object]] = {}
        for pod in self.pods.by_index("service", _label_key(service)):
            found.setdefault(labels_of(pod).get(c.L_COMPONENT) or "", []).append(pod)
        for pods in found.values():
            pods.sort(key=_newest_first, reverse=True)
        return found

    def _note_health(self, _event: str, old: Any, new: Any) -> None:
        name = (new or old).key.name
        since = lost_since(new.object()) if new is not None else None
        if since is None:
            self._lost.pop(name, None)
        else:
            self._lost[name] = since

    def lost_nodes(self, pods: Mapping[str, Iterable[Object]]) -> dict[str, str]:
        """Since when, by node that has one of the pods and does not answer."""
        if not self._lost:
            return {}
        on = {(pod.get("spec") or {}).get("nodeName") for group in pods.values() for pod in group}
        return {node: since for node, since in self._lost.items() if node in on}

    def services_on_node(self, node: str) -> set[str]:
        """Index values of the services that have pods there."""
        return {service_of(pod) for pod in self.pods.by_index("node", node)}

    def rolling(self) -> set[str]:
        """Index values of the services of which a workload rolls and has not failed at it."""
        kinds = (self.children.get(kind) for kind in (r.DEPLOYMENTS, x.LEADER_WORKER_SETS))
        return {
            service_of(found)
            for informer in kinds
            if informer is not None
            for found in informer.snapshots()
            if _rolls(found)
        }

    def services_of_label(self, value: str) -> list[Key]:
        return self.services.keys_by_index("label", value)

    def services_of_model(self, kind: str, key: Key) -> list[Key]:
        """Services that name the model, in either scope: kinds may stand in for each other."""
        users = self.services.keys_by_index("model", key.name)
        return [user for user in users if not key.namespace or user.namespace == key.namespace]

    def services_of_runtime(self, key: Key) -> list[Key]:
        users = [
            *self.services.keys_by_index("runtime", key.name),
            *self.services.keys_by_index("runtime", AUTOMATIC),
        ]
        return [user for user in users if not key.namespace or user.namespace == key.namespace]

    def models_of_report(self, data: Iterable[str]) -> list[tuple[str, Key]]:
        """(kind, key) of the models that these ConfigMap keys speak of."""
        return [
            (kind, key)
            for name in data
            for kind, informer in (*self.models.items(), ("FineTunedWeight", self.weights))
            for key in informer.keys_by_index("report", name)
        ]


class ModelStates:
    """What nodes report, put together once per change and model instead of once per look.

    With a thousand nodes and a thousand services that is what keeps a look cheap.
    """

    def __init__(self) -> None:
        self._reports: dict[str, Object] = {}
        self._nodes: set[str] = set()
        self._known: dict[str, ModelState] = {}

    def note_report(self, _event: str, old: Any, new: Any) -> None:
        before = (old.get("data") or {}) if old is not None else {}
        if new is None:
            self._reports.pop(old.key.name, None)
            after: Mapping[str, str] = {}
        else:
            self._reports[new.key.name] = new.object()
            after = self._reports[new.key.name].get("data") or {}
        for name in {**before, **after}:
            if before.get(name) != after.get(name):
                self._known.pop(name, None)

    def note_node(self, event: str, old: Any, new: Any) -> None:
        if event == "MODIFIED":
            return
        if new is None:
            self._nodes.discard(old.key.name)
        else:
            self._nodes.add(new.key.name)
        self._known.clear()

    def of(self, key: str) -> ModelState:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = aggregate(key, self._reports.values(), self._nodes)
        return found


class Catalog:
    """The runtimes, ready for selection, kept up to date by events."""

    def __init__(self) -> None:
        self._runtimes: dict[tuple[str, str], Runtime] = {}

    def note(self, _event: str, old: Any, new: Any) -> None:
        if new is None:
            self._runtimes.pop((old.key.namespace, old.key.name), None)
        else:
            self._runtimes[(new.key.namespace, new.key.name)] = Runtime.of(new.object())

    def for_namespace(self, namespace: str) -> list[Runtime]:
        return [r for r in self._runtimes.values() if not r.namespace or r.namespace == namespace]


def report_key(model: Mapping[str, Any]) -> str:
    """The key of the model (or of fine-tuned weights) in nodes' status ConfigMaps."""
    key = key_of(model)
    if "baseModelRef" in (model.get("spec") or {}):
        return names.weights_config_map_key(key.name)
    return names.model_config_map_key(key.namespace, key.name)


def base_of_weights(weights: Mapping[str, Any]) -> str:
    """Index value of fine-tuned weights: kind and key of their base model."""
    reference = (weights.get("spec") or {}).get("baseModelRef") or {}
    key = Key(str(reference.get("namespace") or ""), str(reference.get("name") or ""))
    return f"{'BaseModel' if key.namespace else 'ClusterBaseModel'} {key}"


def service_of(child: Mapping[str, Any]) -> str:
    """Index value of a child: namespace and label of its service."""
    namespace = metadata(child).get("namespace") or ""
    return f"{namespace}/{labels_of(child).get(c.L_INFERENCE_SERVICE)}"


def _node_of_pod(pod: Mapping[str, Any]) -> list[str]:
    node = (pod.get("spec") or {}).get("nodeName")
    return [node] if node else []


def lost_since(node: Object) -> str | None:
    """Since when the node's kubelet does not answer; None where it does, or never has."""
    ready = condition(node, "Ready")
    if ready is None or ready.get("status") == "True":
        return None
    return str(ready.get("lastTransitionTime") or "")


def _label_key(service: Mapping[str, Any]) -> str:
    key = key_of(service)
    return f"{key.namespace}/{names.label_value(key.name)}"


def _models_of_service(service: Mapping[str, Any]) -> list[str]:
    name = ((service.get("spec") or {}).get("model") or {}).get("name")
    return [name] if name else []


def _weights_of_service(service: Mapping[str, Any]) -> list[str]:
    reference = (service.get("spec") or {}).get("model") or {}
    named = list(reference.get("fineTunedWeights") or ())
    if reference.get("kind") == "FineTunedWeight" and reference.get("name"):
        named.append(reference["name"])
    return named


def _runtimes_of_service(service: Mapping[str, Any]) -> list[str]:
    name = ((service.get("spec") or {}).get("runtime") or {}).get("name")
    return [name or AUTOMATIC]


def _rolls(workload: Mapping[str, Any]) -> bool:
    """An update is on its way, and what runs is still of the version before."""
    status = workload.get("status") or {}
    if not status.get("replicas"):
        return False
    progress = condition(workload, "Progressing") or {}
    if progress.get("status") == "False":
        return False
    seen = status.get("observedGeneration") or 0
    new = seen < (metadata(workload).get("generation") or 0)
    return bool(new or (status.get("updatedReplicas") or 0) < status["replicas"])


def _newest_first(pod: Object) -> tuple[str, str]:
    meta = metadata(pod)
    return meta.get("creationTimestamp") or "", meta.get("name") or ""


__all__ = ["AUTOMATIC", "Catalog", "Cluster", "Resource", "report_key", "service_of"]
