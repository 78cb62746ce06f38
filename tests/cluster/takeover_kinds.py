"""Services of kinds that the corpus' recordings lack, with the children that the earlier manager
made of them, written down from how it is known to work."""

from __future__ import annotations

import copy
from typing import Any

from tests.fakes.objects import model, runtime, service
from tests.unit.rendering.modes import gpu_runtime

from ome.apimachinery.objects import Object

NAMESPACE = "by-hand"
MODEL = "tiny"
GROUPS = "grown-from-one-pod-to-groups"
RAY, SLEEPER, SCALED = "on-ray", "sleeper", "scaled-by-keda-under-a-name-of-more-than-forty"
CLOSED, OLDER = "closed", "older"
ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
RAY_MODE = {"ome.io/deploymentMode": "MultiNodeRayVLLM"}
CREATOR = {"serving.knative.dev/creator": "admin", "serving.knative.dev/lastModifier": "admin"}
LEFT = {
    ("Deployment", NAMESPACE, f"{GROUPS}-engine"),
    ("PodDisruptionBudget", NAMESPACE, f"{GROUPS}-engine"),
    ("Deployment", NAMESPACE, f"{CLOSED}-decoder"),
    ("Service", NAMESPACE, f"{CLOSED}-decoder"),
    ("Ingress", NAMESPACE, CLOSED),
}
"""What the services no longer need: of another mode, of a component that is gone, of an ingress
that has been switched off since."""


def shared() -> list[Object]:
    """The model and the runtimes."""
    alone, groups = runtime("one-pod"), gpu_runtime(1)
    for made in (alone, groups):
        made["spec"]["supportedModelFormats"][0]["autoSelect"] = False
    return [model(MODEL), alone, groups]


def everything() -> list[tuple[Object, list[Object]]]:
    return [_groups(), _ray(), _sleeper(), _scaled(), _closed(), _older()]


def _service(name: str, runtime_name: str, engine: Object, **meta: Any) -> Object:
    made = service(name, model=MODEL, engine=engine, runtime={"name": runtime_name})
    made["metadata"].update(namespace=NAMESPACE, **meta)
    return made


def _labels(name: str, component: str, runtime_name: str) -> Object:
    return {
        "ome.io/inferenceservice": name,
        "component": component,
        "serving-runtime": runtime_name,
        "fine-tuned-serving": "false",
        "base-model-name": MODEL,
        "base-model-size": "SMALL",
        "base-model-type": "Serving",
    }


def _of(service: Object, api: str, kind: str, name: str, labels: Object | None, **rest: Any) -> Any:
    owner = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "name": service["metadata"]["name"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    meta: Object = {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]}
    if labels:
        meta["labels"] = labels
    meta["annotations"] = rest.pop("annotations", {})
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def _pod(gpus: int = 0, container: str = "ome-container") -> Object:
    found: Object = {
        "name": container,
        "image": "engine:0",
        "args": ["--model", "$(MODEL_PATH)"],
        "env": [{"name": "MODEL_PATH", "value": f"/raid/models/{MODEL}"}],
        "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}],
    }
    if gpus:
        found["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    volume = {"name": MODEL, "hostPath": {"path": f"/raid/models/{MODEL}"}}
    return {"containers": [found], "volumes": [volume]}


def _deployment(service: Object, name: str, labels: Object, pod: Object, **meta: Any) -> Object:
    labels = {**labels, "app": name}
    template = {"metadata": {"labels": labels, "name": name}, "spec": pod}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "strategy": ONE_BY_ONE,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "template": template,
    }
    made: Object = _of(service, "apps/v1", "Deployment", name, labels, spec=spec, **meta)
    return made


def _port_service(service: Object, name: str, labels: Object, selector: Object) -> Object:
    ports = [{"name": "http1", "port": 8080, "targetPort": 8080, "protocol": "TCP"}]
    spec = {"ports": ports, "selector": selector}
    made: Object = _of(service, "v1", "Service", name, labels, spec=spec)
    return made


def _budget(service: Object, name: str, labels: Object) -> Object:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}
    made: Object = _of(
        service, "policy/v1", "PodDisruptionBudget", name, {**labels, "app": name}, spec=spec
    )
    return made


def _config(service: Object) -> Object:
    """Cut to the last twenty characters of the name, which may begin with a dash."""
    name = service["metadata"]["name"]
    made: Object = _of(
        service,
        "v1",
        "ConfigMap",
        f"modelconfig-{name[-20:]}",
        {"ome.io/inferenceservice": name},
        data={"models.json": "[]"},
    )
    return made


def _groups() -> tuple[Object, list[Object]]:
    """The name of its ConfigMap is cut, its Service selects the leaders of all, and before it was a
    Deployment."""
    made = _service(GROUPS, "groups", {"minReplicas": 1})
    labels, base = _labels(GROUPS, "engine", "groups"), f"{GROUPS}-engine"
    leader = {**labels, "app": base, "ray.io/node-type": "head"}
    workload = {
        "replicas": 1,
        "startupPolicy": "LeaderCreated",
        "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 1},
        },
        "leaderWorkerTemplate": {
            "size": 2,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": {"metadata": {"labels": leader}, "spec": _pod(1)},
            "workerTemplate": {"metadata": {"labels": labels}, "spec": _pod(1)},
        },
    }
    api, kind = "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"
    return made, [
        _config(made),
        _of(made, api, kind, f"lws-{base[-50:]}", labels, spec=workload),
        _port_service(made, base, labels, {"ray.io/node-type": "head"}),
        _deployment(made, base, labels, _pod(8)),
        _budget(made, base, labels),
    ]


