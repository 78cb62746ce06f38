"""What rendering takes in and gives back.

Everything that influences the children of a service is in :class:`RenderInput`, including the
children that exist: a child under a legacy name keeps it, and a live pod template is kept as long
as its inputs are the same. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ome.apimachinery.objects import Key, Object, Resource, key_of, metadata


class IngressSettings(Protocol):
    """The ``ingress`` section of the configuration, as far as rendering reads it."""

    @property
    def ingress_domain(self) -> str: ...
    @property
    def domain_template(self) -> str: ...
    @property
    def path_template(self) -> str | None: ...
    @property
    def url_scheme(self) -> str: ...
    @property
    def additional_ingress_domains(self) -> Sequence[str] | None: ...
    @property
    def disable_ingress_creation(self) -> bool: ...
    @property
    def disable_istio_virtual_host(self) -> bool: ...
    @property
    def enable_gateway_api(self) -> bool: ...
    @property
    def ingress_class_name(self) -> str | None: ...


class Settings(Protocol):
    """The operator's configuration, as far as rendering reads it."""

    @property
    def ingress(self) -> IngressSettings: ...


@dataclass(frozen=True)
class Capabilities:
    """Which optional kinds the cluster serves, and where its names end."""

    knative: bool = False
    leader_worker_set: bool = False
    keda: bool = False
    gateway_api: bool = False
    cluster_domain: str = "cluster.local"


@dataclass(frozen=True)
class RenderInput:
    service: Object
    config: Settings
    model: Object | None = None
    runtime: Object | None = None
    entry: Mapping[str, Any] | None = None
    """The item of ``supportedModelFormats`` that matched."""
    accelerators: Mapping[str, Object] = field(default_factory=dict)
    """AcceleratorClass by component."""
    observed: Observed = field(default_factory=lambda: Observed())
    capabilities: Capabilities = Capabilities()
    may_roll: bool = True
    """False while other services take their turn with a change of a shared input."""


@dataclass(frozen=True)
class Child:
    """One object to be there. ``sentence`` says what applying it means."""

    resource: Resource
    object: Object
    initial_replicas: int | None = None
    """Given once, under another field manager, when the child is new and something scales it."""
    replica_bounds: tuple[int, int] | None = None
    """An autoscaled child is brought back into these bounds, under that other manager."""

    @property
    def key(self) -> Key:
        return key_of(self.object)


@dataclass(frozen=True)
class Component:
    """One rendered component, as the status needs it."""

    name: str
    mode: str
    base_name: str
    service_name: str
    port: int
    app: str


@dataclass(frozen=True)
class Rendered:
    children: list[Child]
    components: dict[str, Component]
    entry_component: str
    """Where requests enter: router, else decoder-less engine."""
    url: str
    address: str
    pending: tuple[str, ...] = ()
    """Changes that wait (held, or for their turn), as sentences."""
    warnings: tuple[str, ...] = ()


class Observed:
    """The children that exist, by kind and name. Only owned ones: see ``owned_by``."""

    def __init__(self, objects: Mapping[Resource, list[Object]] | None = None) -> None:
        self._objects: dict[tuple[str, str], dict[str, Object]] = {}
        for resource, items in (objects or {}).items():
            by_name = {metadata(item)["name"]: item for item in items}
            self._objects[(resource.group, resource.plural)] = by_name

    def get(self, resource: Resource, name: str) -> Object | None:
        return self.of(resource).get(name)

    def of(self, resource: Resource) -> Mapping[str, Object]:
        return self._objects.get((resource.group, resource.plural), {})
