"""What a benchmark's pod has told so far: its lines, put together.

The lines are made by :mod:`ome.benchmark.pod.said`. Lines of others, broken ones and those of a
later version are passed over, so that any log can be read at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ome.apimachinery.objects import Object

MARK: Final = "ome-benchmark:"


@dataclass(frozen=True)
class Told:
    """``runs`` are records as :mod:`ome.benchmark.pod.results` makes them."""

    phase: str = ""
    done: int = 0
    total: int = 0
    scenario: str = ""
    iteration: int = 0
    seconds: float = 0.0
    runs: tuple[Object, ...] = ()
    outcome: str = ""
    reason: str = ""
    message: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def ended(self) -> bool:
        return bool(self.outcome)

    @property
    def succeeded(self) -> bool:
        return self.outcome == "Succeeded"

    @property
    def completed(self) -> int:
        return sum(int(run.get("completed") or 0) for run in self.runs)

    @property
    def failed(self) -> int:
        return sum(int(run.get("failed") or 0) for run in self.runs)

    def eta(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before the first run ended."""
        if not self.done or not self.total or self.ended:
            return None
        return self.seconds / self.done * (self.total - self.done)


def read(log: str) -> Told:
    return put_together(_events(log.splitlines()))


def _events(lines: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for line in lines:
        _, found, text = line.partition(MARK)
        if not found:
            continue
        try:
            event = json.loads(text)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def put_together(events: Iterable[Mapping[str, Any]]) -> Told:
    facts: dict[str, Any] = {}
    runs: list[Object] = []
    for event in events:
        kind = event.get("event")
        if kind == "phase":
            facts["phase"] = str(event.get("text") or "")
        elif kind == "run" and isinstance(event.get("run"), dict):
            runs.append(dict(event["run"]))
        elif kind == "progress":
            facts |= {
                "done": int(event.get("done") or 0),
                "total": int(event.get("total") or 0),
                "scenario": str(event.get("scenario") or ""),
                "iteration": int(event.get("iteration") or 0),
                "seconds": float(event.get("seconds") or 0),
            }
        elif kind == "end":
            facts |= {
                "outcome": str(event.get("outcome") or "Failed"),
                "reason": str(event.get("reason") or ""),
                "message": str(event.get("message") or ""),
                "notes": tuple(str(note) for note in event.get("notes") or ()),
            }
    return Told(runs=tuple(runs), **facts)
