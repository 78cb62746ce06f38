"""A change of mode: the workload of the old mode serves until the new one can.

Until then the old workload, what scales it and the Services that lead to it stay as they are; the
new workload starts beside it. As soon as it is available the Services turn to it and the rest goes.
Whoever has no room for both says ``deploymentStrategy: {type: Recreate}``: then the old one goes
first.

Knative wants the component's Service for itself. So a Deployment that becomes a Knative Service
gives its Service up when the first revision is up, and the other way round the Service is made when
the Knative Service is gone.

An older form of services had one component, the *predictor*. Where its workload still serves, the
engine takes over from it in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource, controller_of, labels_of, metadata, uid_of
from ome.rendering import ray, workloads
from ome.rendering.component import Part
from ome.rendering.facts import Child, Observed, RenderInput

WORKLOADS = (r.DEPLOYMENTS, x.LEADER_WORKER_SETS, x.KNATIVE_SERVICES, x.RAY_CLUSTERS)
FOLLOWERS = (
    *WORKLOADS,
    r.SERVICES,
    r.HORIZONTAL_POD_AUTOSCALERS,
    x.SCALED_OBJECTS,
    r.POD_DISRUPTION_BUDGETS,
    x.SIDECARS,
)


@dataclass(frozen=True)
class Handover:
    """``previous`` is the workload that serves meanwhile."""

    previous: tuple[Resource, str]
    children: list[Child]
    keep: frozenset[tuple[Resource, str]]


def handover(
    part: Part, resource: Resource, name: str, children: list[Child]
) -> Handover | list[Child]:
    """What to do about the component's children while another mode's workload is still there.

    Just the children where nothing has to be handed over.
    """
    given = part.given
    previous = _previous(given, part, resource)
    if previous is None:
        return children
    if previous[0] == x.KNATIVE_SERVICES and previous[1] == part.base_name:
        children = [child for child in children if child.resource != r.SERVICES]
    recreate = (part.merged.get("deploymentStrategy") or {}).get("type") == "Recreate"
    if recreate or _can_serve(resource, name, given.observed):
        return children
    children = [
        child
        for child in children
        if child.resource != r.SERVICES or given.observed.get(r.SERVICES, child.key.name) is None
    ]
    wanted = {(child.resource, child.key.name) for child in children}
    keep = {
        (kind, metadata(live)["name"])
        for kind in FOLLOWERS
        for live in given.observed.of(kind).values()
        if labels_of(live).get(c.L_COMPONENT) in _predecessors(part) and owned(given.service, live)
    }
    return Handover(previous, children, frozenset(keep - wanted))


def _previous(given: RenderInput, part: Part, resource: Resource) -> tuple[Resource, str] | None:
    for component in _predecessors(part):
        for kind in WORKLOADS:
            if kind == resource and component == part.name:
                continue
            for live in _of(given.observed, kind, component):
                name = metadata(live)["name"]
                if kind == r.DEPLOYMENTS and component == part.name and name != part.base_name:
                    continue  # a prober or a canary
                if owned(given.service, live):
                    return kind, name
    return None


def _predecessors(part: Part) -> tuple[str, ...]:
    """Components whose workload may serve until that of ``part`` does."""
    return (part.name, c.PREDICTOR) if part.name == c.ENGINE else (part.name,)


def _of(observed: Observed, kind: Resource, component: str) -> Iterable[Object]:
    found = observed.of(kind)
    return [
        live for _, live in sorted(found.items()) if labels_of(live).get(c.L_COMPONENT) == component
    ]


def _can_serve(resource: Resource, name: str, observed: Observed) -> bool:
    live = observed.get(resource, name)
    if live is None:
        return False
    if resource == x.KNATIVE_SERVICES:
        return workloads.revision_is_up(live)
    if resource == x.RAY_CLUSTERS:
        return ray.serves(name, observed)
    return workloads.read(live).serves


def owned(service: Object, live: Object) -> bool:
    reference = controller_of(live)
    return reference is not None and reference.get("uid") == uid_of(service)
