"""What a status is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ome.apimachinery.errors import one_line
from ome.apimachinery.objects import Object, Resource
from ome.rendering import ingress as ingress_rules
from ome.rendering.facts import Observed, Rendered
from ome.rendering.workload import Model
from ome.selection import Selection
from ome.selection.accelerators import AcceleratorChoice

_LONGEST_SENTENCE = 1500


@dataclass(frozen=True)
class Problem:
    """Why there is nothing to apply. ``condition`` is where it is said."""

    condition: str
    code: str
    message: str
    fix: str = ""

    @property
    def sentence(self) -> str:
        text = self.message.rstrip(".")
        text = f"{text}. What to do: {self.fix}" if self.fix else text
        return one_line(text, _LONGEST_SENTENCE)


@dataclass(frozen=True)
class Answer:
    """The outcome of asking the service for a real completion. ``version``: for what."""

    version: str
    ok: bool
    message: str


@dataclass(frozen=True)
class StatusInput:
    service: Object
    now: str
    rendered: Rendered | None = None
    problem: Problem | None = None
    selection: Selection | None = None
    observed: Observed = field(default_factory=Observed)
    pods: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    """By component, newest first."""
    model: Model = field(default_factory=Model)
    model_known: bool = True
    last_lines: Mapping[str, str] = field(default_factory=dict)
    lost_nodes: Mapping[str, str] = field(default_factory=dict)
    """Since when, by name of a node that has pods of the service and does not answer."""
    answer: Answer | None = None
    answer_required: bool = False
    ingress: ingress_rules.Ingress | None = None
    accelerators: Mapping[str, AcceleratorChoice] = field(default_factory=dict)
    changing: Collection[tuple[Resource, str]] = ()
    """Children that have just been changed: ``observed`` is how they were before."""
