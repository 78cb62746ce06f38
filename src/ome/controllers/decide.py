"""From everything that bears on one service to what should be done about it: pure.

The controller fills a :class:`World` from its caches, ``ome plan -f`` from files. The answer is the
same, because nothing else is looked at.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api.references import foreign
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata
from ome.controllers.fitting import Fitting
from ome.controllers.modelstate import ModelState, missing_metadata
from ome.controllers.plan import Plan, plan_children
from ome.rendering import (
    Capabilities,
    Observed,
    Rendered,
    RenderError,
    RenderInput,
    Settings,
    render,
)
from ome.rendering import ingress as ingress_rules
from ome.rendering.handover import WORKLOADS
from ome.rendering.mode import service_mode
from ome.rendering.status import RENDERED, Problem
from ome.rendering.weights import mismatch
from ome.rendering.workload import MODEL_REMEDY
from ome.rendering.workload import Model as ModelWait
from ome.selection import Candidate, Runtime, Selection, SelectionInput, select_runtime
from ome.selection.accelerators import AcceleratorChoice, choose_accelerator

BASE_MODEL, CLUSTER_BASE_MODEL = "BaseModel", "ClusterBaseModel"
FINE_TUNED_WEIGHT = "FineTunedWeight"
NO_NODE_STORES = ("pvc://",)
"""Models that no node has to fetch."""


@dataclass(frozen=True)
class World:
    service: Object
    settings: Settings
    runtimes: Sequence[Runtime]
    """Those of the service's namespace and of the cluster."""
    model: Callable[[str, str], Object | None]
    """By kind and name, in the service's namespace or the cluster."""
    model_names: Callable[[], Sequence[str]] = tuple
    """For suggestions when a name doesn't exist."""
    model_state: Callable[[Object], ModelState | None] = lambda _model: None
    """What nodes report; None where nothing keeps models on nodes."""
    weight: Callable[[str], Object | None] = lambda _name: None
    """FineTunedWeights by name."""
    accelerators: Mapping[str, Object] = field(default_factory=dict)
    """The accelerator classes that exist, by name."""
    observed: Observed = field(default_factory=Observed)
    capabilities: Capabilities = field(default_factory=Capabilities)
    may_roll: bool = True


@dataclass(frozen=True)
class Decision:
    plan: Plan
    rendered: Rendered | None = None
    problem: Problem | None = None
    selection: Selection | None = None
    model: Object | None = None
    wait: ModelWait = field(default_factory=ModelWait)
    ingress: ingress_rules.Ingress | None = None
    accelerators: Mapping[str, AcceleratorChoice] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def decide(world: World) -> Decision:
    """What to apply, or the problem that stands in the way."""
    nothing = Decision(Plan(world.service))
    if service_mode(world.service) == c.MODE_VIRTUAL:
        given = RenderInput(world.service, world.settings, capabilities=world.capabilities)
        return _rendered(world, given, nothing)
    for path, text in foreign(world.service.get("spec") or {}):
        return replace(nothing, problem=Problem(cond.SELECTED, "InvalidSpec", f"{path}: {text}"))
    model, problem, warnings = find_model(world)
    wait = _wait(world, model)
    nothing = replace(nothing, model=model, wait=wait, warnings=warnings)
    if problem is not None:
        return replace(nothing, problem=problem)
    weights, problem = find_weights(world, model)
    if problem is not None:
        return replace(nothing, problem=problem)
    selection = None
    fitting = Fitting(world.service, model, world.accelerators)
    if not _brings_own_runner(world.service):
        selection = select_runtime(
            SelectionInput(world.service, model, world.runtimes, _current(world), fitting.too_large)
        )
        if selection.winner is None:
            return replace(
                nothing, selection=selection, problem=_selection_problem(selection, model, wait)
            )
    winner = selection.winner if selection else None
    choices = _accelerators(world, winner, fitting)
    missing = next((choice.problem for choice in choices.values() if choice.problem), None)
    if missing is not None:
        problem = Problem(cond.SELECTED, missing.code, missing.message, missing.fix)
        return replace(nothing, selection=selection, problem=problem)
    given = RenderInput(
        service=world.service,
        config=world.settings,
        model=model,
        runtime=winner.runtime.raw if winner else None,
        weights=weights,
        entry=winner.entry.raw if winner and winner.entry else None,
        accelerators={name: made.winner for name, made in choices.items() if made.winner},
        observed=world.observed,
        capabilities=world.capabilities,
        may_roll=world.may_roll,
    )
    nothing = replace(
        nothing,
        selection=selection,
        accelerators=choices,
        warnings=(
            *warnings,
            *(selection.warnings if selection else ()),
            *(choice.warning for choice in choices.values() if choice.warning),
        ),
    )
    return _rendered(world, given, nothing)


