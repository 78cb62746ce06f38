"""What a pod should do next: a pure function of its spec and of what its containers did.

Init containers run in order, each to success (one with ``restartPolicy: Always`` is a sidecar: it
must have started, and then runs beside the rest). Then all containers run. Whoever ends is
restarted as the pod's ``restartPolicy`` says, after a back-off: the first restart comes at once,
the next after ``base`` seconds, doubled each time up to ``limit``; a run of ``healthy_after``
seconds clears the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ome.standalone.node.shimclient import ContainerState

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BackOff:
    base: float = 10.0
    limit: float = 300.0
    healthy_after: float = 600.0

    def delay(self, crashes: int) -> float:
        """Seconds between the end of a run and the next, after so many crashes in a row."""
        return (
            0.0 if crashes <= 1 else float(min(self.base * 2 ** min(crashes - 2, 16), self.limit))
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One container at present. ``crashes`` counts ends in a row, the newest included."""

    latest: ContainerState | None = None
    started: bool = False
    crashes: int = 0

    @property
    def running(self) -> bool:
        return self.latest is not None and self.latest.running

    @property
    def finished(self) -> bool:
        return self.latest is not None and not self.latest.running


@dataclass(frozen=True, slots=True)
class Decision:
    """``start``: containers to start now. ``delayed``: container -> the time (epoch seconds) when
    its back-off ends. ``stop``: sidecars whose pod has ended. ``phase`` is set when it has."""

    start: tuple[str, ...] = ()
    delayed: Mapping[str, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    phase: str = ""
    initialized: bool = False

    @property
    def wake_at(self) -> float | None:
        return min(self.delayed.values(), default=None)


def is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def restarts(policy: str, state: ContainerState) -> bool:
    return policy == "Always" or (policy == "OnFailure" and state.code != 0)


def decide(
    spec: Mapping[str, Any], runs: Mapping[str, Run], now: float, back_off: BackOff
) -> Decision:
    """``runs`` has an entry for every container of the spec."""
    policy = spec.get("restartPolicy") or "Always"
    start: list[str] = []
    delayed: dict[str, float] = {}

    def begin(name: str) -> None:
        state = runs[name].latest
        until = state.finished / NANO + back_off.delay(runs[name].crashes) if state else 0.0
        if until > now:
            delayed[name] = until
        else:
            start.append(name)

    mains = [c["name"] for c in spec.get("containers") or ()]
    begun = any(runs[name].latest is not None for name in mains)
    sidecars: list[str] = []
    for container in spec.get("initContainers") or ():
        name = container["name"]
        run = runs[name]
        if is_sidecar(container):
            sidecars.append(name)
            if not run.running:
                begin(name)
            if not run.running or not run.started:
                if begun:
                    continue
                return Decision(tuple(start), delayed)
            continue
        if begun or (run.latest is not None and run.finished and run.latest.code == 0):
            continue
        if run.running:
            return Decision(tuple(start), delayed)
        if run.latest is not None and policy == "Never":
            stop = tuple(s for s in sidecars if runs[s].running)
            return Decision(stop=stop, phase="Failed")
        begin(name)
        return Decision(tuple(start), delayed)
    ended = 0
    for name in mains:
        state = runs[name].latest
        if state is not None and state.running:
            continue
        if state is None or restarts(policy, state):
            begin(name)
        else:
            ended += 1
    if ended == len(mains):
        failed = any(s is not None and s.code != 0 for s in (runs[n].latest for n in mains))
        return Decision(
            stop=tuple(s for s in sidecars if runs[s].running),
            phase="Failed" if failed else "Succeeded",
            initialized=True,
        )
    return Decision(tuple(start), delayed, initialized=True)
