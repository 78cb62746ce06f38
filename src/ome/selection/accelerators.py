"""Which accelerator class a component gets, and why not the others.

A class is chosen only where the runtime lists classes at all. Named by the service (the component's
own override first) it is taken; else a policy (:mod:`ome.selection.policies`) chooses among those
that the runtime lists and that satisfy every constraint: the service's, the component's (which win
key by key) and the runtime's own requirements. Ties go to the class that the runtime lists first.

Whoever knows what the model needs says it as :data:`Memory`. A class that surely can't hold the
model is then no candidate; where it isn't known, nothing changes but what is told. A class that is
named by hand is taken all the same, with a warning.

A component that runs keeps the class it has for as long as that class is a candidate
(``current``): nodes that come and go, or facts about the model that become known later, are no
reason to restart an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.objects import Object, metadata
from ome.selection.criteria import Reason
from ome.selection.policies import POLICIES, Constraints, memory_gib

__all__ = ["AcceleratorChoice", "Holds", "Loser", "Memory", "choose_accelerator", "memory_gib"]

_CONSTRAINTS = "spec.acceleratorSelector.constraints"


@dataclass(frozen=True)
class Holds:
    """Whether a class can hold the model. ``fits`` is None where that isn't known."""

    fits: bool | None
    sentence: str
    fix: str = ""
    gib_each: float = 0.0
    """What one accelerator has to hold; 0 where not known."""


Memory = Callable[[Object], Holds]


@dataclass(frozen=True)
class Loser:
    """A class that isn't used, with everything that speaks against it."""

    name: str
    reasons: tuple[str, ...]
    fix: str = ""
    suits: bool = False
    """It could have been chosen; the policy preferred another one."""


@dataclass(frozen=True)
class AcceleratorChoice:
    """``winner`` is None where none is wanted, or where ``problem`` says that none can be had."""

    winner: Object | None = None
    reason: str = ""
    losers: tuple[Loser, ...] = ()
    problem: Reason | None = None
    memory: Holds | None = None
    """What the model needs of the winner, and has there."""

    @property
    def name(self) -> str:
        return metadata(self.winner)["name"] if self.winner else ""

    @property
    def nearest_miss(self) -> Loser | None:
        """The class that fails the fewest constraints."""
        missed = [loser for loser in self.losers if not loser.suits]
        return min(missed, key=lambda loser: len(loser.reasons), default=None)

    @property
    def warning(self) -> str:
        """What speaks against a class that is used because it was named."""
        if self.winner is None or self.memory is None or self.memory.fits is not False:
            return ""
        way_out = f"; {self.memory.fix}" if self.memory.fix else ""
        return f"accelerator class {self.name} is too small: {self.memory.sentence}{way_out}"


