"""Children that belong to the service as a whole, and the router's identity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata, owner_reference
from ome.rendering.facts import Child, Component, Observed
from ome.rendering.raw import child_metadata

_LOAD_BALANCER_PREFIXES = (
    "service.beta.kubernetes.io/",
    "cloud.google.com/",
    "service.kubernetes.io/",
)
SERVICE_TYPES = ("LoadBalancer", "NodePort", "ClusterIP")


def service_type(service: Object) -> str:
    asked = annotations_of(service).get(c.A_SERVICE_TYPE) or "ClusterIP"
    return asked if asked in SERVICE_TYPES else "ClusterIP"


def model_config(
    service: Object, model: Object, weights: Sequence[Object], observed: Observed
) -> Child:
    """The ConfigMap that describes the served model to whoever wants to know."""
    service_name = metadata(service)["name"]
    name = names.keep_or_rename(
        names.model_config_name(service_name),
        names.legacy_model_config_name(service_name),
        observed.of(r.CONFIG_MAPS),
    )
    entry: Object = {"modelName": metadata(model)["name"], "modelSpec": _described(model)}
    if weights:
        entry["fineTunedWeightSpec"] = _described(weights[0])
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": metadata(service).get("namespace") or "default",
            "labels": {c.L_INFERENCE_SERVICE: names.label_value(service_name)},
            "ownerReferences": [owner_reference(service)],
        },
        "data": {"models.json": json.dumps([entry], separators=(",", ":"), ensure_ascii=False)},
    }
    return Child(r.CONFIG_MAPS, obj)


def _described(obj: Object) -> Object:
    """Storage, format and framework of a model or of weights, by the names of this file."""
    spec = obj.get("spec") or {}
    storage = spec.get("storage") or {}
    format_, framework = spec.get("modelFormat") or {}, spec.get("modelFramework") or {}
    described: dict[str, Any] = {
        "storageUri": storage.get("storageUri"),
        "path": storage.get("path"),
        "schemaPath": storage.get("schemaPath"),
        "parameters": storage.get("parameters"),
        "storageKey": storage.get("key"),
        "modelFormatName": format_.get("name"),
        "modelFormatVersion": format_.get("version"),
        "modelType": spec.get("modelType"),
        "modelFrameworkName": framework.get("name"),
        "modelFrameworkVersion": framework.get("version"),
    }
    return {key: value for key, value in described.items() if value}


def external_service(service: Object, entry: Component) -> Child | None:
    """The Service under the service's own name; None for one that is reached from inside only."""
    if labels_of(service).get(c.L_KNATIVE_VISIBILITY) == c.VISIBILITY_CLUSTER_LOCAL:
        return None
    meta, own = metadata(service), names.label_value(metadata(service)["name"])
    annotations = {
        key: value
        for key, value in annotations_of(service).items()
        if key.startswith(_LOAD_BALANCER_PREFIXES)
    }
    spec: Object = {
        "type": service_type(service),
        "selector": {c.L_INFERENCE_SERVICE: own, c.L_COMPONENT: entry.name, **entry.pod_labels},
        "ports": [
            {"name": "http", "port": entry.port, "targetPort": entry.port, "protocol": "TCP"}
        ],
    }
    balancer = annotations_of(service).get(c.A_LOAD_BALANCER_IP)
    if spec["type"] == "LoadBalancer" and balancer:
        spec["loadBalancerIP"] = balancer
    labels = {
        c.L_INFERENCE_SERVICE: own,
        c.L_COMPONENT: c.COMPONENT_EXTERNAL_SERVICE,
    }
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(service, names.truncate_dns(meta["name"]), labels, annotations),
        "spec": spec,
    }
    return Child(r.SERVICES, obj)


def router_identity(service: Object, labels: dict[str, str], account: str = "") -> list[Child]:
    """ServiceAccount, Role and RoleBinding: the router finds the engines' pods by itself.

    ``account`` is the ServiceAccount that the router's pods were given instead; it gets the role.
    """
    name = names.router_account_name(metadata(service)["name"])
    namespace = metadata(service).get("namespace") or "default"
    rbac = "rbac.authorization.k8s.io"
    identity = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": child_metadata(service, name, labels, {}),
    }
    role = {
        "apiVersion": f"{rbac}/v1",
        "kind": "Role",
        "metadata": child_metadata(service, name, labels, {}),
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    }
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": child_metadata(service, name, labels, {}),
        "subjects": [{"kind": "ServiceAccount", "name": account or name, "namespace": namespace}],
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
    }
    return [
        Child(r.SERVICE_ACCOUNTS, identity),
        Child(r.ROLES, role),
        Child(r.ROLE_BINDINGS, binding),
    ]
