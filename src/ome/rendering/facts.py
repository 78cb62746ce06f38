"""What rendering takes in and gives back.

Everything that influences the children of a service is in :class:`RenderInput`, including the
children that exist: a child under a legacy name keeps it, and a live pod template is kept as long
as its inputs are the same. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ome.api.constants import A_INPUT_HASH
from ome.apimachinery.objects import Key, Object, Resource, annotations_of, key_of, metadata
from ome.apimachinery.resources import DEPLOYMENTS

ADOPTED = "adopted"
"""Ends the input hash of a workload whose template another manager made."""


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
    @property
    def ome_ingress_gateway(self) -> str: ...
    @property
    def ingress_gateway(self) -> str: ...
    @property
    def local_gateway(self) -> str: ...
    @property
    def local_gateway_service(self) -> str: ...
    @property
    def knative_local_gateway_service(self) -> str: ...


class KedaSettings(Protocol):
    """The ``kedaConfig`` section: what a service that scales with KEDA leaves out."""

    @property
    def enabled(self) -> bool: ...
    @property
    def server_address(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def threshold(self) -> str: ...
    @property
    def operator(self) -> str: ...


class ProberSettings(Protocol):
    """The ``multinodeProber`` section: the pod that watches the engine of a Ray cluster."""

    @property
    def image(self) -> str: ...
    @property
    def resources(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def startup(self) -> Mapping[str, int]: ...


class Settings(Protocol):
    """The operator's configuration, as far as rendering reads it."""

    @property
    def ingress(self) -> IngressSettings: ...
    @property
    def keda(self) -> KedaSettings: ...
    @property
    def prober(self) -> ProberSettings: ...
    @property
    def scales_from_zero(self) -> bool: ...


@dataclass(frozen=True)
class Capabilities:
    """Which optional kinds the cluster serves, and where its names end."""

    kinds: frozenset[Resource] = frozenset()
    cluster_domain: str = "cluster.local"

    def has(self, resource: Resource) -> bool:
        return resource in self.kinds


@dataclass(frozen=True)
class RenderInput:
    service: Object
    config: Settings
    model: Object | None = None
    runtime: Object | None = None
    weights: Sequence[Object] = ()
    """The FineTunedWeights that are served on top of the model."""
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
class Canary:
    """A second version of a component beside the one that serves."""

    deployment: str
    service_name: str
    percent: int
    """Its share of the traffic."""


@dataclass(frozen=True)
class Component:
    """One rendered component, as the status needs it."""

    name: str
    mode: str
    base_name: str
    service_name: str
    port: int
    app: str
    workload: Resource
    workload_name: str
    """For Ray clusters that of the first one."""
    replicas: int | None = None
    """How many workloads there are, where each is one replica (Ray clusters)."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Beside service and component: what tells pods that take requests from others of theirs."""
    canary: Canary | None = None
    timeout_seconds: int = 0
    """How long one request may take; 0 where nobody says."""
    previous: tuple[Resource, str] | None = None
    """The workload of another mode, which serves until this one is available."""
    least: int | None = None
    """Replicas with which it serves; None where only the workload knows."""
    outdated: tuple[str, ...] = ()
    """Workloads (Ray clusters) of an earlier template that are still to be made anew."""
    at_zero: str = ""
    """What starts a first replica where there is none; empty where nothing does."""


@dataclass(frozen=True)
class Rendered:
    children: list[Child]
    components: dict[str, Component]
    entry_component: str
    """Where requests enter: router, else decoder-less engine."""
    url: str
    address: str
    keep: frozenset[tuple[Resource, str]] = frozenset()
    """Children that are neither wanted nor to go yet: they serve until others can."""
    replaced: frozenset[tuple[Resource, str]] = frozenset()
    """Of ``keep``, what goes now and is made anew when it is gone."""
    ingress_objects: tuple[tuple[Resource, str], ...] = ()
    """What makes the address; empty where nothing has to be made for it."""
    ingress_missing: Resource | None = None
    """A kind that the address needs and the cluster does not serve."""
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

    def adopted(self) -> Iterator[str]:
        """Deployments whose template is still the one that another manager gave them."""
        for live in self.of(DEPLOYMENTS).values():
            recorded = annotations_of(live).get(A_INPUT_HASH)
            if recorded is None or recorded.endswith(f"-{ADOPTED}"):
                yield metadata(live)["name"]