def choose_accelerator(
    service: Object,
    component: str,
    runtime: Object | None,
    classes: Mapping[str, Object],
    memory: Memory | None = None,
    current: str = "",
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
        return _named(named, override, component, classes, memory)
    policy = override.get("policy") or general.get("policy")
    if not policy:
        return AcceleratorChoice()
    raw = {
        **{k: v for k, v in requirements.items() if k != "acceleratorClasses"},
        **(general.get("constraints") or {}),
        **(override.get("constraints") or {}),
    }
    held = {name: memory(classes[name]) for name in listed if name in classes} if memory else {}
    needed = max((holds.gib_each for holds in held.values()), default=0.0)
    constraints = Constraints(raw, needed)
    losers: list[Loser] = []
    candidates: list[Object] = []
    for name in listed:
        loser = _judge(name, classes.get(name), constraints, held.get(name), name == current)
        if loser is None:
            candidates.append(classes[name])
        else:
            losers.append(loser)
    if not candidates:
        return _none_left(policy, component, losers)
    winner, reason = _ranked(policy, candidates, constraints, current)
    won = metadata(winner)["name"]
    losers += [
        Loser(metadata(other)["name"], (f"it suits, but {policy} prefers {won}",), suits=True)
        for other in candidates
        if other is not winner
    ]
    return AcceleratorChoice(winner, reason, tuple(losers), memory=held.get(won))


def _ranked(
    policy: str, candidates: list[Object], constraints: Constraints, current: str
) -> tuple[Object, str]:
    kept = next((obj for obj in candidates if metadata(obj)["name"] == current), None)
    if policy not in POLICIES:
        text = f"{policy} is no policy that OME knows; the first suitable class is used"
        winner, reason = candidates[0], text
    else:
        winner, reason = POLICIES[policy](candidates, constraints)
    if kept is None or kept is winner:
        return winner, reason
    return kept, f"it is in use; {policy} would choose {metadata(winner)['name']} for a new service"


def _named(
    name: str,
    override: Mapping[str, Any],
    component: str,
    classes: Mapping[str, Object],
    memory: Memory | None,
) -> AcceleratorChoice:
    where = (
        f"spec.{component}.acceleratorOverride.acceleratorClass"
        if override.get("acceleratorClass")
        else "spec.acceleratorSelector.acceleratorClass"
    )
    if name in classes:
        holds = memory(classes[name]) if memory else None
        return AcceleratorChoice(classes[name], f"named by {where}", memory=holds)
    return AcceleratorChoice(
        problem=Reason(
            "AcceleratorClassNotFound",
            f"waits for accelerator class {name}, which does not exist",
            where,
            f"create it, or name one of {', '.join(sorted(classes)) or 'those to come'}",
        )
    )


def _none_left(policy: str, component: str, losers: Sequence[Loser]) -> AcceleratorChoice:
    reasons = "; ".join(f"{loser.name}: {', '.join(loser.reasons)}" for loser in losers)
    choice = AcceleratorChoice(losers=tuple(losers))
    nearest = choice.nearest_miss
    fix = f"{nearest.name} {nearest.fix}" if nearest is not None and nearest.fix else ""
    problem = Reason(
        "NoAcceleratorFits",
        f"no accelerator class of the runtime suits the {component} (policy {policy}): {reasons}",
        _CONSTRAINTS,
        fix or "relax the constraints, or name a class",
    )
    return AcceleratorChoice(losers=choice.losers, problem=problem)


def _judge(
    name: str,
    obj: Object | None,
    constraints: Constraints,
    holds: Holds | None,
    in_use: bool,
) -> Loser | None:
    """None for a candidate. What runs already isn't judged by what it should need."""
    if obj is None:
        return Loser(name, ("it does not exist",), "is created")
    failed = _rejections(name, obj, constraints)
    fixes = [fix for _, fix in failed]
    reasons = [why for why, _ in failed]
    if holds is not None and holds.fits is False and not in_use:
        reasons.append(holds.sentence)
        fixes.append(holds.fix)
    if not reasons:
        return None
    return Loser(name, tuple(reasons), " and ".join(fixes) if all(fixes) else "")


# --- constraints --------------------------------------------------------------------------------


def _rejections(name: str, obj: Object, constraints: Constraints) -> list[tuple[str, str]]:
    """Everything that the class doesn't satisfy: (why, what would make it fit)."""
    spec = obj.get("spec") or {}
    capabilities = spec.get("capabilities") or {}
    found: list[tuple[str, str]] = []

    def without(key: str) -> str:
        return f"would fit without {key} in {_CONSTRAINTS}"

    if name in (constraints.raw.get("excludedClasses") or ()):
        found.append(("it is excluded", f"would fit if excludedClasses did not name {name}"))
    families = constraints.texts("architectureFamilies")
    if families and not _in_families(spec, families):
        why = f"its family is {spec.get('family') or 'not given'}, wanted: {', '.join(families)}"
        found.append((why, without("architectureFamilies")))
    found += _memory_rejections(memory_gib(obj), constraints)
    have = {str(item).lower() for item in capabilities.get("features") or ()}
    missing = [item for item in constraints.texts("requiredFeatures") if item not in have]
    if missing:
        found.append((f"it lacks {', '.join(missing)}", without("requiredFeatures")))
    wanted_version = str(constraints.raw.get("minArchitectureVersion") or "")
    version = str(
        capabilities.get("computeCapability") or capabilities.get("levelZeroVersion") or ""
    )
    if wanted_version and _numbers(version) < _numbers(wanted_version):
        why = f"its compute capability is {version or 'not given'}, wanted: {wanted_version}"
        found.append((why, f"would fit with minArchitectureVersion: {version}" if version else ""))
    return found


def _memory_rejections(memory: float, constraints: Constraints) -> list[tuple[str, str]]:
    least, most = constraints.number("minMemory"), constraints.number("maxMemory")
    if (least or most) and memory == 0:
        return [("its memory is not given", "would fit if capabilities.memoryGB said enough")]
    if least and memory < least:
        why = f"it has {memory:g} GiB of memory, wanted: at least {least:g}"
        return [(why, f"would fit with minMemory: {memory:g}")]
    if most and memory > most:
        why = f"it has {memory:g} GiB of memory, wanted: at most {most:g}"
        return [(why, f"would fit with maxMemory: {memory:g}")]
    return []


def _in_families(spec: Mapping[str, Any], families: Sequence[str]) -> bool:
    vendor, family = (str(spec.get(key) or "").lower() for key in ("vendor", "family"))
    return any(wanted == (f"{vendor}-{family}" if "-" in wanted else family) for wanted in families)


def _numbers(version: str) -> tuple[int, ...]:
    """``10.0`` is more than ``9.0``; what is no number counts as nothing."""
    return tuple(int(part) if part.isdigit() else -1 for part in version.split(".") if part)
