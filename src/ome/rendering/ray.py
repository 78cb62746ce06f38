"""A component as Ray clusters: one for each replica, with vLLM over the pods of the cluster.

Beside each cluster runs a prober, a Deployment whose readiness is that of the engine: Ray itself
only knows whether its pods run. The Service selects the heads of this service and component.

KubeRay changes no pods of a cluster that runs. So a cluster whose template changes is made anew:
deleted, and created again when it is gone. They take turns, so that the others serve meanwhile; one
that does not serve goes first.
"""

from __future__ import annotations

import hashlib

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, annotations_of, condition, is_deleting, metadata
from ome.rendering import raw
from ome.rendering.component import Part
from ome.rendering.errors import RenderError
from ome.rendering.facts import ADOPTED, Child, Observed, ProberSettings
from ome.rendering.metadata import service_annotations
from ome.rendering.pod import first_port
from ome.rendering.raw import child_metadata

_PORTS = (("dashboard", 8265), ("metrics", 8000), ("redis", 6379))
_WORKER_COMMAND = ["/bin/bash", "-lc", "--"]
_WORKER_ARGS = ["ulimit -n 65536; echo worker; $KUBERAY_GEN_RAY_START_CMD"]
_RAY_NAME_LIMIT = 50
L_REPLICA = "ome.io/replica"
"""On probers: which Ray cluster they watch."""


class Built:
    """All children of one MultiNodeRayVLLM component."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.warnings: list[str] = []
        self.pending = ""
        low = part.merged.get("minReplicas")
        if not part.given.config.prober.image:
            raise RenderError(
                "InvalidConfig",
                f"the {part.name} runs on Ray, whose engine is watched by a prober, and no image "
                "is given for it",
                field=f"ConfigMap {c.INFERENCE_SERVICE_CONFIG}, key multinodeProber",
                fix="set multinodeProber.image",
            )
        self.replicas = c.DEFAULT_MIN_REPLICAS if low is None else max(0, int(low))
        self.outdated: list[str] = []
        """Clusters of an earlier template, those that are going already last."""
        self.replaced: tuple[str, ...] = ()
        """Of these, the one whose turn it is."""
        self.name = names.ray_cluster_name(part.base_name, 0)
        (self._head, self.container), worker = part.group_pods()
        self._worker = worker[0] if worker is not None else copy_json(self._head)
        self.children = self._children()

    @property
    def selector(self) -> dict[str, str]:
        """KubeRay puts ``ray.io/node-type`` on pods, ours are the other two."""
        keys = (c.L_INFERENCE_SERVICE, c.L_COMPONENT)
        found = {key: self.part.labels[key] for key in keys}
        return {**found, c.L_RAY_NODE_TYPE: x.RAY_HEAD}

    def _children(self) -> list[Child]:
        part = self.part
        found = []
        going = []
        for index in range(self.replicas):
            cluster = self._cluster(index)
            name = metadata(cluster)["name"]
            live = part.given.observed.get(x.RAY_CLUSTERS, name)
            if live is not None and is_deleting(live):
                going.append(name)
            elif live is not None and _output(cluster) not in (ADOPTED, _output(live)):
                self.outdated.append(name)
            else:
                found.append(Child(x.RAY_CLUSTERS, cluster))
            found.append(Child(r.DEPLOYMENTS, self._prober(index), initial_replicas=1))
        self.replaced = self._turn()
        self.outdated += going
        service = raw.component_service(
            part,
            self.container,
            self.selector,
            part.labels,
            service_annotations(part.annotations),
        )
        ports = service.object["spec"]["ports"]
        taken = {port["port"] for port in ports}
        if len(ports) == 1 and "name" not in ports[0]:
            ports[0]["name"] = "http"
        for name, number in _PORTS:
            if number not in taken:
                port = {"name": name, "port": number, "targetPort": number, "protocol": "TCP"}
                ports.append(port)
        found.append(service)
        return found

    def _turn(self) -> tuple[str, ...]:
        """Which of the outdated clusters is to be made anew now: one at a time."""
        base, observed = self.part.base_name, self.part.given.observed
        every = [names.ray_cluster_name(base, index) for index in range(self.replicas)]
        serving = {name for name in every if serves(name, observed)}
        first = next((name for name in self.outdated if name not in serving), None)
        if first is None and self.outdated and serving.issuperset(every):
            first = self.outdated[0]
        return () if first is None else (first,)

    def _cluster(self, index: int) -> Object:
        part = self.part
        name = names.ray_cluster_name(part.base_name, index)
        head = copy_json(self._head)
        for container in head["containers"]:
            stop = {"preStop": {"exec": {"command": ["/bin/bash", "-lc", "ray stop"]}}}
            container.setdefault("lifecycle", stop)
        worker = copy_json(self._worker)
        for container in worker["containers"]:
            container["command"] = list(_WORKER_COMMAND)
            container["args"] = list(_WORKER_ARGS)
        workers = max(1, part.workers)
        spec = {
            "headGroupSpec": {
                "headService": {"metadata": {"name": ray_name(name)}},
                "rayStartParams": {"dashboard-host": "0.0.0.0", "metrics-export-port": "8000"},
                "serviceType": "ClusterIP",
                "template": part.template(head),
            },
            "workerGroupSpecs": [
                {
                    "groupName": "wg",
                    "replicas": workers,
                    "minReplicas": workers,
                    "maxReplicas": workers,
                    "rayStartParams": {},
                    "template": part.template(worker),
                }
            ],
        }
        live = part.given.observed.get(x.RAY_CLUSTERS, name)
        decision = part.decide(spec, live, ("spec",))
        self.pending = self.pending or decision.pending
        annotations = {**part.annotations, c.A_INPUT_HASH: decision.annotation}
        since = unavailable_since(live, prober_of(name, part.given.observed))
        if since:
            annotations[c.A_RAY_UNAVAILABLE_SINCE] = since
        return {
            "apiVersion": x.RAY_CLUSTERS.api_version,
            "kind": x.RAY_CLUSTERS.kind,
            "metadata": child_metadata(part.service, name, part.labels, annotations),
            "spec": decision.template,
        }

    def _prober(self, index: int) -> Object:
        part = self.part
        settings = part.given.config.prober
        cluster = names.ray_cluster_name(part.base_name, index)
        namespace = metadata(part.service).get("namespace") or "default"
        domain = part.given.capabilities.cluster_domain
        port = {"port": c.PROBER_PORT}
        patient = {"timeoutSeconds": 5, "periodSeconds": 30, "failureThreshold": 3}
        container = {
            "name": c.PROBER_CONTAINER,
            "image": settings.image,
            "args": [
                "--vllm-endpoint",
                f"http://{ray_name(cluster)}.{namespace}.svc.{domain}:{first_port(self.container)}",
                "--addr",
                f"0.0.0.0:{c.PROBER_PORT}",
            ],
            "ports": [{"name": "http", "containerPort": c.PROBER_PORT, "protocol": "TCP"}],
            "resources": settings.resources,
            "readinessProbe": {"httpGet": {"path": "/readyz", **port}, **patient},
            "livenessProbe": {"httpGet": {"path": "/healthz", **port}, **patient},
            "startupProbe": {"httpGet": {"path": "/startupz", **port}, **settings.startup},
        }
        app = names.truncate_dns(part.app)
        labels = {
            **part.labels,
            c.L_APP: app,
            L_REPLICA: str(index),
        }
        # Probers must not be taken for pods that serve: the pods carry no component.
        pod_labels = {c.L_APP: f"{names.truncate_dns(app, 55)}-prober", L_REPLICA: str(index)}
        name = names.keep_or_rename(
            prober_name(cluster),
            legacy_prober_name(cluster),
            part.given.observed.of(r.DEPLOYMENTS),
        )
        live = part.given.observed.get(r.DEPLOYMENTS, name)
        selector = ((live or {}).get("spec") or {}).get("selector") or {"matchLabels": pod_labels}
        pod_labels = {**pod_labels, **(selector.get("matchLabels") or {})}
        quarter = {"maxUnavailable": "25%", "maxSurge": "25%"}
        template = {"metadata": {"labels": pod_labels}, "spec": {"containers": [container]}}
        decision = part.decide(template, live, settings=_inputs(settings))
        self.pending = self.pending or decision.pending
        annotations = {c.A_INPUT_HASH: decision.annotation}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": child_metadata(part.service, name, labels, annotations),
            "spec": {
                "selector": selector,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": quarter},
                "template": decision.template,
            },
        }


def _inputs(settings: ProberSettings) -> Object:
    """What of the configuration a prober's template is made of."""
    return {
        "image": settings.image,
        "resources": settings.resources,
        "startup": settings.startup,
    }


