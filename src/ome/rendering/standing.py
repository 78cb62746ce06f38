"""The components that stand, where the present spec can't be rendered.

A model that was deleted or a merge that went wrong must not blind the status: what an earlier spec
made goes on, or breaks, and both have to be told. So its workloads are found again by their labels.
"""

from __future__ import annotations

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource, labels_of, metadata
from ome.rendering.facts import Component
from ome.rendering.handover import WORKLOADS, owned
from ome.rendering.statusinput import StatusInput

_MODES: dict[Resource, str] = {
    r.DEPLOYMENTS: c.MODE_RAW,
    x.LEADER_WORKER_SETS: c.MODE_MULTI_NODE,
    x.KNATIVE_SERVICES: c.MODE_SERVERLESS,
    x.RAY_CLUSTERS: c.MODE_MULTI_NODE_RAY,
}
_SCALED_BY_NOBODY = (x.LEADER_WORKER_SETS, x.RAY_CLUSTERS)


def standing(given: StatusInput) -> dict[str, Component]:
    """Components whose workload is there and ours, declared now or not."""
    found = {}
    for name in c.COMPONENTS:
        component = _component(given, name)
        if component is not None:
            found[name] = component
    return found


def _component(given: StatusInput, name: str) -> Component | None:
    service = metadata(given.service)["name"]
    base = names.component_name(service, name)
    for kind in WORKLOADS:
        there = sorted(
            metadata(live)["name"]
            for live in given.observed.of(kind).values()
            if labels_of(live).get(c.L_COMPONENT) == name and owned(given.service, live)
        )
        if kind == r.DEPLOYMENTS:
            there = [one for one in there if one == base]  # no prober, no canary
        if not there:
            continue
        return Component(
            name=name,
            mode=_MODES[kind],
            base_name=base,
            service_name=names.truncate_dns(base),
            port=0,
            app=names.app_label(service, name),
            workload=kind,
            workload_name=there[0],
            replicas=len(there) if kind == x.RAY_CLUSTERS else None,
            at_zero="" if kind in _SCALED_BY_NOBODY else "what scales it can start it",
        )
    return None
