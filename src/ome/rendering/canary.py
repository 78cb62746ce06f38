"""A new version beside the one that serves, with a share of the traffic: canary without Knative.

``canaryTrafficPercent`` below 100 on a component makes its next own change a canary: the Deployment
keeps the template it has, and ``<component>-canary`` gets the new one, with a Service of its own.
Whoever routes (the Gateway API, the embedded gateway) sends the canary its share; it is in
``status.components.<name>.traffic``.

* Raising the share changes only the weights. Undoing the change removes the canary.
* Removing the field, or 100, promotes: the Deployment takes the new template, and the canary serves
  on until that roll is through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ome.api import constants as c
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, condition, metadata
from ome.rendering import raw
from ome.rendering.component import Part
from ome.rendering.facts import Canary, Child
from ome.rendering.metadata import service_annotations
from ome.rendering.rollout import Decision
from ome.rendering.scaling import Scaling

_SUFFIX = "-canary"


@dataclass(frozen=True)
class Beside:
    """What comes beside the Deployment, and the template that the Deployment itself gets."""

    decision: Decision
    canary: Canary | None = None
    warnings: tuple[str, ...] = ()
    workload: Child | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def children(self, part: Part, container: Object) -> list[Child]:
        if self.workload is None or self.canary is None:
            return []
        service = raw.component_service(
            part,
            container,
            {c.L_APP: self.labels[c.L_APP]},
            self.labels,
            service_annotations(part.annotations),
            name=self.canary.service_name,
        )
        return [self.workload, service]


def beside(
    part: Part, pod: Object, live: Object | None, decision: Decision, scale: Scaling
) -> Beside:
    """``decision`` is what the Deployment would get without any canary."""
    percent = part.merged.get("canaryTrafficPercent")
    share = 100 if percent is None else int(percent)
    asked = share < 100
    name = f"{part.base_name}{_SUFFIX}"
    existing = part.given.observed.get(r.DEPLOYMENTS, name)
    if live is None or not (asked or existing is not None):
        return Beside(decision)
    if asked:
        if not _own_change(part, live):
            return Beside(decision)
        kept = Decision(
            (live.get("spec") or {}).get("template") or {},
            annotations_of(live).get(c.A_INPUT_HASH) or decision.annotation,
        )
    else:
        if _rolled(live, decision):
            return Beside(decision)
        kept = decision
    labels = {**part.labels, c.L_APP: names.truncate_dns(f"{part.app}{_SUFFIX}")}
    made = part.decide(part.template(pod, labels), existing)
    obj = raw.deployment_object(
        part, name, labels, made.template, made.annotation, part.given.observed
    )
    count = max(1, math.ceil(scale.low * share / 100)) if share < 100 else max(1, scale.low)
    workload = Child(r.DEPLOYMENTS, obj, count, (count, max(count, scale.high)))
    service = names.truncate_dns(name)
    return Beside(kept, Canary(name, service, share), (), workload, labels)


def _own_change(part: Part, live: Object) -> bool:
    """True where the service itself has changed since the Deployment got its template."""
    recorded = annotations_of(live).get(c.A_INPUT_HASH) or ""
    own, _, _ = recorded.partition("-")
    return bool(own) and own != part.inputs().own


def _rolled(live: Object, decision: Decision) -> bool:
    """True where the Deployment runs the promoted template on all of its replicas."""
    if annotations_of(live).get(c.A_INPUT_HASH) != decision.annotation:
        return False
    status, spec = live.get("status") or {}, live.get("spec") or {}
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    seen = status.get("observedGeneration", 0) >= metadata(live).get("generation", 0)
    available = condition(live, "Available") or {}
    settled = (
        int(status.get("updatedReplicas") or 0) >= wanted
        and int(status.get("availableReplicas") or 0) >= wanted
        and int(status.get("replicas") or 0) <= wanted
    )
    return seen and settled and (wanted == 0 or available.get("status") == "True")
