"""Which services there are, and which replicas answer for them. Pure: fed with raw objects.

A service's id is its name where it lives in namespace ``default``, otherwise
``<namespace>/<name>``; the full form is understood everywhere. The name of the model it serves is
an alias as long as one service alone serves that model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ome.api.constants import ENGINE, ROUTER
from ome.api.names import component_service_name, truncate_dns
from ome.apimachinery.objects import Key, condition, is_deleting, key_of, labels_of, metadata

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


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

    def endpoints(self, service: Service) -> list[Endpoint]:
        """The ready replicas, sorted, from the first backend that has any."""
        for backend in service.backends:
            wanted = Key(service.namespace, backend)
            found = {e for owner, es in self._slices.values() if owner == wanted for e in es}
            if found:
                return sorted(found, key=lambda e: (e.address, e.port, e.uid))
        return []

    def all_endpoints(self) -> set[Endpoint]:
        return {e for _, endpoints in self._slices.values() for e in endpoints}

    def listed(self) -> list[Service]:
        return sorted(self.services.values(), key=lambda s: s.id)


def read_service(obj: Mapping[str, Any]) -> Service:
    """The gateway's view of a raw InferenceService."""
    key = key_of(obj)
    spec = obj.get("spec") or {}
    ready = condition(obj, "Ready") or {}
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
    )


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
