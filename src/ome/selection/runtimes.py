"""Which runtime serves a model, and why not the others.

Every candidate is judged on every criterion; there is no short cut that would leave a reason
unsaid. The order among those that fit:

1. an exact match before a generic one (see :mod:`ome.selection.criteria`);
2. a runtime of the service's namespace before one of the cluster;
3. the higher score: ``(modelFormat.weight or 10) x priority + (modelFramework.weight or 5) x
   priority`` of the best *matching* entry (with ``autoSelect: true`` unless the runtime is named);
4. if the model's size is known: a runtime with a size range before one without, and then the
   closer range, ``|min - size| + |max - size|``;
5. the lexicographically smaller name. Where this decides, the selection carries a warning.

The result doesn't depend on the order in which runtimes are given.

A running service keeps the runtime it has (``SelectionInput.current``) for as long as that
runtime fits: installing a better runtime is no reason to restart an engine. The selection says
which runtime a new service would get.

Where it is known what the model needs (``SelectionInput.memory``), a runtime whose accelerators
surely can't hold the model doesn't fit either.

A runtime that the service names is judged by the same criteria, except that it needs no
``autoSelect``. Its ``kind`` is honoured; where nothing of that kind has the name, the other scope
is taken and a warning says so (``kind`` is defaulted, so most people never chose it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ome.apimachinery.objects import Object
from ome.selection import criteria
from ome.selection.criteria import Reason
from ome.selection.facts import Entry, Model, Runtime, Wishes


@dataclass(frozen=True)
class SelectionInput:
    """``runtimes`` are those of the service's namespace and of the cluster, in any order.

    Compiled :class:`~ome.selection.facts.Runtime` values are used as they are; give those where
    many selections share them.
    """

    service: Object
    model: Object | None
    runtimes: Sequence[Runtime | Object]
    current: str = ""
    """The runtime that already serves this service: kept for as long as it fits."""
    memory: Callable[[Runtime, Entry | None], Reason | None] | None = None
    """Why the accelerators of a runtime (with its matching entry) surely can't hold the model.
    Asked of runtimes that fit in everything else.
    Not asked of a runtime that the service names, nor of the one that serves already."""


@dataclass(slots=True, eq=False)
class Candidate:
    """One runtime with its verdict; read-only. ``reasons`` is empty exactly when ``fits``.

    Not frozen, because hundreds of them are made per selection and freezing triples the cost.
    """

    runtime: Runtime
    fits: bool
    entry: Entry | None
    """The best matching entry; for a loser the one that comes closest."""
    exact: bool
    score: int
    distance: float
    _failed: int
    _entry_failed: int
    _model: Model = field(repr=False)
    _wishes: Wishes = field(repr=False)
    short: Reason | None = None
    """Its accelerators can't hold the model."""

    @property
    def name(self) -> str:
        return self.runtime.name

    @property
    def failing(self) -> int:
        """How many criteria fail."""
        short = self.short is not None
        return self._failed.bit_count() + self._entry_failed.bit_count() + short

    @property
    def reasons(self) -> list[Reason]:
        """Everything that speaks against this runtime, most telling first."""
        if self.fits:
            return []
        found: list[Reason] = [self.short] if self.short is not None else []
        if self.entry is not None:
            found += criteria.entry_reasons(self.entry, self._model, self._entry_failed)
        at_runtime = self._failed
        if at_runtime & criteria.AUTO_SELECT and self.runtime.auto_select and self.entry:
            at_runtime &= ~criteria.AUTO_SELECT
            found.append(criteria.auto_select_reason(self.runtime, self.entry))
        return found + criteria.runtime_reasons(self.runtime, self._model, self._wishes, at_runtime)

    @property
    def other_entries(self) -> list[tuple[Entry, list[Reason]]]:
        """The remaining entries of a loser, each with its own reasons."""
        return [
            (entry, criteria.entry_reasons(entry, self._model, failed))
            for entry in self.runtime.entries
            if entry is not self.entry and (failed := criteria.judge_entry(entry, self._model))
        ]

    @property
    def verdict(self) -> str:
        if not self.fits:
            return "does not fit"
        return "fits" if self.exact else "fits as a generic runtime"


@dataclass(frozen=True)
class Selection:
    """The outcome. ``problem`` is set exactly when there is no winner."""

    winner: Candidate | None
    candidates: list[Candidate]
    """All of them: those that fit in order of rank, then the others, nearest first."""
    explicit: bool
    """The service names its runtime."""
    problem: Reason | None = None
    warnings: tuple[str, ...] = ()

    @property
    def losers(self) -> list[Candidate]:
        return [candidate for candidate in self.candidates if candidate is not self.winner]

    @property
    def nearest_miss(self) -> Candidate | None:
        """The runtime that fails the fewest criteria."""
        return next((c for c in self.candidates if not c.fits), None)

    @property
    def fix(self) -> str:
        """What to change so that the nearest miss would fit; empty if there is none."""
        miss = self.nearest_miss
        if miss is None:
            return ""
        return "; and ".join(reason.fix for reason in miss.reasons)


