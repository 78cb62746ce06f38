"""What the server knows about a kind beyond its name, and the kinds that are built in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from ome.apimachinery import definitions
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.schema import Schema

ALL_VERBS: Final = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``: a JSONPath into the object. ``priority`` 0 is always shown,
    higher only with ``-o wide``."""

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what ``/scale`` shows. Paths are field names from the root."""

    spec_replicas: tuple[str, ...] = ("spec", "replicas")
    status_replicas: tuple[str, ...] = ("status", "replicas")
    selector: tuple[str, ...] = ("spec", "selector")
    """A label selector object (built-in kinds) or its text form (custom resources)."""


@dataclass(frozen=True)
class Kind:
    """A kind in one served version. ``bucket`` is the same for all its versions."""

    resource: Resource
    singular: str
    list_kind: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    scale: ScalePaths | None = None
    subresources: tuple[str, ...] = ()
    """Further subresources, such as ``log`` or ``binding``."""
    selectable: tuple[str, ...] = ()
    """Fields besides name and namespace that a field selector can use."""
    custom: bool = False
    served: bool = True
    storage: bool = True
    deprecated: str = ""
    """For a deprecated version: the warning that every request gets."""
    columns: tuple[Column, ...] = ()
    schema_revision: int = -1
    """Objects written at or before this revision may not follow the current schema yet."""
    has_rules: bool = False
    """Whether the schema has CEL rules."""
    raw_schema: Callable[[], Object | None] = field(default=lambda: None, compare=False)
    """Reads the ``openAPIV3Schema`` of a custom resource."""

    @cached_property
    def bucket(self) -> str:
        return f"{self.resource.group}/{self.resource.plural}"

    @cached_property
    def prefix(self) -> bytes:
        """How the JSON of every object in this version starts."""
        return f'{{"apiVersion":"{self.resource.api_version}","kind":'.encode()

    @cached_property
    def schema(self) -> Schema:
        """Made when the kind is first written, because it costs memory."""
        if self.custom:
            return Schema.from_crd(self.raw_schema())
        return definitions.schema_for(self.resource)

    def cel_programs(self, make: Callable[[Schema], list[Any]]) -> list[Any]:
        """What ``make`` makes of the schema's CEL rules, made once."""
        found: list[Any] | None = self.__dict__.get("_cel_programs")
        if found is None:
            found = self.__dict__["_cel_programs"] = make(self.schema)
        return found

    @property
    def namespaced(self) -> bool:
        return self.resource.namespaced

    @property
    def verbs(self) -> tuple[str, ...]:
        if self.bucket == "/namespaces":
            return tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
        return ALL_VERBS

    @property
    def has_generation(self) -> bool:
        return self.custom or self.resource.kind in _WITH_GENERATION


_WITH_GENERATION: Final = frozenset(
    {
        "Pod",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "PodDisruptionBudget",
        "Ingress",
        "NetworkPolicy",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
)


def _kind(
    resource: Resource,
    *short_names: str,
    status: bool = False,
    scale: ScalePaths | None = None,
    in_all: bool = False,
    subresources: tuple[str, ...] = (),
    selectable: tuple[str, ...] = (),
) -> Kind:
    return Kind(
        resource=resource,
        singular=resource.kind.lower(),
        list_kind=f"{resource.kind}List",
        short_names=short_names,
        categories=("all",) if in_all else (),
        has_status=status,
        scale=scale,
        subresources=subresources,
        selectable=selectable,
    )


POD_FIELDS: Final = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
EVENT_FIELDS: Final = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_SCALE: Final = ScalePaths()

BUILTIN: Final[tuple[Kind, ...]] = (
    _kind(
        r.NAMESPACES, "ns", status=True, subresources=("finalize",), selectable=("status.phase",)
    ),
    _kind(r.NODES, "no", status=True, selectable=("spec.unschedulable",)),
    _kind(r.PERSISTENT_VOLUMES, "pv", status=True),
    _kind(r.CONFIG_MAPS, "cm"),
    _kind(r.SECRETS, selectable=("type",)),
    _kind(r.SERVICES, "svc", status=True, in_all=True, selectable=("spec.clusterIP", "spec.type")),
    _kind(r.ENDPOINTS, "ep"),
    _kind(
        r.PODS,
        "po",
        status=True,
        in_all=True,
        subresources=("binding", "eviction", "log"),
        selectable=POD_FIELDS,
    ),
    _kind(r.EVENTS, "ev", selectable=EVENT_FIELDS),
    _kind(r.SERVICE_ACCOUNTS, "sa", subresources=("token",)),
    _kind(r.PERSISTENT_VOLUME_CLAIMS, "pvc", status=True),
    _kind(r.RESOURCE_QUOTAS, "quota", status=True),
    _kind(r.LIMIT_RANGES, "limits"),
    _kind(r.DEPLOYMENTS, "deploy", status=True, scale=_SCALE, in_all=True),
    _kind(
        r.REPLICA_SETS,
        "rs",
        status=True,
        scale=_SCALE,
        in_all=True,
        selectable=("status.replicas",),
    ),
    _kind(r.STATEFUL_SETS, "sts", status=True, scale=_SCALE, in_all=True),
    _kind(r.DAEMON_SETS, "ds", status=True, in_all=True),
    _kind(r.CONTROLLER_REVISIONS),
    _kind(r.JOBS, status=True, in_all=True, selectable=("status.successful",)),
    _kind(r.HORIZONTAL_POD_AUTOSCALERS, "hpa", status=True, in_all=True),
    _kind(r.POD_DISRUPTION_BUDGETS, "pdb", status=True),
    _kind(r.LEASES),
    _kind(r.ENDPOINT_SLICES),
    _kind(r.INGRESSES, "ing", status=True),
    _kind(r.NETWORK_POLICIES, "netpol"),
    _kind(r.ROLES),
    _kind(r.ROLE_BINDINGS),
    _kind(r.CLUSTER_ROLES),
    _kind(r.CLUSTER_ROLE_BINDINGS),
    _kind(r.PRIORITY_CLASSES, "pc"),
    _kind(r.STORAGE_CLASSES, "sc"),
    replace(
        _kind(r.CUSTOM_RESOURCE_DEFINITIONS, "crd", "crds", status=True),
        categories=("api-extensions",),
    ),
    replace(_kind(r.MUTATING_WEBHOOKS), categories=("api-extensions",)),
    replace(_kind(r.VALIDATING_WEBHOOKS), categories=("api-extensions",)),
)
