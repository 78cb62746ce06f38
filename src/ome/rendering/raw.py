"""The children of one component in RawDeployment mode: Deployment, Service, autoscaler, budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, metadata, owner_reference
from ome.rendering.errors import RenderError
from ome.rendering.facts import Child, Observed
from ome.rendering.metadata import service_annotations

_ALREADY_PORT_NAMED = "name"


@dataclass(frozen=True)
class RawComponent:
    """Everything that the four children of one component share."""

    service: Object
    name: str
    part: Object
    labels: Mapping[str, str]
    """Including ``app``."""
    annotations: Mapping[str, str]
    container: Object
    """The main container, whose ports the Service offers."""

    @property
    def base_name(self) -> str:
        return names.component_name(metadata(self.service)["name"], self.name)

    @property
    def app(self) -> str:
        return self.labels[c.L_APP]

    def meta(self, name: str, annotations: Mapping[str, str]) -> Object:
        return child_metadata(self.service, name, self.labels, annotations)


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


def deployment(given: RawComponent, template: Object, input_hash: str, observed: Observed) -> Child:
    """The Deployment. ``replicas`` is never part of it: see :class:`~ome.rendering.facts.Child`."""
    low, high, scaler = scaling(given)
    live = observed.get(r.DEPLOYMENTS, given.base_name)
    selector = ((live or {}).get("spec") or {}).get("selector")
    strategy = given.part.get("deploymentStrategy") or {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    obj: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": given.meta(given.base_name, {**given.annotations, c.A_INPUT_HASH: input_hash}),
        "spec": {
            "selector": selector or {"matchLabels": {c.L_APP: given.app}},
            "strategy": strategy,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": template,
        },
    }
    bounds = None if scaler == c.AUTOSCALER_EXTERNAL else (low, max(low, high))
    return Child(r.DEPLOYMENTS, obj, initial_replicas=low, replica_bounds=bounds)


def scaling(given: RawComponent) -> tuple[int, int, str]:
    """Fewest and most replicas, and the class of autoscaler."""
    part = given.part
    low = part.get("minReplicas")
    low = c.DEFAULT_MIN_REPLICAS if low is None else int(low)
    high = int(part.get("maxReplicas") or 0) or c.DEFAULT_MAX_REPLICAS.get(given.name, 1)
    scaler = given.annotations.get(c.A_AUTOSCALER_CLASS) or c.AUTOSCALER_HPA
    if scaler not in c.AUTOSCALER_CLASSES:
        raise RenderError(
            "InvalidSpec",
            f"there is no autoscaler class {scaler}",
            field=f"metadata.annotations[{c.A_AUTOSCALER_CLASS}]",
            fix=f"use one of {', '.join(c.AUTOSCALER_CLASSES)}",
        )
    return low, max(low, high), scaler


def component_service(given: RawComponent, observed: Observed, *, type_: str) -> Child:
    """The Service of the component's pods; a type that exists already is kept."""
    name = names.truncate_dns(given.base_name)
    live = observed.get(r.SERVICES, name)
    live_type = ((live or {}).get("spec") or {}).get("type")
    spec: Object = {
        "type": live_type or type_,
        "selector": {c.L_APP: given.app},
        "ports": service_ports(given.container),
    }
    balancer = given.annotations.get(c.A_LOAD_BALANCER_IP)
    if spec["type"] == "LoadBalancer" and balancer:
        spec["loadBalancerIP"] = balancer
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": given.meta(name, service_annotations(given.annotations)),
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


def autoscaler(given: RawComponent) -> tuple[list[Child], list[str]]:
    """The HorizontalPodAutoscaler, where that class is asked for; and warnings."""
    low, high, scaler = scaling(given)
    if scaler == c.AUTOSCALER_EXTERNAL:
        return [], []
    if scaler == c.AUTOSCALER_KEDA:
        raise RenderError(
            "NotSupportedYet",
            "autoscaling with KEDA is not rendered by this version",
            field=f"metadata.annotations[{c.A_AUTOSCALER_CLASS}]",
            fix="use hpa or external",
        )
    metric, warnings = _metric(given)
    obj = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": given.meta(given.base_name, given.annotations),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": given.base_name,
            },
            "minReplicas": max(1, low),
            "maxReplicas": max(1, high),
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": metric,
                        "target": {
                            "type": "Utilization",
                            "averageUtilization": _utilization(given),
                        },
                    },
                }
            ],
            "behavior": {},
        },
    }
    return [Child(r.HORIZONTAL_POD_AUTOSCALERS, obj)], warnings


def _metric(given: RawComponent) -> tuple[str, list[str]]:
    asked = given.part.get("scaleMetric") or given.annotations.get(c.A_AUTOSCALER_METRICS) or "cpu"
    if asked in ("cpu", "memory"):
        return asked, []
    return "cpu", [
        f"spec.{given.name}.scaleMetric {asked} is not something a HorizontalPodAutoscaler "
        "measures; cpu is used. For request metrics use the Serverless mode or KEDA"
    ]


def _utilization(given: RawComponent) -> int:
    annotated: Any = given.annotations.get(c.A_TARGET_UTILIZATION)
    target = annotated or given.part.get("scaleTarget") or c.DEFAULT_CPU_UTILIZATION
    try:
        return int(target)
    except ValueError as error:
        raise RenderError(
            "InvalidSpec",
            f"{c.A_TARGET_UTILIZATION} is {target!r}, not a number",
            field=f"metadata.annotations[{c.A_TARGET_UTILIZATION}]",
            fix="use a whole number from 1 to 100",
        ) from error


def disruption_budget(given: RawComponent) -> tuple[Child, list[str]]:
    spec: Object = {"selector": {"matchLabels": {c.L_APP: given.app}}}
    low, high = given.part.get("minAvailable"), given.part.get("maxUnavailable")
    warnings = []
    if low is not None and high is not None:
        warnings.append(
            f"spec.{given.name} sets minAvailable and maxUnavailable; Kubernetes takes one of "
            "them, and minAvailable is used"
        )
    if low is not None:
        spec["minAvailable"] = low
    else:
        spec["maxUnavailable"] = 1 if high is None else high
    obj = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": given.meta(given.base_name, given.annotations),
        "spec": spec,
    }
    return Child(r.POD_DISRUPTION_BUDGETS, obj), warnings
