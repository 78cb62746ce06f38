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
============== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, condition, labels_of, metadata
from ome.rendering import ingress as ingress_rules
from ome.rendering.facts import Canary, Component, Observed, Rendered
from ome.rendering.mode import service_mode
from ome.rendering.ray import legacy_prober_name, prober_name
from ome.rendering.routes import route_problem
from ome.rendering.serverless import revisions
from ome.rendering.workload import Model, Verdict, judge
from ome.rendering.workloads import State, clusters, read
from ome.selection import Selection
from ome.selection.accelerators import AcceleratorChoice
from ome.selection.explain import summary

RENDERED = "Rendered"
A_ANSWERED = "ome.io/answered"
"""In ``status.annotations``: generation and revisions for which the address has answered."""


@dataclass(frozen=True)
class Problem:
    """Why there is nothing to apply. ``condition`` is where it is said."""

    condition: str
    code: str
    message: str
    fix: str = ""

    @property
    def sentence(self) -> str:
        text = self.message.rstrip(".")
        return f"{text}. What to do: {self.fix}" if self.fix else text


@dataclass(frozen=True)
class Answer:
    """The outcome of asking the service for a real completion. ``version``: for what."""

    version: str
    ok: bool
    message: str


@dataclass(frozen=True)
class StatusInput:
    service: Object
    now: str
    rendered: Rendered | None = None
    problem: Problem | None = None
    selection: Selection | None = None
    observed: Observed = field(default_factory=Observed)
    pods: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    """By component, newest first."""
    model: Model = field(default_factory=Model)
    model_known: bool = True
    last_lines: Mapping[str, str] = field(default_factory=dict)
    answer: Answer | None = None
    answer_required: bool = False
    ingress: ingress_rules.Ingress | None = None
    accelerators: Mapping[str, AcceleratorChoice] = field(default_factory=dict)


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
    verdicts: dict[str, Verdict] = {}
    rendered = given.rendered
    if rendered is not None:
        for name, component in rendered.components.items():
            verdicts[name] = _verdict(given, component)
            verdict = verdicts[name]
            setter.set(cond.component_ready(name), verdict.status, verdict.reason, verdict.message)
        _ingress_condition(setter, given)
    declared = [
        name for name in c.COMPONENTS if (given.service.get("spec") or {}).get(name) is not None
    ]
    gone = [cond.component_ready(n) for n in c.COMPONENTS if n not in declared]
    setter.conditions = cond.remove(setter.conditions, *gone)
    _knative_conditions(setter, given, rendered)
    _model_condition(setter, given)
    _pending_condition(setter, rendered)
    status: Object = {
        key: value for key, value in old.items() if key in ("address", "url", "annotations")
    }
    _note_runtime(given, status)
    version = _answer_condition(setter, given, verdicts, status)
    _ready(setter, given, declared, verdicts)
    status["conditions"] = setter.conditions
    status["observedGeneration"] = metadata(given.service).get("generation", 0)
    if rendered is not None:
        status["url"] = rendered.url
        status["address"] = {"url": rendered.address}
        status["components"] = _components(given, rendered, verdicts, old.get("components") or {})
    elif old.get("components"):
        status["components"] = old["components"]
    status["modelStatus"] = _model_status(given, verdicts)
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
        if given.selection.warnings:
            message = f"{message}. Note: {'. '.join(given.selection.warnings)}"
        setter.set(cond.SELECTED, "True", "Selected", message)
    elif problem is None or problem.condition != cond.SELECTED:
        setter.set(cond.SELECTED, "True", "NotNeeded", "the service brings its own runner")
    if given.rendered is not None:
        warnings = ". ".join(given.rendered.warnings)
        setter.set(RENDERED, "True", "Rendered", f"Note: {warnings}" if warnings else "")


def _verdict(given: StatusInput, component: Component) -> Verdict:
    """The component's state; while another mode's workload serves for it, that is what counts."""
    stable, beside = _pods(given, component)
    verdict = judge(component.name, _state(given, component), stable, given.model, given.last_lines)
    if component.previous is not None and verdict.status != "True":
        verdict = _handed_over(given, component, verdict)
    if component.canary is not None:
        verdict = _with_canary(given, component, verdict, beside)
    return verdict


