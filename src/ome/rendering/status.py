"""The status of an InferenceService: conditions, components, modelStatus, url.

``Ready`` covers everything the service declares. Its message is the one sentence that
``kubectl get`` and ``ome get`` show as WHY, so each condition's message has to stand alone.
Conditions, in order of what blocks what:

============== ==================================================================================
RuntimeSelected the model exists and a runtime was found for it (or none is needed)
Rendered        children could be made of spec, runtime and model
<C>Ready        the component's pods run (see :mod:`ome.rendering.workload`)
IngressReady    the address exists
Answers         a real request through that address got a real answer (where that is asked for)
ModelReady      the model is on a node; informational, because running pods prove it better
UpdatePending   a change of something shared waits, or is held; informational
AutoscalerReady an autoscaler can't do its work; informational, absent where all is well
============== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery.objects import Object, annotations_of, condition, metadata
from ome.rendering.componentstatus import components_of, notes_of, verdict_of
from ome.rendering.facts import Component, Rendered
from ome.rendering.mode import service_mode
from ome.rendering.modelstatus import model_status
from ome.rendering.routes import route_problem
from ome.rendering.scalerstatus import REASON as AUTOSCALER_FAILING
from ome.rendering.scalerstatus import scaler_problem
from ome.rendering.standing import standing
from ome.rendering.statusinput import Answer, Problem, StatusInput
from ome.rendering.workload import Verdict
from ome.selection.explain import summary

RENDERED = "Rendered"
A_ANSWERED = "ome.io/answered"
"""In ``status.annotations``: generation and revisions for which the address has answered."""


@dataclass(frozen=True)
class StatusResult:
    status: Object
    version: str
    """What an answer has to be for; empty while it makes no sense to ask."""


def build(given: StatusInput) -> StatusResult:
    """The new status. Conditions that it doesn't speak about are kept as they are."""
    old: Object = given.service.get("status") or {}
    if given.rendered is not None and service_mode(given.service) == c.MODE_VIRTUAL:
        return StatusResult(_virtual(given, given.rendered, old), "")
    conditions: list[Object] = cond.remove(old.get("conditions"), "")
    setter = _Setter(conditions, given.now, metadata(given.service).get("generation"))
    _selection_conditions(setter, given)
    rendered = given.rendered
    components = standing(given) if rendered is None else rendered.components
    verdicts = {name: verdict_of(given, component) for name, component in components.items()}
    for name, verdict in verdicts.items():
        setter.set(cond.component_ready(name), verdict.status, verdict.reason, verdict.message)
    if rendered is not None:
        _ingress_condition(setter, given)
    declared = [
        name for name in c.COMPONENTS if (given.service.get("spec") or {}).get(name) is not None
    ]
    known = declared if rendered is not None else verdicts
    gone = [n for n in (*c.COMPONENTS, c.PREDICTOR) if n not in known]
    setter.conditions = cond.remove(setter.conditions, *map(cond.component_ready, gone))
    _knative_conditions(setter, given, components)
    _model_condition(setter, given)
    _pending_condition(setter, rendered)
    _scaler_condition(setter, scaler_problem(given, components))
    status: Object = {
        key: value for key, value in old.items() if key in ("address", "url", "annotations")
    }
    _note_runtime(given, status)
    _note_groups(notes_of(given, components), status)
    version = _answer_condition(setter, given, verdicts, status)
    _ready(setter, given, declared, verdicts)
    status["conditions"] = setter.conditions
    status["observedGeneration"] = metadata(given.service).get("generation", 0)
    if rendered is not None:
        status["url"] = rendered.url
        status["address"] = {"url": rendered.address}
        status["components"] = components_of(given, rendered, verdicts, old.get("components") or {})
    elif old.get("components"):
        status["components"] = old["components"]
    status["modelStatus"] = model_status(given, verdicts)
    return StatusResult(status, version)


def _note_runtime(given: StatusInput, status: Object) -> None:
    """The runtime in use, where kubectl's column finds it. What runs on keeps its own."""
    annotations = dict(status.get("annotations") or {})
    if given.selection is not None and given.selection.winner is not None:
        annotations[c.A_SERVING_RUNTIME] = given.selection.winner.name
    elif given.selection is None and given.problem is None:
        annotations.pop(c.A_SERVING_RUNTIME, None)
    if annotations or "annotations" in status:
        status["annotations"] = annotations


def _note_groups(notes: Mapping[str, str | None], status: Object) -> None:
    annotations = {k: v for k, v in (status.get("annotations") or {}).items() if k not in notes}
    annotations |= {key: value for key, value in notes.items() if value is not None}
    if annotations or "annotations" in status:
        status["annotations"] = annotations


def _virtual(given: StatusInput, rendered: Rendered, old: Object) -> Object:
    """A name for something that runs elsewhere: always ready, and nothing else is said."""
    kept = [entry for entry in old.get("conditions") or () if entry.get("type") == cond.READY]
    return {
        "url": rendered.url,
        "address": {"url": rendered.address},
        "components": {c.PREDICTOR: {"url": rendered.url}},
        "observedGeneration": metadata(given.service).get("generation", 0),
        "conditions": cond.set_condition(
            kept,
            cond.READY,
            "True",
            c.MODE_VIRTUAL,
            "InferenceService is in VirtualDeployment mode",
            now=given.now,
            observed_generation=metadata(given.service).get("generation"),
        ),
    }


