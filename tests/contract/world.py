"""A small world of objects, and what OME makes of it: the ground on which cases stand.

A case changes one field of one object in a fresh world and looks at a :class:`Seen`: children,
decisions, admission's verdict, status, what a node would fetch. All of it comes from the pure
functions that the operator, the webhooks and the agent call; nothing is started.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.fakes import objects as make
from tests.fakes.view import FixedView
from tests.unit.rendering.modes import EVERYTHING, live, settings

from ome.admission import OmeAdmission
from ome.admission.review import Review
from ome.agent.paths import PathMap
from ome.agent.target import Target, target_of, wanted_here
from ome.api import external as x
from ome.api import resources as o
from ome.apimachinery.objects import Object
from ome.controllers.accelerators import status_of
from ome.controllers.decide import Decision, decide
from ome.controllers.decide import World as Given
from ome.controllers.modelstate import ModelState, missing_metadata
from ome.controllers.settings import OperatorSettings
from ome.rendering import Observed
from ome.rendering.status import StatusInput, build
from ome.rendering.statusinput import Answer
from ome.selection import compile_runtimes

NOW = "2026-01-01T00:00:00Z"
EARLIER = "2025-12-31T00:00:00Z"


def weight(name: str = "tuned", **spec: Any) -> Object:
    return {
        "apiVersion": make.API,
        "kind": "FineTunedWeight",
        "metadata": {"name": name},
        "spec": {
            "baseModelRef": {"name": "tiny"},
            "modelType": "LoRA",
            "hyperParameters": {"strategy": "lora"},
            "storage": {"storageUri": "oci://n/ns/b/bucket/o/tuned"},
            **spec,
        },
    }


def accelerator(name: str, family: str, gigabytes: int, **spec: Any) -> Object:
    return {
        "apiVersion": make.API,
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {
            "vendor": "nvidia",
            "family": family,
            "discovery": {"nodeSelector": {"gpu": name}},
            "capabilities": {"memoryGB": f"{gigabytes}Gi"},
            "resources": [{"name": "nvidia.com/gpu"}],
            **spec,
        },
    }


def node(name: str = "n1", **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": {"nvidia.com/gpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def benchmark(**spec: Any) -> Object:
    return {
        "apiVersion": make.API,
        "kind": "BenchmarkJob",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {
            "endpoint": {"inferenceService": {"name": "chat", "namespace": "default"}},
            "task": "text-to-text",
            "maxTimePerIteration": 5,
            "maxRequestsPerIteration": 100,
            "outputLocation": {"storageUri": "pvc://results/run"},
            **spec,
        },
    }


def service() -> Object:
    made = make.service()
    made["metadata"] |= {"uid": "u-1", "generation": 1}
    return made


@dataclass
class World:
    """``kind`` is the kind of the object that a case is about."""

    kind: str = "InferenceService"
    service: Object = field(default_factory=service)
    model: Object = field(default_factory=make.model)
    runtime: Object = field(default_factory=make.runtime)
    weight: Object = field(default_factory=weight)
    benchmark: Object = field(default_factory=benchmark)
    accelerators: list[Object] = field(default_factory=lambda: [accelerator("a10", "ampere", 24)])
    others: list[Object] = field(default_factory=list)
    """Further objects: models, runtimes."""
    config: OperatorSettings = field(default_factory=settings)
    observed: Observed = field(default_factory=Observed)
    node: Object = field(default_factory=node)
    node_says: Object = field(default_factory=dict)
    """What a node read in the model's files."""
    state: ModelState | None = None
    pods: dict[str, list[Object]] = field(default_factory=dict)
    answer: Answer | None = None
    admit: bool = False
    """The service goes through admission's defaulting first."""
    update_of: Object | None = None

    @property
    def subject(self) -> Object:
        """The object that a case is about."""
        if self.kind == "AcceleratorClass":
            return self.accelerators[0]
        return {
            "InferenceService": self.service,
            "ServingRuntime": self.runtime,
            "ClusterServingRuntime": self.runtime,
            "BaseModel": self.model,
            "ClusterBaseModel": self.model,
            "FineTunedWeight": self.weight,
            "BenchmarkJob": self.benchmark,
        }[self.kind]

    def about(self, kind: str) -> World:
        """The same world with the subject made one of that kind."""
        self.kind = kind
        subject = self.subject
        subject["kind"] = kind
        resource = o.by_kind(kind)
        assert resource is not None
        if resource.namespaced:
            subject["metadata"]["namespace"] = "default"
        if kind == "BaseModel":
            self.service["spec"]["model"]["kind"] = kind
        return self

    def as_applied(self) -> Observed:
        """What would be there if the service had been applied as it is now."""
        rendered = Seen(self).decision.rendered
        assert rendered is not None
        return live(rendered)

    def seen(self) -> Seen:
        return Seen(self)