def _output(cluster: Object) -> str:
    """What came of rendering; a template that another manager made counts as it is."""
    return (annotations_of(cluster).get(c.A_INPUT_HASH) or ADOPTED).rpartition("-")[2]


def serves(cluster: str, observed: Observed) -> bool:
    """Ray runs, and the engine answers its prober."""
    live = observed.get(x.RAY_CLUSTERS, cluster)
    if live is None or is_deleting(live) or (live.get("status") or {}).get("state") != "ready":
        return False
    prober = prober_of(cluster, observed) or {}
    return int((prober.get("status") or {}).get("availableReplicas") or 0) > 0


def prober_of(cluster: str, observed: Observed) -> Object | None:
    """The Deployment that watches that Ray cluster."""
    probers = observed.of(r.DEPLOYMENTS)
    return probers.get(prober_name(cluster)) or probers.get(legacy_prober_name(cluster))


def unavailable_since(cluster: Object | None, prober: Object | None) -> str | None:
    """Since when the engine of a cluster that runs does not answer; None where all is well."""
    if ((cluster or {}).get("status") or {}).get("state") != "ready":
        return None
    status = (prober or {}).get("status") or {}
    available = condition(prober or {}, "Available") or {}
    if available.get("status") != "False" or not status.get("unavailableReplicas"):
        return None
    return str(available.get("lastTransitionTime") or "") or None


def prober_name(cluster: str) -> str:
    return ray_name(f"{cluster}-mnp")


def legacy_prober_name(cluster: str) -> str:
    return f"{cluster}-mnp"[-_RAY_NAME_LIMIT:]


def ray_name(name: str) -> str:
    """As KubeRay names what it makes of a cluster: at most 50 characters, no digit first."""
    if len(name) > _RAY_NAME_LIMIT:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{digest}-{name[-(_RAY_NAME_LIMIT - 9) :].lstrip('-')}"
    return f"r{name[1:]}" if name[:1].isdigit() else name