def _rendered(world: World, given: RenderInput, so_far: Decision) -> Decision:
    """``so_far`` with the children and the plan, or with what keeps them from being made."""
    try:
        rendered = render(given)
        ingress = ingress_rules.resolve(world.settings.ingress, world.service)
    except RenderError as error:
        problem = Problem(RENDERED, error.code, error.message, error.fix)
        return replace(so_far, problem=problem)
    except BadRequest as error:
        text = f"the service can't be laid over its runtime: {error.message}"
        fix = "correct what the message names, in the service or the runtime"
        return replace(so_far, problem=Problem(RENDERED, "BadMerge", text, fix))
    return replace(
        so_far,
        plan=plan_children(
            world.service, rendered.children, world.observed, rendered.keep, rendered.replaced
        ),
        rendered=rendered,
        ingress=ingress,
        warnings=(*so_far.warnings, *rendered.warnings),
    )


def _accelerators(
    world: World, winner: Candidate | None, fitting: Fitting
) -> dict[str, AcceleratorChoice]:
    """What each component that loads the model gets."""
    spec = world.service.get("spec") or {}
    runtime = winner.runtime.raw if winner else None
    entry = winner.entry.raw if winner and winner.entry else None
    return {
        name: choose_accelerator(
            world.service,
            name,
            runtime,
            world.accelerators,
            None if _runs_unrecorded(world, name) else fitting.memory(name, runtime, entry),
            _current_accelerator(world, name),
        )
        for name in (c.ENGINE, c.DECODER)
        if spec.get(name) is not None
    }


def _current_accelerator(world: World, component: str) -> str:
    """The class that the component runs with, unless the service has been changed since."""
    status = world.service.get("status") or {}
    generation = metadata(world.service).get("generation")
    if not _current(world) or status.get("observedGeneration") != generation:
        return ""
    return _recorded_accelerator(world, component)


def _recorded_accelerator(world: World, component: str) -> str:
    components = (world.service.get("status") or {}).get("components") or {}
    selected = (components.get(component) or {}).get("selectedAccelerator") or {}
    return str(selected.get("acceleratorClass") or "")


def _runs_unrecorded(world: World, component: str) -> bool:
    """It runs since before its class was written down: arithmetic is no reason to doubt it."""
    return bool(_current(world)) and not _recorded_accelerator(world, component)


def find_model(world: World) -> tuple[Object | None, Problem | None, tuple[str, ...]]:
    """The model that the service names, or why it can't be had."""
    reference = (world.service.get("spec") or {}).get("model") or {}
    name = reference.get("name")
    if not name:
        return None, None, ()
    kind = reference.get("kind") or CLUSTER_BASE_MODEL
    if kind == FINE_TUNED_WEIGHT:
        base = _base_of(world, name)
        if isinstance(base, Problem):
            return None, base, ()
        kind, name = base
    if kind not in (BASE_MODEL, CLUSTER_BASE_MODEL):
        text = f"models of kind {kind} can't be served"
        fix = f"name a {BASE_MODEL}, {CLUSTER_BASE_MODEL} or {FINE_TUNED_WEIGHT} in spec.model"
        return None, Problem(cond.SELECTED, "InvalidSpec", text, fix), ()
    other = BASE_MODEL if kind == CLUSTER_BASE_MODEL else CLUSTER_BASE_MODEL
    model = world.model(kind, name)
    warnings: tuple[str, ...] = ()
    if model is None:
        model = world.model(other, name)
        if model is not None:
            warnings = (
                f"there is no {kind} {name}; the {other} of that name is used. Set "
                f"spec.model.kind: {other} to say so",
            )
    if model is None:
        return None, _no_model(world, name), ()
    if (model.get("spec") or {}).get("disabled"):
        text = f"{model['kind']} {name} is disabled"
        fix = "set spec.disabled: false in the model, or name another one"
        return model, Problem(cond.SELECTED, "BaseModelDisabled", text, fix), warnings
    if (model.get("status") or {}).get("lifecycle") == "Deprecated":
        warnings += (f"{model['kind']} {name} is deprecated; choose another model in time",)
    return model, None, warnings


def _base_of(world: World, name: str) -> tuple[str, str] | Problem:
    """Kind and name of the model that a weight was made of, where the service names the weight."""
    weight = world.weight(name)
    if weight is None:
        return _no_weight(name)
    reference = (weight.get("spec") or {}).get("baseModelRef") or {}
    if not reference.get("name"):
        text = f"{FINE_TUNED_WEIGHT} {name} does not say which model it was made of"
        return Problem(
            cond.SELECTED, "BaseModelNotFound", text, "set spec.baseModelRef.name in the weight"
        )
    return (BASE_MODEL if reference.get("namespace") else CLUSTER_BASE_MODEL), reference["name"]