def compile_runtimes(objects: Iterable[Object]) -> list[Runtime]:
    return [Runtime.of(obj) for obj in objects]


def select_runtime(given: SelectionInput) -> Selection:
    """The runtime for the service, with the judgement of every candidate."""
    wishes = Wishes.of(given.service)
    runtimes = [
        runtime if isinstance(runtime, Runtime) else Runtime.of(runtime)
        for runtime in given.runtimes
    ]
    runtimes = [r for r in runtimes if not r.namespace or r.namespace == wishes.namespace]
    if wishes.runtime:
        return _named(wishes, given.model, runtimes)
    if given.model is None:
        return Selection(None, [], False, _no_model())
    return _automatic(wishes, Model.of(given.model), runtimes, given)


def _no_model() -> Reason:
    return Reason(
        "ModelMissing",
        "the service names no model, so no runtime can be selected for it",
        "spec.model",
        "set spec.model.name, or spec.runtime.name, or give a complete spec.engine.runner",
    )


def _automatic(
    wishes: Wishes, model: Model, runtimes: list[Runtime], given: SelectionInput
) -> Selection:
    current = given.current
    judged = [_judge(runtime, model, wishes, explicit=False) for runtime in runtimes]
    if given.memory is not None:
        for candidate in judged:
            if candidate.fits and candidate.name != current:
                candidate.short = given.memory(candidate.runtime, candidate.entry)
                candidate.fits = candidate.short is None
    fitting = sorted((c for c in judged if c.fits), key=lambda c: _rank(c, model))
    missing = sorted((c for c in judged if not c.fits), key=_nearness)
    candidates = fitting + missing
    if not fitting:
        return Selection(None, candidates, False, _nothing_fits(model, wishes, missing))
    kept = next((c for c in fitting if c.name == current), fitting[0])
    if kept is fitting[0]:
        return Selection(kept, candidates, False, None, _tie_warnings(fitting, model))
    note = (
        f"runtime {kept.name} is kept because it serves already; a new service would get "
        f"{fitting[0].name}. To move, set spec.runtime.name: {fitting[0].name}"
    )
    return Selection(kept, candidates, False, None, (note,))


def _named(wishes: Wishes, model_object: Object | None, runtimes: list[Runtime]) -> Selection:
    same_name = [runtime for runtime in runtimes if runtime.name == wishes.runtime]
    wanted_kind = wishes.runtime_kind or "ClusterServingRuntime"
    chosen = next((r for r in same_name if r.kind == wanted_kind), None)
    warnings: tuple[str, ...] = ()
    if chosen is None and same_name:
        chosen = same_name[0]
        warnings = (
            f"there is no {wanted_kind} {wishes.runtime}; the {chosen.kind} of that name is used. "
            f"Set spec.runtime.kind: {chosen.kind} to say so",
        )
    elif chosen is not None and len(same_name) > 1:
        warnings = (
            f"a ServingRuntime and a ClusterServingRuntime are both called {wishes.runtime}; "
            f"the {chosen.kind} is used, as spec.runtime.kind says",
        )
    if chosen is None:
        problem = Reason(
            "RuntimeNotFound",
            f"there is no runtime {wishes.runtime} in namespace {wishes.namespace} or in the "
            "cluster",
            "spec.runtime.name",
            _spelling(wishes.runtime, runtimes),
        )
        return Selection(None, [], True, problem)
    model = Model.of(model_object or {"metadata": {"name": ""}})
    candidate = _judge(chosen, model, wishes, explicit=True)
    if model_object is None and not chosen.disabled:
        # Without a model there is nothing to match; the runtime is the user's own choice.
        candidate = _as_fitting(candidate)
    if candidate.fits:
        return Selection(candidate, [candidate], True, None, warnings)
    reasons = "; ".join(reason.message for reason in candidate.reasons)
    if chosen.disabled:
        problem = candidate.reasons[-1]
        code = "RuntimeDisabled"
        message = f"{chosen.kind} {chosen.name} is disabled"
        problem = Reason(code, message, "spec.runtime.name", problem.fix)
    else:
        problem = Reason(
            "RuntimeIncompatible",
            f"{chosen.kind} {chosen.name} does not support {model.kind} {model.name}: {reasons}",
            "spec.runtime.name",
            "; and ".join(reason.fix for reason in candidate.reasons),
        )
    return Selection(None, [candidate], True, problem, warnings)


