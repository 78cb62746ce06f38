"""The one description of a field: its meaning for people, and its facts for the schema.

A field of a kind is written once, as an annotated member of a struct::

    min_replicas: Annotated[
        int | None,
        Field("Fewest replicas that are kept running.", unit="replicas", default="1", example=2),
    ] = None

The struct is the lens that controllers read (:mod:`ome.api.lens`); the same annotation is the
schema of the CRD (:mod:`ome.api.crds`) and a row of the reference page. Kubernetes' own types are
never retyped: they are referred to by the name of their definition (:class:`Kubernetes`) and stay
raw dicts in the lens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias

from ome.apimachinery.objects import Object


@dataclass(frozen=True, slots=True)
class Field:
    """What one field means, and what a schema must know beyond its Python type.

    ``default`` is the default in words, where code and not the schema gives it. ``enum`` is set
    only where the existing CRDs enforce it; ``values`` lists values that are known but not
    enforced. ``required`` marks fields that the schema requires although the lens has a default
    for them. ``schema`` is merged into the generated schema as it is.
    """

    doc: str
    unit: str = ""
    default: str = ""
    example: Any = None
    enum: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    required: bool = False
    schema: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The value is a Kubernetes type: full name of its definition, for example
    ``io.k8s.api.core.v1.Affinity``. On a list it is the type of the items."""

    definition: str


@dataclass(frozen=True, slots=True)
class Format:
    """The schema ``format`` of a scalar."""

    name: str


@dataclass(frozen=True, slots=True)
class Free:
    """Any JSON object; the schema keeps unknown fields and says nothing about them."""


@dataclass(frozen=True, slots=True)
class Inline:
    """Class-level: the fields of a Kubernetes type appear as siblings of the struct's own.

    ``optional`` names fields that the definition requires and the embedding does not;
    ``only`` restricts the embedding to these fields (empty: all).
    """

    definition: str
    optional: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


Int32: TypeAlias = Annotated[int, Format("int32")]
Int64: TypeAlias = Annotated[int, Format("int64")]
Quantity: TypeAlias = Annotated[str | int | float, Kubernetes("Quantity")]
"""A Kubernetes quantity as it was written: ``"80Gi"``, ``4`` or ``"1.5"``."""
IntOrString: TypeAlias = Annotated[int | str, Kubernetes("IntOrString")]
"""A count (``1``) or a percentage (``"25%"``)."""
Time: TypeAlias = Annotated[str, Format("date-time")]
"""RFC 3339 in UTC, as the API server writes it."""
FreeObject: TypeAlias = Annotated[Object, Free()]

_CORE: Final = "io.k8s.api.core.v1."
NodeAffinity: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}NodeAffinity")]
Affinity: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}Affinity")]
ResourceRequirements: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}ResourceRequirements")]
Toleration: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}Toleration")]
Volume: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}Volume")]
VolumeMount: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}VolumeMount")]
EnvVar: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}EnvVar")]
EnvFromSource: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}EnvFromSource")]
Container: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}Container")]
LocalObjectReference: TypeAlias = Annotated[Object, Kubernetes(f"{_CORE}LocalObjectReference")]
DeploymentStrategy: TypeAlias = Annotated[
    Object, Kubernetes("io.k8s.api.apps.v1.DeploymentStrategy")
]

ATOMIC: Final[Object] = {"x-kubernetes-list-type": "atomic"}
ATOMIC_MAP: Final[Object] = {"x-kubernetes-map-type": "atomic"}
SET: Final[Object] = {"x-kubernetes-list-type": "set"}
BY_NAME: Final[Object] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
