"""What a controller has decided to do. Nothing here does anything.

A plan is made by pure functions from what was observed, printed by ``ome plan``, and carried out by
:mod:`ome.controllers.executor`. Every action has the sentence that becomes the event and the log
line.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import (
    Key,
    Object,
    Resource,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
)
from ome.controllers.drift import needs_apply
from ome.controllers.ownership import freed, handed_over
from ome.rendering import Child, Observed

ALWAYS: tuple[Resource, ...] = (
    r.HORIZONTAL_POD_AUTOSCALERS,
    r.POD_DISRUPTION_BUDGETS,
    r.DEPLOYMENTS,
    r.SERVICES,
    r.CONFIG_MAPS,
    r.ROLE_BINDINGS,
    r.ROLES,
    r.SERVICE_ACCOUNTS,
)
OPTIONAL: tuple[Resource, ...] = (r.INGRESSES, *x.ALL)
"""Kinds that a cluster may lack. They are watched where they exist."""
MANAGED: tuple[Resource, ...] = (
    r.INGRESSES,
    x.HTTP_ROUTES,
    x.VIRTUAL_SERVICES,
    x.SIDECARS,
    x.SCALED_OBJECTS,
    x.LEADER_WORKER_SETS,
    x.RAY_CLUSTERS,
    x.KNATIVE_SERVICES,
    *ALWAYS,
)
"""Kinds of children. What we own of these and don't want any more is deleted, in this order: what
leads to something goes before it."""

SCALE_MANAGER = "ome-scale"
"""Brings replica counts back into their bounds; an autoscaler may change them afterwards."""


@dataclass(frozen=True)
class Apply:
    resource: Resource
    object: Object
    verb: str
    """``create``, ``update``, ``adopt`` or ``prune``."""
    sentence: str
    replicas: int | None = None
    """Of what is created. An autoscaler may change it afterwards, so it is in no later apply."""
    hand_over: list[Object] = field(default_factory=list)
    """A JSON patch that goes before: ``handed_over`` and ``freed`` of ome.controllers.ownership."""

    @property
    def key(self) -> Key:
        return key_of(self.object)


@dataclass(frozen=True)
class Scale:
    """An autoscaled workload lies outside of its bounds."""

    resource: Resource
    key: Key
    replicas: int
    sentence: str


@dataclass(frozen=True)
class Delete:
    resource: Resource
    key: Key
    uid: str
    sentence: str
    anew: bool = False
    """It is made again as soon as it is gone, with all that belongs to it."""


@dataclass(frozen=True)
class Plan:
    """All that follows from one look at one object. ``owner`` is whom events are about."""

    owner: Object
    applies: list[Apply] = field(default_factory=list)
    scales: list[Scale] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        actions: list[Apply | Scale | Delete] = [*self.applies, *self.scales, *self.deletes]
        return [action.sentence for action in actions]

    def __bool__(self) -> bool:
        return bool(self.applies or self.scales or self.deletes)


_VERBS = {
    "create": "create {kind} {name}",
    "update": "bring {kind} {name} to what the service says",
    "adopt": "take over {kind} {name}",
    "prune": "remove from {kind} {name} what is no longer wanted",
}


def plan_children(
    owner: Object,
    children: list[Child],
    observed: Observed,
    keep: Collection[tuple[Resource, str]] = (),
    replaced: Collection[tuple[Resource, str]] = (),
) -> Plan:
    """From the wanted and the observed children to actions. What is in ``keep`` is left alone,
    unless it is in ``replaced``: that is made anew."""
    plan = Plan(owner)
    wanted: set[tuple[str, str, str]] = set()
    for child in children:
        wanted.add((child.resource.group, child.resource.plural, child.key.name))
        live = observed.get(child.resource, child.key.name)
        verb = needs_apply(live, child.object, c.MANAGER)
        if verb:
            sentence = _VERBS[verb].format(kind=_named(child.resource), name=child.key.name)
            replicas = child.initial_replicas if live is None else None
            before: list[Object] = []
            if live is not None:
                before = [*handed_over(live, child.object), *freed(live, child.object)]
            plan.applies.append(
                Apply(child.resource, child.object, verb, sentence, replicas, before)
            )
        if live is not None:
            plan.scales.extend(_rescale(child, live))
    for resource in MANAGED:
        for name, live in observed.of(resource).items():
            if not owns(owner, live) or is_deleting(live):
                continue
            if (resource, name) in replaced:
                sentence = f"delete {_named(resource)} {name}, which is made anew with the change"
                gone = Delete(resource, key_of(live), uid_of(live), sentence, anew=True)
                plan.deletes.append(gone)
                continue
            if (resource.group, resource.plural, name) in wanted or (resource, name) in keep:
                continue
            sentence = f"delete {_named(resource)} {name}, which the service no longer needs"
            plan.deletes.append(Delete(resource, key_of(live), uid_of(live), sentence))
    return plan


def _named(resource: Resource) -> str:
    return "Knative Service" if resource == x.KNATIVE_SERVICES else resource.kind


def _rescale(child: Child, live: Object) -> list[Scale]:
    """Within its bounds a count belongs to whoever scales; outside of them nobody wants it.

    Zero stays zero where zero is allowed: something scaled it there and will scale it up.
    """
    if child.replica_bounds is None:
        return []
    low, high = child.replica_bounds
    count = (live.get("spec") or {}).get("replicas")
    count = 1 if count is None else int(count)
    target = min(max(count, low), high)
    if target == count:
        return []
    sentence = (
        f"scale {child.resource.kind} {child.key.name} from {count} to {target} replicas "
        f"(allowed: {low} to {high})"
    )
    return [Scale(child.resource, child.key, target, sentence)]


def owns(owner: Object, child: Object) -> bool:
    """True where ``owner`` (this very object, by uid) is the child's controller."""
    reference = controller_of(child)
    return reference is not None and reference.get("uid") == uid_of(owner)


def belongs(owner: Object, child: Object) -> bool:
    """True for what may be worked on: owned children, and Sidecars, which once had no owner."""
    if child.get("kind") == x.SIDECARS.kind and controller_of(child) is None:
        selector = ((child.get("spec") or {}).get("workloadSelector") or {}).get("labels") or {}
        return c.L_INFERENCE_SERVICE in labels_of(child) or c.L_INFERENCE_SERVICE in selector
    return owns(owner, child)