def _as_fitting(candidate: Candidate) -> Candidate:
    return Candidate(
        candidate.runtime, True, None, True, 0, 0.0, 0, 0, candidate._model, candidate._wishes
    )


def _spelling(name: str, runtimes: list[Runtime]) -> str:
    known = sorted({runtime.name for runtime in runtimes})
    if not known:
        return "create the runtime, or leave spec.runtime out"
    close = [other for other in known if name in other or other in name] or known[:5]
    return f"use one of {', '.join(close[:5])}, or leave spec.runtime out"


def _judge(runtime: Runtime, model: Model, wishes: Wishes, *, explicit: bool) -> Candidate:
    at_runtime = criteria.judge_runtime(runtime, model, wishes, explicit=explicit)
    best: Entry | None = None
    best_key: tuple[bool, bool, int] | None = None
    closest: Entry | None = None
    closest_failed = 0
    matching_by_hand: Entry | None = None
    for entry in runtime.entries:
        failed = criteria.judge_entry(entry, model)
        if failed:
            if closest is None or failed.bit_count() < closest_failed.bit_count():
                closest, closest_failed = entry, failed
            continue
        if not explicit and not entry.auto_select:
            matching_by_hand = matching_by_hand or entry
            continue
        key = (criteria.is_exact(entry, model), not entry.generic, entry.score)
        if best_key is None or key > best_key:
            best, best_key = entry, key
    if best is not None and best_key is not None:
        return Candidate(
            runtime,
            at_runtime == 0,
            best,
            best_key[0],
            best.score,
            _distance(runtime, model),
            at_runtime,
            0,
            model,
            wishes,
        )
    if matching_by_hand is not None:
        closest, closest_failed = matching_by_hand, 0
        at_runtime |= criteria.AUTO_SELECT
    return Candidate(
        runtime, False, closest, False, 0, 0.0, at_runtime, closest_failed, model, wishes
    )


def _distance(runtime: Runtime, model: Model) -> float:
    """How far the size range lies around the model's size; no range is farthest."""
    if model.size is None:
        return 0.0
    if runtime.size_min is None and runtime.size_max is None:
        return float("inf")
    low = model.size if runtime.size_min is None else runtime.size_min
    high = model.size if runtime.size_max is None else runtime.size_max
    return abs(low - model.size) + abs(high - model.size)


def _rank(candidate: Candidate, model: Model) -> tuple[bool, bool, int, float, str]:
    return (
        not candidate.exact,
        not candidate.runtime.namespace,
        -candidate.score,
        candidate.distance,
        candidate.runtime.name,
    )


def _nearness(candidate: Candidate) -> tuple[int, bool, bool, str]:
    return (
        candidate.failing,
        bool(candidate._entry_failed & criteria.FORMAT),
        not candidate.runtime.namespace,
        candidate.runtime.name,
    )


def _tie_warnings(fitting: list[Candidate], model: Model) -> tuple[str, ...]:
    best = _rank(fitting[0], model)[:-1]
    tied = [c.runtime.name for c in fitting if _rank(c, model)[:-1] == best]
    if len(tied) < 2:
        return ()
    return (
        f"runtimes {', '.join(tied)} fit {model.kind} {model.name} equally well; {tied[0]} is "
        "chosen because its name sorts first. Give one a higher priority, or set spec.runtime.name",
    )


def _nothing_fits(model: Model, wishes: Wishes, missing: list[Candidate]) -> Reason:
    local = sum(bool(candidate.runtime.namespace) for candidate in missing)
    count = "1 runtime was" if len(missing) == 1 else f"{len(missing)} runtimes were"
    looked = (
        f"{count} examined ({local} of namespace {wishes.namespace}, "
        f"{len(missing) - local} of the cluster)"
    )
    described = ", ".join(
        str(part)
        for part in (
            model.format,
            model.framework,
            model.architecture,
            model.quantization,
            model.size_text,
        )
        if part
    )
    message = f"no runtime fits {model.kind} {model.name} ({described or 'no metadata'}); {looked}"
    if not missing:
        return Reason(
            "NoRuntimes",
            message,
            "spec.runtime",
            "install runtimes, or set spec.runtime.name or a complete spec.engine.runner",
        )
    nearest = missing[0]
    reasons = "; ".join(reason.message for reason in nearest.reasons)
    return Reason(
        "NoRuntimeFits",
        f"{message}. The nearest is {nearest.runtime.name}: {reasons}",
        "spec.runtime",
        "; and ".join(reason.fix for reason in nearest.reasons),
    )