def _state(given: StatusInput, component: Component) -> Object | State | None:
    if component.workload != x.RAY_CLUSTERS:
        return given.observed.get(component.workload, component.workload_name)
    count = component.replicas or 0
    pairs = []
    for index in range(count):
        name = names.ray_cluster_name(component.base_name, index)
        cluster = given.observed.get(x.RAY_CLUSTERS, name)
        probers = given.observed.of(r.DEPLOYMENTS)
        prober = probers.get(prober_name(name)) or probers.get(legacy_prober_name(name))
        pairs.append((cluster, prober))
    if count and all(cluster is None for cluster, _ in pairs):
        return None
    return clusters(count, pairs)


def _pods(given: StatusInput, component: Component) -> tuple[list[Object], list[Object]]:
    """The component's pods, and those of its canary."""
    pods = given.pods.get(component.name, ())
    if component.canary is None:
        return list(pods), []
    stable = [pod for pod in pods if labels_of(pod).get(c.L_APP) == component.app]
    return stable, [pod for pod in pods if pod not in stable]


def _handed_over(given: StatusInput, component: Component, verdict: Verdict) -> Verdict:
    assert component.previous is not None
    kind, name = component.previous
    before = given.observed.get(kind, name)
    if before is None or not (kind == x.RAY_CLUSTERS or read(before).serves):
        return verdict
    message = (
        f"{kind.kind} {name} serves until {component.workload.kind} {component.workload_name} "
        f"is available: {verdict.message}"
    )
    return Verdict("True", "ModeChange", message, True, verdict.failure)


def _with_canary(
    given: StatusInput, component: Component, verdict: Verdict, pods: Sequence[Object]
) -> Verdict:
    """The canary never takes readiness away: its share can be taken away instead."""
    assert component.canary is not None
    live = given.observed.get(r.DEPLOYMENTS, component.canary.deployment)
    beside = judge(f"{component.name} canary", live, pods, given.model, given.last_lines)
    share = component.canary.percent
    message = f"{verdict.message}; canary with {share} % of the traffic: {beside.message}"
    return replace(verdict, message=message)


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


def _knative_conditions(setter: _Setter, given: StatusInput, rendered: Rendered | None) -> None:
    """The conditions that only Knative Services have, kept as long as there are any."""
    aggregates = {cond.ROUTES_READY: "RoutesReady", cond.LATEST_DEPLOYMENT_READY: "Configurations"}
    kinds = [*aggregates]
    for name in c.COMPONENTS:
        kinds += [cond.component_route_ready(name), cond.component_configuration_ready(name)]
    if rendered is None:
        return
    setter.conditions = cond.remove(setter.conditions, *kinds[2:])
    serverless = {n: p for n, p in rendered.components.items() if p.mode == c.MODE_SERVERLESS}
    if not serverless:
        setter.conditions = cond.remove(setter.conditions, *kinds)
        return
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
    if scaled_to_zero and cond.is_true(setter.conditions, cond.ANSWERS):
        return ""
    if not cond.is_true(setter.conditions, cond.ANSWERS):
        message = (
            f"asking {rendered.url} for a first answer"
            if settled
            else "not asked yet: the components are not ready"
        )
        setter.set(cond.ANSWERS, "Unknown", "NotAskedYet", message)
    return version if settled and not scaled_to_zero else ""


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
        message = given.problem.sentence
        if (given.service.get("status") or {}).get("components"):
            message = f"{message}. What was applied before keeps running"
        setter.set(cond.READY, "False", given.problem.code, message)
        return
    types = [*also, *(cond.component_ready(name) for name in components), cond.INGRESS_READY]
    if given.answer_required:
        types.append(cond.ANSWERS)
    status, reason, message = cond.summarise(setter.conditions, types)
    if status == "True":
        rolling = [verdict.message for verdict in verdicts.values() if verdict.rolling]
        engine = verdicts.get(c.ENGINE)
        message = "; ".join(rolling) or (engine.message if engine else "")
        reason = "RollingUpdate" if rolling else "Serving"
        if given.rendered is not None and given.rendered.pending:
            message = f"{message}; {'; '.join(given.rendered.pending)}"
    setter.set(cond.READY, status, reason, message)


