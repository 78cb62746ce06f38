"""Endpoints and EndpointSlices for a Service and its pods. Pure.

A pod counts as soon as it has an address and until it has ended. It is *ready* by its condition
(always, with ``publishNotReadyAddresses``), and not any more once it is being deleted. Pods whose
named target ports differ go to different subsets and slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ome.apimachinery.objects import Object, is_deleting, metadata, owner_reference, uid_of
from ome.standalone.workloads import pods as podrules
from ome.standalone.workloads.pods import short_hash

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
_SLICE_SIZE = 100


def selected(service: Mapping[str, Any], pods: Sequence[Object]) -> list[Object]:
    """The Service's pods that have an address, in a stable order."""
    found = [
        pod
        for pod in pods
        if (pod.get("status") or {}).get("podIP") and not podrules.is_terminal(pod)
    ]
    return sorted(found, key=lambda p: metadata(p)["name"])


def target_ports(service: Mapping[str, Any], pod: Mapping[str, Any]) -> tuple[Object, ...]:
    """The pod's ports behind the Service's; one whose name the pod doesn't know is left out."""
    result: list[Object] = []
    for port in (service.get("spec") or {}).get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _number(port.get("targetPort") or port.get("port"), protocol, pod)
        if number is None:
            continue
        entry: Object = {"port": number, "protocol": protocol}
        if port.get("name"):
            entry["name"] = port["name"]
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        result.append(entry)
    return tuple(result)


def _number(target: object, protocol: str, pod: Mapping[str, Any]) -> int | None:
    if isinstance(target, int):
        return target
    text = str(target)
    if text.isdigit():
        return int(text)
    spec = pod.get("spec") or {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            if port.get("name") == text and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _groups(service: Mapping[str, Any], pods: Sequence[Object]) -> list[tuple[Any, list[Object]]]:
    groups: dict[str, tuple[Any, list[Object]]] = {}
    for pod in selected(service, pods):
        ports = target_ports(service, pod)
        if not ports and (service.get("spec") or {}).get("ports"):
            continue
        groups.setdefault(short_hash(ports), (ports, []))[1].append(pod)
    return [groups[k] for k in sorted(groups)]


def is_ready(service: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    if (service.get("spec") or {}).get("publishNotReadyAddresses"):
        return True
    return podrules.is_ready(pod) and not is_deleting(pod)


def _reference(pod: Mapping[str, Any]) -> Object:
    meta = metadata(pod)
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def endpoints(service: Mapping[str, Any], pods: Sequence[Object]) -> Object:
    """The Endpoints object; pods that are being deleted are in it only if published unready."""
    subsets: list[Object] = []
    meta = metadata(service)
    publish = (service.get("spec") or {}).get("publishNotReadyAddresses")
    for ports, members in _groups(service, pods):
        ready: list[Object] = []
        unready: list[Object] = []
        for pod in members:
            if is_deleting(pod) and not publish:
                continue
            address: Object = {
                "ip": pod["status"]["podIP"],
                "nodeName": pod["spec"].get("nodeName"),
                "targetRef": _reference(pod),
            }
            (ready if is_ready(service, pod) else unready).append(address)
        subset: Object = {}
        if ready:
            subset["addresses"] = ready
        if unready:
            subset["notReadyAddresses"] = unready
        if subset:
            subset["ports"] = [dict(p) for p in ports]
            subsets.append(subset)
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": dict(meta.get("labels") or {}),
        },
        "subsets": subsets,
    }


def slices(service: Mapping[str, Any], pods: Sequence[Object]) -> list[Object]:
    """The EndpointSlices; a Service without pods has one empty slice, so that it can be told from
    one that nobody has looked at."""
    meta = metadata(service)
    result: list[Object] = []
    groups = _groups(service, pods) or [((), [])]
    for ports, members in groups:
        for start in range(0, max(1, len(members)), _SLICE_SIZE):
            digest = short_hash([uid_of(service), list(ports), start], 5)
            result.append(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": f"{meta['name'][:57]}-{digest}",
                        "namespace": meta["namespace"],
                        "labels": {
                            **(meta.get("labels") or {}),
                            SERVICE_NAME: meta["name"],
                            MANAGED_BY: CONTROLLER,
                        },
                        "ownerReferences": [owner_reference(service)],
                    },
                    "addressType": "IPv4",
                    "endpoints": [
                        _endpoint(service, p) for p in members[start : start + _SLICE_SIZE]
                    ],
                    "ports": [{"name": "", **p} for p in ports],
                }
            )
    return result


def _endpoint(service: Mapping[str, Any], pod: Mapping[str, Any]) -> Object:
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": is_ready(service, pod),
            "serving": podrules.is_ready(pod),
            "terminating": is_deleting(pod),
        },
        "nodeName": (pod.get("spec") or {}).get("nodeName"),
        "targetRef": _reference(pod),
    }
