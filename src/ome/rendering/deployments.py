"""All children of one RawDeployment component: workload, Service, scaler, budget."""

from __future__ import annotations

from ome.api import constants as c
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object
from ome.rendering import canary, raw
from ome.rendering.component import Part
from ome.rendering.facts import Canary, Child
from ome.rendering.metadata import service_annotations
from ome.rendering.scaling import autoscaler, scaling


class Built:
    """``type_`` is that of the component's Service where it does not exist yet."""

    def __init__(self, part: Part, type_: str) -> None:
        self.part = part
        self.warnings: list[str] = []
        self.pending = ""
        self.canary: Canary | None = None
        self.scale = scaling(part)
        self.name = part.base_name
        self.labels = raw.labels_with_app(part)
        pod, self.container = part.single_pod()
        self.children = self._children(pod, type_)

    @property
    def selector(self) -> dict[str, str]:
        return {c.L_APP: self.part.app}

    def _children(self, pod: Object, type_: str) -> list[Child]:
        part, labels = self.part, self.labels
        observed = part.given.observed
        scale = self.scale
        self.warnings += scale.warnings
        live = observed.get(r.DEPLOYMENTS, part.base_name)
        decision = part.decide(part.template(pod, labels), live)
        beside = canary.beside(part, pod, live, decision, scale)
        self.canary, decision = beside.canary, beside.decision
        self.warnings += beside.warnings
        self.pending = decision.pending
        found = [
            raw.component_service(
                part,
                self.container,
                self.selector,
                labels,
                service_annotations(part.annotations),
                type_=type_,
            ),
            Child(
                r.DEPLOYMENTS,
                raw.deployment_object(
                    part, self.name, labels, decision.template, decision.annotation, observed
                ),
                initial_replicas=scale.low,
                replica_bounds=scale.bounds,
            ),
        ]
        found += beside.children(part, self.container)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name}
        scalers, scaler_warnings = autoscaler(part, scale, target, labels)
        budget, budget_warnings = raw.disruption_budget(part, labels)
        self.warnings += [*scaler_warnings, *budget_warnings, *raw.without_effect(part)]
        return [*found, *scalers, budget]