class _Setter:
    def __init__(self, conditions: list[Object], now: str, generation: int | None) -> None:
        self.conditions = conditions
        self._now = now
        self._generation = generation

    def set(self, type_: str, status: Any, reason: str, message: str) -> None:
        self.conditions = cond.set_condition(
            self.conditions,
            type_,
            status,
            reason,
            message,
            now=self._now,
            observed_generation=self._generation,
        )

    def old_generation(self, type_: str) -> Any:
        entry = cond.get(self.conditions, type_) or {}
        return entry.get("observedGeneration")


def _selection_conditions(setter: _Setter, given: StatusInput) -> None:
    problem = given.problem
    if problem is not None:
        setter.set(problem.condition, "False", problem.code, problem.sentence)
        if problem.condition == cond.SELECTED:
            setter.conditions = cond.remove(setter.conditions, RENDERED)
            return
    if given.selection is not None and given.selection.winner is not None:
        message = summary(given.selection)
        notes = [*given.selection.warnings]
        notes += [made.warning for made in given.accelerators.values() if made.warning]
        if notes:
            message = f"{message}. Note: {'. '.join(notes)}"
        setter.set(cond.SELECTED, "True", "Selected", message)
    elif problem is None or problem.condition != cond.SELECTED:
        setter.set(cond.SELECTED, "True", "NotNeeded", "the service brings its own runner")
    if given.rendered is not None:
        warnings = ". ".join(given.rendered.warnings)
        setter.set(RENDERED, "True", "Rendered", f"Note: {warnings}" if warnings else "")


def _ingress_condition(setter: _Setter, given: StatusInput) -> None:
    rendered = given.rendered
    assert rendered is not None
    status, reason, message = _ingress_state(given, rendered)
    setter.set(cond.INGRESS_READY, status, reason, message)


def _ingress_state(given: StatusInput, rendered: Rendered) -> tuple[str, str, str]:
    missing = rendered.ingress_missing
    if missing is not None:
        project = x.PROJECTS.get(missing, missing.kind)
        return (
            "False",
            "MissingKind",
            f"the configuration asks for {missing.kind} objects, which this cluster does not "
            f"serve. What to do: install {project}, or change the ingress section of "
            f"{c.INFERENCE_SERVICE_CONFIG} (disableIngressCreation, enableGatewayAPI, "
            "disableIstioVirtualHost)",
        )
    if not rendered.url:
        text = f"the {rendered.entry_component} has no address yet"
        return "False", "ComponentNotReady", text
    if not rendered.ingress_objects:
        if given.ingress is not None and given.ingress.disable_creation:
            text = "Ingress creation is disabled, using external service for access"
            return "True", "IngressDisabled", text
        return "True", "InsideOnly", f"reached at {rendered.address}"
    for kind, name in rendered.ingress_objects:
        wait = route_problem(kind, name, given.observed.get(kind, name))
        if wait is not None:
            return "False", *wait
    return "True", "Routed", f"reached at {rendered.url}"


def _knative_conditions(
    setter: _Setter, given: StatusInput, components: Mapping[str, Component]
) -> None:
    """The conditions that only Knative Services have, kept as long as there are any."""
    aggregates = {cond.ROUTES_READY: "RoutesReady", cond.LATEST_DEPLOYMENT_READY: "Configurations"}
    kinds = [*aggregates]
    serverless = {n: p for n, p in components.items() if p.mode == c.MODE_SERVERLESS}
    if serverless:
        kinds = []  # what is set below keeps its time
    for name in c.COMPONENTS:
        if name not in serverless:
            kinds += [cond.component_route_ready(name), cond.component_configuration_ready(name)]
    setter.conditions = cond.remove(setter.conditions, *kinds)
    worst: dict[str, tuple[str, str, str]] = {}
    for name, component in serverless.items():
        live = given.observed.get(x.KNATIVE_SERVICES, component.workload_name) or {}
        for type_, own, aggregate in (
            ("RoutesReady", cond.component_route_ready(name), cond.ROUTES_READY),
            (
                "ConfigurationsReady",
                cond.component_configuration_ready(name),
                cond.LATEST_DEPLOYMENT_READY,
            ),
        ):
            entry = condition(live, type_) or {}
            found = (
                str(entry.get("status") or "Unknown"),
                str(entry.get("reason") or ""),
                str(entry.get("message") or ""),
            )
            setter.set(own, *found)
            if worst.get(aggregate, ("True",))[0] == "True":
                worst[aggregate] = found
    for aggregate, found in worst.items():
        setter.set(aggregate, *found)


