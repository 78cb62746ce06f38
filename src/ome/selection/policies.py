"""How a policy ranks the accelerator classes that satisfy every constraint.

``BestFit``        0.7 x (wanted memory / memory) + 0.3 x compute, so the smallest that suffices.
                   Wanted is the constraint ``minMemory``, else what the model needs on each GPU
``Cheapest``       by price per hour (spot if there is one), else per million tokens, else by tier
``MostCapable``    0.5 memory + 0.3 bandwidth + 0.2 compute, each relative to the best candidate;
                   between equals the higher clock
``FirstAvailable`` the first one that has nodes (or whose nodes are not known)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object

_GIB = 2**30
_PRECISIONS = {
    "fp32": "fp32Tflops",
    "fp16": "fp16Tflops",
    "int8": "int8Tops",
    "fp8": "int8Tops",
    "int4": "int4Tops",
}
_TIERS = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True)
class Constraints:
    """The wishes of runtime, service and component, laid over each other key by key."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    needed_gib: float = 0.0
    """What the model needs on each GPU; 0 where not known."""

    def number(self, key: str) -> float:
        return float(self.raw.get(key) or 0)

    def texts(self, key: str) -> list[str]:
        return [str(item).lower() for item in self.raw.get(key) or ()]


def memory_gib(obj: Object) -> float:
    """Memory in GiB; a bare small number is meant in GiB already."""
    raw = ((obj.get("spec") or {}).get("capabilities") or {}).get("memoryGB")
    if raw is None:
        return 0.0
    try:
        value = float(quantity.parse(raw))
    except ValueError:
        return 0.0
    return value if value < 2**20 else value / _GIB


def _capability(obj: Object, key: str) -> float:
    raw = ((obj.get("spec") or {}).get("capabilities") or {}).get(key)
    try:
        return float(quantity.parse(raw)) if raw is not None else 0.0
    except ValueError:
        return 0.0


def _tflops(obj: Object, preferred: Sequence[str]) -> tuple[float, float]:
    """(compute of the first preferred precision with data, penalty for how late it came)."""
    capabilities = (obj.get("spec") or {}).get("capabilities") or {}
    performance = capabilities.get("performance") or {}
    penalty = 1.0
    for precision in preferred:
        value = performance.get(_PRECISIONS.get(precision, ""))
        if value:
            return float(value), penalty
        penalty /= 2
    return float(performance.get("fp16Tflops") or 0), penalty


def _best_fit(candidates: list[Object], constraints: Constraints) -> tuple[Object, str]:
    wanted_memory = constraints.number("minMemory") or constraints.needed_gib
    wanted_compute = constraints.number("minComputePerformanceTFLOPS")
    preferred = constraints.texts("preferredPrecisions")

    def score(obj: Object) -> float:
        memory = memory_gib(obj)
        fit = 1.0 if not wanted_memory or not memory else wanted_memory / memory
        value, penalty = _tflops(obj, preferred)
        if not value:
            compute = 0.0
        elif not wanted_compute:
            compute = penalty
        else:
            compute = min(1.0, value / wanted_compute) * penalty
        return 0.7 * fit + 0.3 * compute

    winner = max(candidates, key=score)
    return winner, f"BestFit: {score(winner):.2f} of 1, {memory_gib(winner):g} GiB"


def _cheapest(candidates: list[Object], _constraints: Constraints) -> tuple[Object, str]:
    def price(obj: Object, *keys: str) -> float | None:
        cost = (obj.get("spec") or {}).get("cost") or {}
        for key in keys:
            if cost.get(key) is not None:
                return float(quantity.parse(cost[key]))
        return None

    for keys, unit in (
        (("spotPerHour", "perHour"), "per hour"),
        (("perMillionTokens",), "per million tokens"),
    ):
        priced = [(p, obj) for obj in candidates if (p := price(obj, *keys)) is not None]
        if priced:
            best = min(priced, key=lambda pair: pair[0])
            return best[1], f"Cheapest: {best[0]:g} {unit}"

    def tier(obj: Object) -> int:
        return _TIERS.get(str(((obj.get("spec") or {}).get("cost") or {}).get("tier")).lower(), 1)

    return min(candidates, key=tier), "Cheapest: by tier, no prices are given"


def _most_capable(candidates: list[Object], constraints: Constraints) -> tuple[Object, str]:
    preferred = constraints.texts("preferredPrecisions")
    measures: tuple[tuple[float, Callable[[Object], float]], ...] = (
        (0.5, memory_gib),
        (0.3, lambda obj: _capability(obj, "memoryBandwidthGBps")),
        (0.2, lambda obj: _tflops(obj, preferred)[0]),
    )

    def score(obj: Object) -> float:
        total = 0.0
        for weight, measure in measures:
            best = max(measure(other) for other in candidates)
            total += weight * measure(obj) / best if best else 0.0
        return total

    winner = max(candidates, key=lambda obj: (score(obj), _capability(obj, "clockSpeedMHz")))
    return winner, f"MostCapable: {score(winner):.2f} of 1"


def _first_available(candidates: list[Object], _constraints: Constraints) -> tuple[Object, str]:
    for obj in candidates:
        nodes = (obj.get("status") or {}).get("availableNodes")
        if nodes is None or nodes > 0:
            return obj, "FirstAvailable"
    return candidates[0], "FirstAvailable: none has nodes at present, the first is taken"


POLICIES: Mapping[str, Callable[[list[Object], Constraints], tuple[Object, str]]] = {
    "BestFit": _best_fit,
    "Cheapest": _cheapest,
    "MostCapable": _most_capable,
    "FirstAvailable": _first_available,
}
