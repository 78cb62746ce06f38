"""Which accelerator class a component gets, and why not the others.

A class is chosen only where the runtime lists classes at all. Named by the service (the component's
own override first) it is taken; else a policy chooses among those that the runtime lists and that
satisfy every constraint: the service's, the component's (which win key by key) and the runtime's
own requirements. Ties go to the class that the runtime lists first.

``BestFit``        0.7 x (wanted memory / memory) + 0.3 x compute, so the smallest that suffices
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
from ome.apimachinery.objects import Object, metadata
from ome.selection.criteria import Reason

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
class AcceleratorChoice:
    """``winner`` is None where none is wanted, or where ``problem`` says that none can be had."""

    winner: Object | None = None
    reason: str = ""
    rejected: tuple[tuple[str, str], ...] = ()
    problem: Reason | None = None

    @property
    def name(self) -> str:
        return metadata(self.winner)["name"] if self.winner else ""


@dataclass(frozen=True)
class _Constraints:
    raw: Mapping[str, Any] = field(default_factory=dict)

    def number(self, key: str) -> float:
        return float(self.raw.get(key) or 0)

    def texts(self, key: str) -> list[str]:
        return [str(item).lower() for item in self.raw.get(key) or ()]


def choose_accelerator(
    service: Object, component: str, runtime: Object | None, classes: Mapping[str, Object]
) -> AcceleratorChoice:
    """The class for one component. ``classes`` are those that exist, by name."""
    requirements = ((runtime or {}).get("spec") or {}).get("acceleratorRequirements") or {}
    listed = list(dict.fromkeys(requirements.get("acceleratorClasses") or ()))
    if not listed:
        return AcceleratorChoice()
    spec = service.get("spec") or {}
    general = spec.get("acceleratorSelector") or {}
    override = (spec.get(component) or {}).get("acceleratorOverride") or {}
    named = override.get("acceleratorClass") or general.get("acceleratorClass")
    if named:
        return _named(named, override, component, classes)
    policy = override.get("policy") or general.get("policy")
    if not policy:
        return AcceleratorChoice()
    constraints = _Constraints(
        {
            **{k: v for k, v in requirements.items() if k != "acceleratorClasses"},
            **(general.get("constraints") or {}),
            **(override.get("constraints") or {}),
        }
    )
    rejected: list[tuple[str, str]] = []
    candidates: list[Object] = []
    for name in listed:
        obj = classes.get(name)
        why = "it does not exist" if obj is None else _rejection(name, obj, constraints)
        if obj is None or why:
            rejected.append((name, why))
        else:
            candidates.append(obj)
    if not candidates:
        return _none_left(policy, component, rejected)
    winner, reason = (
        _POLICIES[policy](candidates, constraints)
        if policy in _POLICIES
        else (
            candidates[0],
            f"{policy} is no policy that OME knows; the first suitable class is used",
        )
    )
    return AcceleratorChoice(winner, reason, tuple(rejected))


def _named(
    name: str, override: Mapping[str, Any], component: str, classes: Mapping[str, Object]
) -> AcceleratorChoice:
    where = (
        f"spec.{component}.acceleratorOverride.acceleratorClass"
        if override.get("acceleratorClass")
        else "spec.acceleratorSelector.acceleratorClass"
    )
    if name in classes:
        return AcceleratorChoice(classes[name], f"named by {where}")
    return AcceleratorChoice(
        problem=Reason(
            "AcceleratorClassNotFound",
            f"waits for accelerator class {name}, which does not exist",
            where,
            f"create it, or name one of {', '.join(sorted(classes)) or 'those to come'}",
        )
    )


def _none_left(
    policy: str, component: str, rejected: Sequence[tuple[str, str]]
) -> AcceleratorChoice:
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected)
    problem = Reason(
        "NoAcceleratorFits",
        f"no accelerator class of the runtime suits the {component} (policy {policy}): {reasons}",
        "spec.acceleratorSelector.constraints",
        "relax the constraints, or name a class",
    )
    return AcceleratorChoice(rejected=tuple(rejected), problem=problem)


# --- constraints --------------------------------------------------------------------------------


def _rejection(name: str, obj: Object, constraints: _Constraints) -> str:
    """Why the class doesn't satisfy the constraints; empty if it does."""
    spec = obj.get("spec") or {}
    capabilities = spec.get("capabilities") or {}
    if name in (constraints.raw.get("excludedClasses") or ()):
        return "it is excluded"
    families = constraints.texts("architectureFamilies")
    if families and not _in_families(spec, families):
        return f"its family is {spec.get('family') or 'not given'}, wanted: {', '.join(families)}"
    memory = memory_gib(obj)
    least, most = constraints.number("minMemory"), constraints.number("maxMemory")
    if (least or most) and memory == 0:
        return "its memory is not given"
    if least and memory < least:
        return f"it has {memory:g} GiB of memory, wanted: at least {least:g}"
    if most and memory > most:
        return f"it has {memory:g} GiB of memory, wanted: at most {most:g}"
    have = {str(item).lower() for item in capabilities.get("features") or ()}
    missing = [item for item in constraints.texts("requiredFeatures") if item not in have]
    if missing:
        return f"it lacks {', '.join(missing)}"
    wanted_version = str(constraints.raw.get("minArchitectureVersion") or "")
    version = str(
        capabilities.get("computeCapability") or capabilities.get("levelZeroVersion") or ""
    )
    if wanted_version and _numbers(version) < _numbers(wanted_version):
        return f"its compute capability is {version or 'not given'}, wanted: {wanted_version}"
    return ""


def _in_families(spec: Mapping[str, Any], families: Sequence[str]) -> bool:
    vendor, family = (str(spec.get(key) or "").lower() for key in ("vendor", "family"))
    return any(wanted == (f"{vendor}-{family}" if "-" in wanted else family) for wanted in families)


def _numbers(version: str) -> tuple[int, ...]:
    """``10.0`` is more than ``9.0``; what is no number counts as nothing."""
    return tuple(int(part) if part.isdigit() else -1 for part in version.split(".") if part)


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


# --- policies -----------------------------------------------------------------------------------


def _best_fit(candidates: list[Object], constraints: _Constraints) -> tuple[Object, str]:
    wanted_memory = constraints.number("minMemory")
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


def _cheapest(candidates: list[Object], _constraints: _Constraints) -> tuple[Object, str]:
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


def _most_capable(candidates: list[Object], constraints: _Constraints) -> tuple[Object, str]:
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


def _first_available(candidates: list[Object], _constraints: _Constraints) -> tuple[Object, str]:
    for obj in candidates:
        nodes = (obj.get("status") or {}).get("availableNodes")
        if nodes is None or nodes > 0:
            return obj, "FirstAvailable"
    return candidates[0], "FirstAvailable: none has nodes at present, the first is taken"


_POLICIES: Mapping[str, Callable[[list[Object], _Constraints], tuple[Object, str]]] = {
    "BestFit": _best_fit,
    "Cheapest": _cheapest,
    "MostCapable": _most_capable,
    "FirstAvailable": _first_available,
}
