"""Which services there are, and which replicas answer for them. Pure: fed with raw objects.

A service's id is its name where it lives in namespace ``default``, otherwise
``<namespace>/<name>``; the full form is understood everywhere. The name of the model it serves is
an alias as long as one service alone serves that model.

While a component has a canary, its share of the requests goes to the canary's own Service, as the
operator writes it into ``status.components.<component>.traffic``. Where one of the two has no
replica that takes requests, the other gets all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ome.api.constants import (
    A_AUTOSCALER_CLASS,
    A_SCALE_FROM_ZERO_TIMEOUT,
    A_SCALE_TO_ZERO_AFTER,
    AUTOSCALER_EXTERNAL,
    COMPONENTS,
    ENGINE,
    ROUTER,
)
from ome.api.names import component_service_name, truncate_dns
from ome.apimachinery.objects import (
    Key,
    annotations_of,
    condition,
    is_deleting,
    key_of,
    labels_of,
    metadata,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|)")
_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica. ``uid`` tells a new pod from an old one at the same address."""

    address: str
    port: int
    uid: str = ""

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Service:
    """What the gateway needs to know of an InferenceService.

    ``backends`` are the names of the Kubernetes Services that may answer for it, best first.
    """

    namespace: str
    name: str
    model: str
    ready: bool
    reason: str
    why: str
    created: str
    backends: tuple[str, ...]
    canary: str = ""
    """The Kubernetes Service of the new version; empty without one."""
    canary_percent: int = 0
    from_zero: tuple[str, ...] = ()
    """Components that may have no replica while nobody asks."""
    idle_seconds: float | None = None
    wake_seconds: float | None = None
    """What the service itself says about how long to stay, and how long to wait."""

    @property
    def id(self) -> str:
        return self.name if self.namespace == "default" else f"{self.namespace}/{self.name}"

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


@dataclass(slots=True)
class RouteTable:
    """The gateway's knowledge. Handlers of the watches write it, requests read it."""

    services: dict[Key, Service] = field(default_factory=dict)
    _slices: dict[Key, tuple[Key, tuple[Endpoint, ...]]] = field(default_factory=dict)

    def put_service(self, obj: Mapping[str, Any]) -> None:
        if is_deleting(obj):
            self.drop_service(obj)
        else:
            service = read_service(obj)
            self.services[service.key] = service

    def drop_service(self, obj: Mapping[str, Any]) -> None:
        self.services.pop(key_of(obj), None)

    def put_slice(self, obj: Mapping[str, Any]) -> None:
        owner = labels_of(obj).get(SERVICE_NAME_LABEL)
        if owner and not is_deleting(obj):
            key = key_of(obj)
            self._slices[key] = (Key(key.namespace, owner), tuple(read_endpoints(obj)))
        else:
            self.drop_slice(obj)

    def drop_slice(self, obj: Mapping[str, Any]) -> None:
        self._slices.pop(key_of(obj), None)

    def find(self, model: str) -> Service | None:
        """The service that a request's ``model`` means, or None."""
        namespace, slash, name = model.rpartition("/")
        service = self.services.get(Key(namespace if slash else "default", name))
        if service is not None:
            return service
        serving = [s for s in self.services.values() if s.model == model]
        return serving[0] if len(serving) == 1 else None

    def endpoints(
        self, service: Service, draw: float = 100.0, tried: Collection[Endpoint] = ()
    ) -> list[Endpoint]:
        """The ready replicas, sorted, from the first backend that has one not yet tried.

        ``draw`` is a number from 0 to 100, drawn once for each request: below the canary's share
        the canary comes first.
        """
        groups = list(service.backends)
        if service.canary and service.canary_percent > 0:
            groups.insert(0 if draw < service.canary_percent else len(groups), service.canary)
        for backend in groups:
            found = self._of_backend(Key(service.namespace, backend))
            if any(endpoint not in tried for endpoint in found):
                return sorted(found, key=lambda e: (e.address, e.port, e.uid))
        return []

    def _of_backend(self, wanted: Key) -> set[Endpoint]:
        return {e for owner, es in self._slices.values() if owner == wanted for e in es}

    def all_endpoints(self) -> set[Endpoint]:
        return {e for _, endpoints in self._slices.values() for e in endpoints}

    def listed(self) -> list[Service]:
        return sorted(self.services.values(), key=lambda s: s.id)