def _model_condition(setter: _Setter, given: StatusInput) -> None:
    if not given.model_known:
        setter.conditions = cond.remove(setter.conditions, cond.MODEL_READY)
    elif given.model.waiting:
        setter.set(cond.MODEL_READY, "False", given.model.reason, given.model.waiting)
    else:
        setter.set(cond.MODEL_READY, "True", "OnNode", "")


def _pending_condition(setter: _Setter, rendered: Rendered | None) -> None:
    if rendered is not None and rendered.pending:
        setter.set(cond.UPDATE_PENDING, "True", "Waiting", "; ".join(rendered.pending))
    else:
        setter.conditions = cond.remove(setter.conditions, cond.UPDATE_PENDING)


def _scaler_condition(setter: _Setter, problem: str) -> None:
    if problem:
        setter.set(cond.AUTOSCALER_READY, "False", AUTOSCALER_FAILING, problem)
    else:
        setter.conditions = cond.remove(setter.conditions, cond.AUTOSCALER_READY)


def _answer_condition(
    setter: _Setter, given: StatusInput, verdicts: Mapping[str, Verdict], status: Object
) -> str:
    """Sets ``Answers``; returns the version that should be asked about now, or nothing.

    A service that has answered keeps its True while an update rolls and while the new version is
    asked: what serves is still what answered. Only a failed answer takes it away.
    """
    if not given.answer_required:
        setter.conditions = cond.remove(setter.conditions, cond.ANSWERS)
        return ""
    rendered = given.rendered
    if rendered is None:
        return ""
    settled = bool(verdicts) and all(
        v.status == "True" and not v.rolling for v in verdicts.values()
    )
    scaled_to_zero = any(v.reason == "ScaledToZero" for v in verdicts.values())
    version = _version(given, rendered)
    annotations = dict(status.get("annotations") or {})
    if given.answer is not None and given.answer.version == version:
        if given.answer.ok:
            setter.set(cond.ANSWERS, "True", "Answered", given.answer.message)
            annotations[A_ANSWERED] = version
            status["annotations"] = annotations
            return ""
        setter.set(cond.ANSWERS, "False", "NoAnswer", given.answer.message)
        return version if settled else ""
    if annotations.get(A_ANSWERED) == version and cond.is_true(setter.conditions, cond.ANSWERS):
        return ""
    if scaled_to_zero:
        known = cond.get(setter.conditions, cond.ANSWERS) or {}
        if known.get("status") not in ("True", "False"):
            text = "not asked: nothing runs while nobody asks"
            setter.set(cond.ANSWERS, "True", "ScaledToZero", text)
        return ""
    if not cond.is_true(setter.conditions, cond.ANSWERS):
        message = (
            f"asking {rendered.url} for a first answer"
            if settled
            else "not asked yet: the components are not ready"
        )
        setter.set(cond.ANSWERS, "Unknown", "NotAskedYet", message)
    return version if settled else ""


def _version(given: StatusInput, rendered: Rendered) -> str:
    """Generation and template of every component: each gets its own proof."""
    parts = [f"generation {metadata(given.service).get('generation', 0)}"]
    for name, component in sorted(rendered.components.items()):
        live = given.observed.get(component.workload, component.workload_name) or {}
        parts.append(f"{name} {annotations_of(live).get(c.A_INPUT_HASH, '')}")
    return ", ".join(parts)


def _ready(
    setter: _Setter, given: StatusInput, declared: list[str], verdicts: Mapping[str, Verdict]
) -> None:
    also = [cond.SELECTED, RENDERED]
    components = declared or [c.ENGINE]
    if given.problem is not None:
        message = f"{given.problem.sentence}{_meanwhile(verdicts)}"
        setter.set(cond.READY, "False", given.problem.code, message)
        return
    types = [*also, *(cond.component_ready(name) for name in components), cond.INGRESS_READY]
    if given.answer_required:
        types.append(cond.ANSWERS)
    status, reason, message = cond.summarise(setter.conditions, types)
    if status == "True":
        rolling = [verdict.message for verdict in verdicts.values() if verdict.rolling]
        engine = verdicts.get(c.ENGINE)
        short = [v.message for name, v in verdicts.items() if v.short and name != c.ENGINE]
        message = "; ".join(rolling) or "; ".join([*([engine.message] if engine else []), *short])
        at_zero = engine is not None and engine.reason == "ScaledToZero"
        reason = "RollingUpdate" if rolling else "ScaledToZero" if at_zero else "Serving"
        if any(verdict.reason == "UpdateFailing" for verdict in verdicts.values()):
            reason = "UpdateFailing"
        if given.rendered is not None and given.rendered.pending:
            message = f"{message}; {'; '.join(given.rendered.pending)}"
    setter.set(cond.READY, status, reason, message)


def _meanwhile(verdicts: Mapping[str, Verdict]) -> str:
    """What of an earlier spec goes on while the present one can't be carried out."""
    if not verdicts:
        return ""
    down = next((verdict for verdict in verdicts.values() if verdict.status != "True"), None)
    if down is None:
        return ". What was applied before keeps running"
    return f". What was applied before is left as it is: {down.message}"


__all__ = ["RENDERED", "Answer", "Problem", "StatusInput", "StatusResult", "build"]