class Seen:
    """What becomes of a world; each part is worked out when it is looked at."""

    def __init__(self, world: World) -> None:
        self.world = copy.deepcopy(world)

    @property
    def subject(self) -> Object:
        return self.world.subject

    # -- admission -----------------------------------------------------------------------------

    @cached_property
    def _view(self) -> FixedView:
        w = self.world
        return FixedView(w.service, w.model, w.runtime, w.weight, *w.accelerators, *w.others)

    @cached_property
    def review(self) -> Review:
        resource = o.by_kind(self.world.kind)
        assert resource is not None
        old = self.world.update_of
        operation = "UPDATE" if old is not None else "CREATE"
        return OmeAdmission().review(operation, resource, self.subject, old, self._view)

    @property
    def refusals(self) -> list[str]:
        """The paths of what admission refuses."""
        return [error.path for error in self.review.errors]

    def warned(self, text: str) -> bool:
        """Whether admission warns in words that contain this."""
        return any(text in warning for warning in self.review.warnings)

    @cached_property
    def service(self) -> Object:
        """The service as it is stored."""
        if not self.world.admit:
            return self.world.service
        made = OmeAdmission().mutate(
            "CREATE", o.INFERENCE_SERVICES, self.world.service, None, self._view
        )
        assert made.patched is not None
        return made.patched

    # -- the operator's decision ---------------------------------------------------------------

    @cached_property
    def decision(self) -> Decision:
        w = self.world
        models = {
            (m["kind"], m["metadata"]["name"]): m
            for m in (w.model, *w.others)
            if m["kind"].endswith("BaseModel")
        }
        weights = {
            m["metadata"]["name"]: m
            for m in (w.weight, *w.others)
            if m["kind"] == "FineTunedWeight"
        }
        runtimes = [w.runtime, *(m for m in w.others if m["kind"].endswith("ServingRuntime"))]
        return decide(
            Given(
                service=self.service,
                settings=w.config,
                runtimes=compile_runtimes(runtimes),
                model=lambda kind, name: models.get((kind, name)),
                model_state=lambda _model: w.state,
                weight=weights.get,
                accelerators={a["metadata"]["name"]: a for a in w.accelerators},
                observed=w.observed,
                capabilities=EVERYTHING,
            )
        )

    @property
    def problem(self) -> str:
        """The reason why nothing can be applied; empty if there is none."""
        return self.decision.problem.code if self.decision.problem else ""

    @property
    def winner(self) -> str:
        """The runtime that was selected; empty if none fits."""
        selection = self.decision.selection
        return selection.winner.name if selection and selection.winner else ""

    @property
    def mismatches(self) -> list[str]:
        """Codes of what keeps the nearest runtime from fitting."""
        selection = self.decision.selection
        miss = selection.nearest_miss if selection else None
        return [reason.code for reason in miss.reasons] if miss else []

    def chosen(self, component: str = "engine") -> str:
        """The accelerator class that a component gets."""
        return self.decision.accelerators[component].name

    @property
    def notes(self) -> str:
        return "; ".join(self.decision.warnings)

    def child(self, kind: str, name: str) -> Object:
        return self._child(kind, name).object

    def initial(self, name: str) -> int | None:
        return self._child("Deployment", name).initial_replicas

    def _child(self, kind: str, name: str) -> Any:
        rendered = self.decision.rendered
        assert rendered is not None, self.decision.problem
        return next(c for c in rendered.children if c.object["kind"] == kind and c.key.name == name)

    def knative(self, name: str) -> Object:
        rendered = self.decision.rendered
        assert rendered is not None, self.decision.problem
        return next(
            c.object
            for c in rendered.children
            if c.resource == x.KNATIVE_SERVICES and c.key.name == name
        )

    def pod(self, component: str = "engine", role: str = "") -> Object:
        """Pod spec of a component's Deployment, or of its leaders or workers."""
        return self.template(component, role)["spec"]  # type: ignore[no-any-return]

    def template(self, component: str = "engine", role: str = "") -> Object:
        if not role:
            return self.child("Deployment", f"chat-{component}")["spec"]["template"]  # type: ignore[no-any-return]
        group = self.child("LeaderWorkerSet", f"lws-chat-{component}")
        return group["spec"]["leaderWorkerTemplate"][f"{role}Template"]  # type: ignore[no-any-return]

    def main(self, component: str = "engine", role: str = "") -> Object:
        """The container that serves."""
        containers = self.pod(component, role)["containers"]
        return next((c for c in containers if c["name"] == "ome-container"), containers[0])

    def env(self, component: str = "engine", role: str = "") -> dict[str, str]:
        found = self.main(component, role).get("env") or ()
        return {item["name"]: item.get("value", "") for item in found}

    # -- status --------------------------------------------------------------------------------

    @cached_property
    def status(self) -> Object:
        d, w = self.decision, self.world
        return build(
            StatusInput(
                service=self.service,
                now=NOW,
                rendered=d.rendered,
                problem=d.problem,
                selection=d.selection,
                observed=w.observed,
                pods=w.pods,
                model=d.wait,
                answer=w.answer,
                answer_required=w.answer is not None,
                ingress=d.ingress,
                accelerators=d.accelerators,
            )
        ).status

    @property
    def accelerator_status(self) -> Object:
        return status_of(self.world.accelerators[0], [self.world.node], [], now=NOW)

    # -- the node ------------------------------------------------------------------------------

    @property
    def wanted_here(self) -> bool:
        return wanted_here(self.world.model, self.world.node)

    @property
    def target(self) -> Target:
        return target_of(self.world.model, PathMap({"/raid/models": Path("/srv/models")}))

    @property
    def filled(self) -> Object:
        """What is written into the model's spec after a node has read the files."""
        return missing_metadata(self.world.model["spec"], self.world.node_says)


Base = Callable[[], World]