def _components(
    given: StatusInput,
    rendered: Rendered,
    verdicts: Mapping[str, Verdict],
    old: Mapping[str, Any],
) -> Object:
    found: Object = {}
    for name, component in sorted(rendered.components.items()):
        entry = _component(given, component, verdicts[name], old.get(name) or {})
        choice = given.accelerators.get(name)
        if choice is not None and choice.winner is not None:
            entry["selectedAccelerator"] = _selected(choice)
        found[name] = entry
    return found


def _component(
    given: StatusInput, component: Component, verdict: Verdict, old: Mapping[str, Any]
) -> Object:
    live = given.observed.get(component.workload, component.workload_name)
    if component.workload == x.KNATIVE_SERVICES:
        return revisions(live, dict(old))
    kept = ("url", "latestReadyRevision", "latestCreatedRevision")
    entry: Object = {key: value for key, value in old.items() if key in kept}
    revision = annotations_of(live or {}).get(x.A_REVISION)
    if revision:
        entry["latestCreatedRevision"] = revision
    if verdict.status == "True":
        if revision and not verdict.rolling:
            entry["latestReadyRevision"] = revision
        if given.ingress is not None:
            host = ingress_rules.host(given.ingress, given.service, component.base_name)
            scheme = "http" if given.ingress.disable_creation else given.ingress.scheme
            entry["url"] = f"{scheme}://{host}"
    if component.canary is not None:
        entry["traffic"] = _traffic(component, component.canary)
    return entry


def _traffic(component: Component, canary: Canary) -> list[Object]:
    """As Knative writes it: the Deployments are the revisions."""
    return [
        {
            "revisionName": component.workload_name,
            "latestRevision": False,
            "percent": 100 - canary.percent,
            "tag": "prev",
        },
        {
            "revisionName": canary.deployment,
            "latestRevision": True,
            "percent": canary.percent,
            "tag": "latest",
        },
    ]


def _selected(choice: AcceleratorChoice) -> Object:
    spec = (choice.winner or {}).get("spec") or {}
    selected: Object = {"acceleratorClass": choice.name, "reason": choice.reason}
    selector = (spec.get("discovery") or {}).get("nodeSelector")
    if selector:
        selected["nodeSelector"] = selector
    requests = {
        item["name"]: str(item.get("quantity") or "1") for item in spec.get("resources") or ()
    }
    if requests:
        selected["resourceRequests"] = requests
    return selected


def _model_status(given: StatusInput, verdicts: Mapping[str, Verdict]) -> Object:
    """The older summary of the same, which existing tools read. About the engine alone."""
    verdict = verdicts.get(c.ENGINE)
    pods = given.pods.get(c.ENGINE, ())
    if given.problem is not None and verdict is None:
        return _states("InvalidSpec", "Pending", "FailedToLoad")
    if verdict is None or verdict.status == "Unknown":
        return _states("InProgress", "Pending", "Pending")
    if verdict.failure is not None and verdict.status != "True":
        status = _states("BlockedByFailedLoad", "Pending", "FailedToLoad")
        info: Object = {"reason": "ModelLoadFailed", "message": verdict.failure.message}
        if verdict.failure.exit_code is not None:
            info["exitCode"] = verdict.failure.exit_code
        if verdict.failure.time:
            info["time"] = verdict.failure.time
        status["lastFailureInfo"] = info
        return status
    if verdict.status != "True":
        return _states("InProgress", "Pending", "Pending" if given.model.waiting else "Loading")
    status = _states(
        "InProgress" if verdict.rolling else "UpToDate",
        "Loaded",
        "Loading" if verdict.rolling else "Loaded",
    )
    status["modelCopies"] = {"failedCopies": 0, "totalCopies": _copies(given, len(pods))}
    return status


def _copies(given: StatusInput, pods: int) -> int:
    """A group of pods holds one copy together."""
    component = given.rendered.components.get(c.ENGINE) if given.rendered else None
    if component is None or component.workload not in (x.LEADER_WORKER_SETS, x.RAY_CLUSTERS):
        return pods
    state = _state(given, component)
    if state is None:
        return 0
    return (state if isinstance(state, State) else read(state)).available


def _states(transition: str, active: str, target: str) -> Object:
    return {
        "transitionStatus": transition,
        "modelRevisionStates": {"activeModelState": active, "targetModelState": target},
    }
