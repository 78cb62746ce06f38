"""What the API server fills into pods and pod templates.

Functions here change the object they are given; :mod:`ome.apimachinery.core_defaults` hands them
copies. Kubernetes' OpenAPI does not state these values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object

_MODE: Final = 0o644
_MODED_VOLUMES: Final = ("secret", "configMap", "downwardAPI", "projected")


def containers(spec: Object) -> Iterator[Object]:
    """All containers of a pod spec, init and ephemeral ones included."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def pod(obj: Object) -> None:
    """A Pod: beside the spec's defaults, requests follow limits and the status has a phase."""
    spec = obj.get("spec")
    if spec is None:
        return
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in containers(spec):
        resources = container["resources"]
        for name, limit in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, limit)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


def pod_template(template: Object | None) -> None:
    if template is not None:
        template.setdefault("metadata", {})
        pod_spec(template.setdefault("spec", {}))


def pod_spec(spec: Object) -> None:
    _text_default(spec, "dnsPolicy", "ClusterFirst")
    _text_default(spec, "restartPolicy", "Always")
    _text_default(spec, "schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    grace = spec.setdefault("terminationGracePeriodSeconds", 30)
    if isinstance(grace, int) and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    # The older spelling mirrors the newer one, which wins.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def image_pull_policy(image: str) -> str:
    """Always for ``latest`` and for images without tag and digest."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of the containers."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    guaranteed = True
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            resources = container.get("resources") or {}
            own_limits = _compute(resources.get("limits"))
            own_requests = {**own_limits, **_compute(resources.get("requests"))}
            guaranteed = guaranteed and len(own_limits) == 2 and own_limits == own_requests
            requests |= own_requests
            limits |= own_limits
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(amounts: Object | None) -> dict[str, Any]:
    found = {k: quantity.parse(v) for k, v in (amounts or {}).items() if k in ("cpu", "memory")}
    return {k: v for k, v in found.items() if v > 0}


def _container(container: Object) -> None:
    _text_default(container, "imagePullPolicy", image_pull_policy(container.get("image") or ""))
    container.setdefault("resources", {})
    _text_default(container, "terminationMessagePath", "/dev/termination-log")
    _text_default(container, "terminationMessagePolicy", "File")
    for port in container.get("ports") or ():
        _text_default(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        _field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook.get("httpGet"))


def _probe(probe: Object) -> None:
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(field):
            probe[field] = value
    _http_get(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _http_get(action: Object | None) -> None:
    if action is not None:
        _text_default(action, "path", "/")
        _text_default(action, "scheme", "HTTP")


def _field_ref(reference: Object | None) -> None:
    if reference is not None:
        _text_default(reference, "apiVersion", "v1")


def _volume(volume: Object) -> None:
    if not any(k != "name" for k in volume):
        volume["emptyDir"] = {}
    for name in _MODED_VOLUMES:
        if volume.get(name) is not None:
            volume[name].setdefault("defaultMode", _MODE)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    _downward((volume.get("downwardAPI") or {}).get("items"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _downward((source.get("downwardAPI") or {}).get("items"))
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim is not None and claim.get("spec") is not None:
        claim["spec"].setdefault("volumeMode", "Filesystem")


def _downward(items: list[Object] | None) -> None:
    for item in items or ():
        _field_ref(item.get("fieldRef"))


def _text_default(obj: Object, name: str, value: str) -> None:
    """In Go an empty text and an absent one are the same."""
    if not obj.get(name):
        obj[name] = value
