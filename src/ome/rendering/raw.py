"""The children of one component in RawDeployment mode: Deployment, Service, budget.

What scales it is in :mod:`ome.rendering.scaling`; a second version beside it in
:mod:`ome.rendering.canary`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ome.api import constants as c
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, metadata, owner_reference
from ome.rendering.component import Part
from ome.rendering.facts import Child, Observed

_ALREADY_PORT_NAMED = "name"
ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def child_metadata(
    service: Object, name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Object:
    meta: Object = {
        "name": name,
        "namespace": metadata(service).get("namespace") or "default",
        "labels": dict(labels),
        "ownerReferences": [owner_reference(service)],
    }
    if annotations:
        meta["annotations"] = dict(annotations)
    return meta


def labels_with_app(part: Part) -> dict[str, str]:
    return {**part.labels, c.L_APP: part.app}


def deployment_object(
    part: Part,
    name: str,
    labels: Mapping[str, str],
    template: Object,
    input_hash: str,
    observed: Observed,
) -> Object:
    """A Deployment without ``replicas``: see :class:`~ome.rendering.facts.Child`."""
    live = observed.get(r.DEPLOYMENTS, name)
    selector = ((live or {}).get("spec") or {}).get("selector")
    annotations = {**part.annotations, c.A_INPUT_HASH: input_hash}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": child_metadata(part.service, name, labels, annotations),
        "spec": {
            "selector": selector or {"matchLabels": {c.L_APP: labels[c.L_APP]}},
            "strategy": part.merged.get("deploymentStrategy") or ONE_BY_ONE,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": template,
        },
    }


def component_service(
    part: Part,
    container: Object,
    selector: Mapping[str, str],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    *,
    type_: str = "ClusterIP",
    name: str = "",
) -> Child:
    """The Service of the component's pods; a type that exists already is kept."""
    name = name or names.truncate_dns(part.base_name)
    live = part.given.observed.get(r.SERVICES, name)
    live_type = ((live or {}).get("spec") or {}).get("type")
    spec: Object = {
        "type": live_type if live_type not in (None, "ExternalName") else type_,
        "selector": dict(selector),
        "ports": service_ports(container),
    }
    balancer = part.annotations.get(c.A_LOAD_BALANCER_IP)
    if spec["type"] == "LoadBalancer" and balancer:
        spec["loadBalancerIP"] = balancer
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(part.service, name, labels, annotations),
        "spec": spec,
    }
    return Child(r.SERVICES, obj)


def service_ports(container: Object) -> list[Object]:
    """One Service port for each container port; 8080 where the container names none."""
    ports = container.get("ports") or ()
    if not ports:
        return [_port(container.get("name") or "http", c.SERVICE_PORT, "TCP")]
    several = len(ports) > 1
    return [
        _port(
            port.get(_ALREADY_PORT_NAMED) or (f"port-{port['containerPort']}" if several else ""),
            int(port["containerPort"]),
            port.get("protocol") or "TCP",
        )
        for port in ports
    ]


def _port(name: str, number: int, protocol: str) -> Object:
    port: Object = {"port": number, "targetPort": number, "protocol": protocol}
    return {"name": name[:63], **port} if name else port


def without_effect(part: Part) -> list[str]:
    """Notes about settings that only Knative could carry out."""
    if part.merged.get("containerConcurrency") is None:
        return []
    return [
        f"spec.{part.name}.containerConcurrency has no effect in mode {part.mode}: only Knative "
        f"holds requests back ({c.MODE_SERVERLESS}). Most engines have a flag of their own for it"
    ]


def disruption_budget(part: Part, labels: Mapping[str, str]) -> tuple[Child, list[str]]:
    """The budget over the pods with the component's ``app`` label, and warnings."""
    spec: Object = {"selector": {"matchLabels": {c.L_APP: labels[c.L_APP]}}}
    low, high = part.merged.get("minAvailable"), part.merged.get("maxUnavailable")
    warnings = []
    if low is not None and high is not None:
        warnings.append(
            f"spec.{part.name} sets minAvailable and maxUnavailable; Kubernetes takes one of "
            "them, and minAvailable is used"
        )
    if low is not None:
        spec["minAvailable"] = low
    else:
        spec["maxUnavailable"] = 1 if high is None else high
    obj = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(part.service, part.base_name, labels, part.annotations),
        "spec": spec,
    }
    return Child(r.POD_DISRUPTION_BUDGETS, obj), warnings
