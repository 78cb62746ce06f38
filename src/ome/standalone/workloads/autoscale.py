"""How many replicas a HorizontalPodAutoscaler wants: the rules alone, without a clock.

As Kubernetes documents them ("Horizontal Pod Autoscaling", algorithm details, and the field
descriptions of autoscaling/v2):

* ``ceil(pods x usage / target)`` over the pods that count; within a tenth of the target nothing is
  done. Pods that have just started don't count for the CPU. A pod without figures is taken to use
  nothing where more replicas would follow, and all of its request where fewer would.
* Of several metrics the one that wants most decides. Where one can't be read nothing is scaled
  down.
* A wish for fewer replicas must hold through the stabilisation window (300 s): the highest wish
  within it counts. ``behavior`` bounds how fast it goes; by default it doubles, or adds four, every
  15 seconds, and shrinks without a bound.
* With ``spec.replicas: 0`` nothing is done: the target has been switched off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.1
STARTING_SECONDS = 300.0
"""So long after its start a pod's CPU counts only while it is ready."""
NEVER_READY_SECONDS = 30.0
DOWN_WINDOW = 300

_UP: Mapping[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Mapping[str, Any] = {
    "stabilizationWindowSeconds": DOWN_WINDOW,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One pod. ``used`` is None where it isn't known; the unit is that of ``requested``."""

    used: float | None
    requested: float
    counts: bool = True
    """False for one that is only just starting."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one metric wants, and what was measured."""

    replicas: int
    average: float
    """Of the pods that count, in the unit of ``used``."""
    utilization: int | None = None
    """The same in percent of what they request."""


def wish(
    current: int,
    figures: Sequence[Figure],
    *,
    utilization: float | None = None,
    value: float | None = None,
) -> Wish | None:
    """For a target in percent of the request, or as a value for each pod; None without figures."""
    counted = [f for f in figures if f.used is not None and f.counts]
    if not counted:
        return None
    missing = [f for f in figures if f.used is None]
    starting = [f for f in figures if f.used is not None and not f.counts]
    used = sum(f.used or 0.0 for f in counted)
    requested = sum(f.requested for f in counted)

    def ratio(extra_used: float, extra: Sequence[Figure]) -> float:
        if utilization is not None:
            base = (requested + sum(f.requested for f in extra)) * utilization / 100
        else:
            base = (value or 0.0) * (len(counted) + len(extra))
        return (used + extra_used) / base if base else 1.0

    first = ratio(0.0, ())
    percent = round(100 * used / requested) if requested else None
    average = used / len(counted)
    rebalance = starting if first > 1 else []
    if not missing and not rebalance:
        replicas = current if _near(first) else math.ceil(first * len(counted))
        return Wish(replicas, average, percent)
    extra_used = 0.0
    if first < 1:
        extra_used = sum(_whole(f, utilization, value) for f in missing)
    again = ratio(extra_used, [*missing, *rebalance])
    replicas = math.ceil(again * (len(counted) + len(missing) + len(rebalance)))
    turned = (first < 1 < again) or (again < 1 < first)
    against = (again < 1 and replicas > current) or (again > 1 and replicas < current)
    if _near(again) or turned or against:
        replicas = current
    return Wish(replicas, average, percent)


def _near(ratio: float) -> bool:
    return abs(1 - ratio) <= TOLERANCE


def _whole(figure: Figure, utilization: float | None, value: float | None) -> float:
    """What a pod without figures is taken to use where fewer replicas would follow."""
    if utilization is not None:
        return figure.requested * max(100.0, utilization) / 100
    return value or 0.0


@dataclass(slots=True)
class History:
    """What one autoscaler has wished and done; the newest last. Times are seconds."""

    wishes: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def note_wish(self, now: float, replicas: int) -> None:
        self.wishes.append((now, replicas))
        self.wishes = [entry for entry in self.wishes if entry[0] > now - 3600]

    def note_change(self, now: float, by: int) -> None:
        self.changes.append((now, by))
        self.changes = [entry for entry in self.changes if entry[0] > now - 3600]

    def changed(self, now: float, seconds: float, sign: int) -> int:
        """By how much it went that way within the last so many seconds."""
        return sum(by * sign for at, by in self.changes if at > now - seconds and by * sign > 0)


def bounded(
    now: float, current: int, wished: int, spec: Mapping[str, Any], history: History
) -> tuple[int, str]:
    """What is done of a wish, and the limit that held it back (empty if none did)."""
    behavior = spec.get("behavior") or {}
    up = {**_UP, **(behavior.get("scaleUp") or {})}
    down = {**_DOWN, **(behavior.get("scaleDown") or {})}
    if not history.wishes:
        history.note_wish(now, current)
    history.note_wish(now, wished)
    target = _stabilised(now, current, wished, up, down, history)
    reason = ""
    if target > current:
        limit = _limit(now, current, up, history, 1)
        if target > limit:
            target, reason = limit, "ScaleUpLimit"
    elif target < current:
        limit = _limit(now, current, down, history, -1)
        if target < limit:
            target, reason = limit, "ScaleDownLimit"
    low, high = low_high(spec)
    if target < low:
        return low, "TooFewReplicas"
    if target > high:
        return high, "TooManyReplicas"
    return target, reason


def low_high(spec: Mapping[str, Any]) -> tuple[int, int]:
    low = spec.get("minReplicas")
    return (1 if low is None else int(low)), int(spec["maxReplicas"])


def _stabilised(
    now: float,
    current: int,
    wished: int,
    up: Mapping[str, Any],
    down: Mapping[str, Any],
    history: History,
) -> int:
    def within(rules: Mapping[str, Any]) -> list[int]:
        window = float(rules.get("stabilizationWindowSeconds") or 0)
        return [count for at, count in history.wishes if at > now - window] or [wished]

    if wished > current:
        return max(current, min(wished, *within(up)))
    return min(current, max(wished, *within(down)))


def _limit(now: float, current: int, rules: Mapping[str, Any], history: History, sign: int) -> int:
    """The farthest that the policies allow in this direction (``sign``) now."""
    choose = rules.get("selectPolicy") or "Max"
    if choose == "Disabled":
        return current
    allowed = []
    for policy in rules.get("policies") or ():
        before = current - sign * history.changed(now, float(policy["periodSeconds"]), sign)
        value = int(policy["value"])
        if policy["type"] == "Pods":
            allowed.append(before + sign * value)
        else:
            share = before * (1 + sign * value / 100)
            allowed.append(math.ceil(share) if sign > 0 else math.floor(share))
    if not allowed:
        return current
    farthest = (max if sign > 0 else min)(allowed)
    nearest = (min if sign > 0 else max)(allowed)
    chosen = nearest if choose == "Min" else farthest
    return max(current, chosen) if sign > 0 else min(current, max(0, chosen))