def read_service(obj: Mapping[str, Any]) -> Service:
    """The gateway's view of a raw InferenceService."""
    key = key_of(obj)
    spec = obj.get("spec") or {}
    ready = condition(obj, "Ready") or {}
    annotations = annotations_of(obj)
    canary, percent = _canary(obj, ROUTER if spec.get(ROUTER) is not None else ENGINE)
    predictor_model = ((spec.get("predictor") or {}).get("model") or {}).get("baseModel")
    return Service(
        namespace=key.namespace,
        name=key.name,
        model=(spec.get("model") or {}).get("name") or predictor_model or "",
        ready=ready.get("status") == "True",
        reason=ready.get("reason") or "",
        why=ready.get("message") or "",
        created=metadata(obj).get("creationTimestamp") or "",
        backends=_backends(key.name, spec),
        canary=canary,
        canary_percent=percent,
        from_zero=_from_zero(annotations, spec),
        idle_seconds=seconds_of(annotations.get(A_SCALE_TO_ZERO_AFTER)),
        wake_seconds=seconds_of(annotations.get(A_SCALE_FROM_ZERO_TIMEOUT)),
    )


def _canary(obj: Mapping[str, Any], component: str) -> tuple[str, int]:
    """(the canary's Kubernetes Service, its percentage) of what answers for the service."""
    components = (obj.get("status") or {}).get("components") or {}
    for entry in (components.get(component) or {}).get("traffic") or ():
        percent = entry.get("percent")
        if entry.get("latestRevision") and isinstance(percent, int) and percent < 100:
            return truncate_dns(str(entry.get("revisionName") or "")), max(0, percent)
    return "", 0


def _from_zero(annotations: Mapping[str, str], spec: Mapping[str, Any]) -> tuple[str, ...]:
    if annotations.get(A_AUTOSCALER_CLASS) == AUTOSCALER_EXTERNAL:
        return ()
    return tuple(name for name in COMPONENTS if (spec.get(name) or {}).get("minReplicas") == 0)


def seconds_of(text: str | None) -> float | None:
    """``90``, ``90s``, ``10m``, ``1h`` in seconds; None for anything else."""
    found = _DURATION.fullmatch((text or "").strip())
    return float(found[1]) * _UNITS[found[2]] if found else None


def _backends(name: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Kubernetes Services, by the names that the operator gives them."""
    if spec.get("router") is not None:
        return (component_service_name(name, ROUTER),)
    return (component_service_name(name, ENGINE), truncate_dns(name))


def read_endpoints(obj: Mapping[str, Any]) -> Iterable[Endpoint]:
    """The replicas of an EndpointSlice that take requests."""
    port = _port(obj.get("ports") or ())
    if port is None:
        return
    for entry in obj.get("endpoints") or ():
        conditions = entry.get("conditions") or {}
        # Absent means ready (core/v1); a terminating replica takes no new requests.
        if conditions.get("ready") is False or conditions.get("terminating"):
            continue
        uid = (entry.get("targetRef") or {}).get("uid") or ""
        for address in entry.get("addresses") or ():
            yield Endpoint(address, port, uid)


def _port(ports: Iterable[Mapping[str, Any]]) -> int | None:
    """The port named for HTTP, else the first one."""
    usable = [p for p in ports if p.get("port")]
    for entry in usable:
        if (entry.get("name") or "").startswith("http"):
            return int(entry["port"])
    return int(usable[0]["port"]) if usable else None
