"""What the agent counts, for metrics. Plain numbers: who scrapes them is not its business."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ome.agent.identity import kind_of
from ome.agent.messages import Done, Failure
from ome.apimachinery.objects import Key

Labels = tuple[str, str, str]
"""Kind, namespace (empty for kinds without) and name of a model."""
BUCKETS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 43200)
"""Seconds. Models take from moments to hours."""


@dataclass(slots=True)
class Durations:
    """A histogram: how many took at most so long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        place = next((i for i, limit in enumerate(BUCKETS) if seconds <= limit), len(BUCKETS))
        self.counts[place] += 1
        self.total += seconds


class Stats:
    """``jobs`` gives how many downloads run and how many wait."""

    def __init__(self, root: Path, jobs: Callable[[], tuple[int, int]]) -> None:
        self.root = root
        self.jobs = jobs
        self.successes: Counter[Labels] = Counter()
        self.failures: Counter[tuple[str, str, str, str]] = Counter()
        """With the reason."""
        self.bytes: Counter[Labels] = Counter()
        self.verifications: Counter[tuple[str, str, str, str]] = Counter()
        """With ``success`` or ``failure``."""
        self.durations = Durations()

    def ended(self, key: Key, result: Done | Failure, seconds: float) -> None:
        labels = labels_of(key)
        if isinstance(result, Failure):
            self.failures[(*labels, result.reason)] += 1
            return
        self.successes[labels] += 1
        self.bytes[labels] += result.size
        self.durations.add(seconds)

    def verified(self, key: Key, result: Done | Failure) -> None:
        good = isinstance(result, Done) and not (result.verified or {}).get("damaged")
        self.verifications[(*labels_of(key), "success" if good else "failure")] += 1


def labels_of(key: Key) -> Labels:
    kind = kind_of(key)
    return kind, key.namespace if kind == "BaseModel" else "", key.name