def _no_weight(name: str) -> Problem:
    text = f"waits for fine-tuned weights {name}, which do not exist"
    return Problem(
        cond.SELECTED, "FineTunedWeightsNotFound", text, f"create the {FINE_TUNED_WEIGHT}"
    )


def find_weights(world: World, model: Object | None) -> tuple[tuple[Object, ...], Problem | None]:
    """The fine-tuned weights that the service names, or why they can't be served."""
    reference = (world.service.get("spec") or {}).get("model") or {}
    wanted = list(reference.get("fineTunedWeights") or ())
    if reference.get("kind") == FINE_TUNED_WEIGHT and reference.get("name"):
        wanted.insert(0, reference["name"])
    found = []
    for name in dict.fromkeys(wanted):
        weight = world.weight(name)
        if weight is None:
            return (), _no_weight(name)
        if (weight.get("spec") or {}).get("disabled"):
            text = f"{FINE_TUNED_WEIGHT} {name} is disabled"
            fix = "set spec.disabled: false in it, or name others"
            return (), Problem(cond.SELECTED, "FineTunedWeightsDisabled", text, fix)
        wrong = mismatch(weight, model) if model is not None else ""
        if wrong:
            text = f"{FINE_TUNED_WEIGHT} {name} can't be served: {wrong}"
            fix = "name the model that it was made for in spec.model.name, or other weights"
            return (), Problem(cond.SELECTED, "WeightsOfAnotherModel", text, fix)
        found.append(weight)
    return tuple(found), None


def _no_model(world: World, name: str) -> Problem:
    namespace = metadata(world.service).get("namespace") or "default"
    text = (
        f"waits for model {name}: there is no {CLUSTER_BASE_MODEL} of that name, and no "
        f"{BASE_MODEL} in namespace {namespace}"
    )
    close = difflib.get_close_matches(name, list(world.model_names()), n=3, cutoff=0.6)
    fix = "create the model"
    if close:
        fix = f"create the model, or did you mean {' or '.join(close)}?"
    return Problem(cond.SELECTED, "BaseModelNotFound", text, fix)


def _brings_own_runner(service: Object) -> bool:
    """A service that names no runtime but says itself what to run."""
    spec = service.get("spec") or {}
    if (spec.get("runtime") or {}).get("name"):
        return False
    engine = spec.get("engine") or {}

    def has_image(part: Mapping[str, object] | None) -> bool:
        runner = (part or {}).get("runner")
        return isinstance(runner, dict) and bool(runner.get("image"))

    return has_image(engine) or (
        has_image(engine.get("leader")) and has_image(engine.get("worker"))
    )


def _current(world: World) -> str:
    """The runtime that serves now."""
    for kind in WORKLOADS:
        for live in world.observed.of(kind).values():
            if labels_of(live).get(c.L_COMPONENT) == c.ENGINE:
                runtime = annotations_of(live).get(c.A_SERVING_RUNTIME)
                if runtime:
                    return runtime
    return ""


def _selection_problem(selection: Selection, model: Object | None, wait: ModelWait) -> Problem:
    problem = selection.problem
    assert problem is not None
    if model is not None and wait.waiting and not _described(model):
        if wait.reason == "ModelFailed":
            return Problem(cond.SELECTED, wait.reason, f"waits for {wait.waiting}", MODEL_REMEDY)
        text = f"waits for {wait.waiting}. A runtime is selected once it is read"
        return Problem(cond.SELECTED, wait.reason, text)
    return Problem(cond.SELECTED, problem.code, problem.message, problem.fix)


def _described(model: Object) -> bool:
    return bool(((model.get("spec") or {}).get("modelFormat") or {}).get("name"))


def _wait(world: World, model: Object | None) -> ModelWait:
    """What a pod that finds no node may be waiting for."""
    if model is None:
        return ModelWait()
    storage = (model.get("spec") or {}).get("storage") or {}
    if str(storage.get("storageUri") or "").startswith(NO_NODE_STORES):
        return ModelWait()
    state = world.model_state(model)
    if state is None:
        return ModelWait()
    if state.ready:
        unsaid = missing_metadata(model.get("spec") or {}, state.config)
        if not _described(model) and unsaid:
            # A node has read the files a moment ago; the model's controller is writing it down.
            text = f"model {metadata(model)['name']}: it is on disk and being described"
            return ModelWait(text, "ModelNotReady")
        return ModelWait()
    text = f"model {metadata(model)['name']}: {state.sentence}"
    reason = "ModelFailed" if state.state == "Failed" else "ModelNotReady"
    if state.pending:
        reason = "ModelDownloading"
    return ModelWait(text, reason)