def _ray() -> tuple[Object, list[Object]]:
    """The prober's Deployment selects by a label that all probers of a service share."""
    made = _service(RAY, "groups", {"minReplicas": 1, "annotations": RAY_MODE})
    labels, base = _labels(RAY, "engine", "groups"), f"{RAY}-engine"
    template = {"metadata": {"labels": labels}, "spec": _pod(1)}
    cluster = {
        "headGroupSpec": {
            "headService": {"metadata": {"name": f"{base}-0"}},
            "rayStartParams": {"dashboard-host": "0.0.0.0", "metrics-export-port": "8000"},
            "serviceType": "ClusterIP",
            "template": template,
        },
        "workerGroupSpecs": [
            {
                "groupName": "wg",
                "replicas": 1,
                "minReplicas": 1,
                "maxReplicas": 1,
                "rayStartParams": {},
                "template": copy.deepcopy(template),
            }
        ],
    }
    prober = {"containers": [{"name": "multinode-prober", "image": "prober:0"}]}
    watches = _deployment(made, f"{base}-0-mnp", labels, prober)
    quarter = {"maxUnavailable": "25%", "maxSurge": "25%"}
    watches["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": quarter}
    watches["spec"]["selector"] = {"matchLabels": {"app": base}}
    watches["spec"]["template"]["metadata"]["labels"] = {"app": base}
    status = {"state": "ready", "availableWorkerReplicas": 1}
    return made, [
        _config(made),
        _of(made, "ray.io/v1", "RayCluster", f"{base}-0", labels, spec=cluster, status=status),
        watches,
        _port_service(made, base, labels, {"ray.io/node-type": "head"}),
    ]


def _sleeper() -> tuple[Object, list[Object]]:
    """Knative's webhook wrote down who made it. It brings its own image: the CRDs of this Knative
    have no place for a model's folder."""
    runner = {"name": "ome-container", "image": "engine:1"}
    made = _service(SLEEPER, "", {"minReplicas": 0, "maxReplicas": 2, "runner": runner})
    del made["spec"]["model"], made["spec"]["runtime"]
    labels, base = _labels(SLEEPER, "engine", ""), f"{SLEEPER}-engine"
    scale = {"autoscaling.knative.dev/min-scale": "0", "autoscaling.knative.dev/max-scale": "2"}
    template = {
        "metadata": {"labels": labels, "annotations": scale},
        "spec": {"containers": [{"name": "ome-container", "image": "engine:1"}]},
    }
    spec = {"template": template, "traffic": [{"latestRevision": True, "percent": 100}]}
    true = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-05-06T07:08:09Z"}
        for kind in ("Ready", "RoutesReady", "ConfigurationsReady")
    ]
    revision = f"{base}-00001"
    status = {
        "observedGeneration": 1,
        "conditions": true,
        "latestReadyRevisionName": revision,
        "latestCreatedRevisionName": revision,
        "url": f"http://{base}.{NAMESPACE}.example",
    }
    api = "serving.knative.dev/v1"
    knative: Object = _of(
        made, api, "Service", base, labels, spec=spec, status=status, annotations=CREATOR
    )
    return made, [knative]


def _scaled() -> tuple[Object, list[Object]]:
    """The ScaledObject's name is cut; what it says of the query is known to be wrong."""
    chosen = {"ome.io/autoscalerClass": "keda"}
    made = _service(SCALED, "one-pod", {"minReplicas": 1, "maxReplicas": 3}, annotations=chosen)
    labels, base = _labels(SCALED, "engine", "one-pod"), f"{SCALED}-engine"
    metadata = {"serverAddress": "http://prometheus:9090", "query": "up", "threshold": "10"}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": base},
        "minReplicaCount": 1,
        "maxReplicaCount": 3,
        "triggers": [{"type": "prometheus", "metadata": metadata}],
    }
    return made, [
        _config(made),
        _deployment(made, base, labels, _pod()),
        _port_service(made, base, labels, {"app": base}),
        _of(
            made,
            "keda.sh/v1alpha1",
            "ScaledObject",
            f"scaledobject-{base[-50:]}",
            {**labels, "app": base},
            spec=spec,
        ),
    ]


def _closed() -> tuple[Object, list[Object]]:
    made = _service(CLOSED, "one-pod", {"minReplicas": 1})
    engine, decoder = (_labels(CLOSED, name, "one-pod") for name in ("engine", "decoder"))
    backend = {"service": {"name": f"{CLOSED}-engine", "port": {"number": 8080}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    rules = [{"host": "closed.example", "http": {"paths": [path]}}]
    ingress = _of(made, "networking.k8s.io/v1", "Ingress", CLOSED, None, spec={"rules": rules})
    return made, [
        _config(made),
        _deployment(made, f"{CLOSED}-engine", engine, _pod()),
        _port_service(made, f"{CLOSED}-engine", engine, {"app": f"{CLOSED}-engine"}),
        _deployment(made, f"{CLOSED}-decoder", decoder, _pod()),
        _port_service(made, f"{CLOSED}-decoder", decoder, {"app": f"{CLOSED}-decoder"}),
        ingress,
    ]


def _older() -> tuple[Object, list[Object]]:
    """It has been migrated from a predictor, whose Deployment still serves."""
    made = _service(OLDER, "one-pod", {"minReplicas": 1})
    labels = _labels(OLDER, "predictor", "one-pod")
    return made, [
        _config(made),
        _deployment(made, OLDER, labels, _pod()),
        _port_service(made, OLDER, labels, {"app": OLDER}),
        _budget(made, OLDER, labels),
    ]
