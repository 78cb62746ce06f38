"""What the status says about each component: its verdict, revisions, traffic, accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, is_deleting, labels_of
from ome.rendering import groups
from ome.rendering import ingress as ingress_rules
from ome.rendering.facts import Canary, Component, Rendered
from ome.rendering.ray import prober_of
from ome.rendering.serverless import revisions
from ome.rendering.statusinput import StatusInput
from ome.rendering.workload import Verdict, judge
from ome.rendering.workloads import State, clusters, read
from ome.selection.accelerators import AcceleratorChoice


def verdict_of(given: StatusInput, component: Component) -> Verdict:
    """The component's state; while another mode's workload serves for it, that is what counts."""
    stable, beside = _pods(given, component)
    state = _state(given, component)
    verdict = judge(
        component.name,
        state,
        stable,
        given.model,
        given.last_lines,
        given.lost_nodes,
        least=component.least,
        at_zero=component.at_zero,
    )
    if component.previous is not None and verdict.status != "True":
        verdict = _handed_over(given, component, verdict)
    if component.canary is not None:
        verdict = _with_canary(given, component, verdict, beside)
    return verdict


def _state(given: StatusInput, component: Component) -> State | None:
    if component.workload != x.RAY_CLUSTERS:
        live = given.observed.get(component.workload, component.workload_name)
        if live is None:
            return None
        state = read(live)
        stale = (component.workload, component.workload_name) in given.changing
        if component.workload == x.LEADER_WORKER_SETS:
            stale = stale or groups.unseen(live, _noted(given, component.name))
        return replace(state, seen=False) if stale else state
    count = component.replicas or 0
    pairs = []
    for index in range(count):
        name = names.ray_cluster_name(component.base_name, index)
        cluster = given.observed.get(x.RAY_CLUSTERS, name)
        if cluster is not None and is_deleting(cluster):
            cluster = None
        pairs.append((cluster, prober_of(name, given.observed)))
    if count and all(cluster is None for cluster, _ in pairs):
        return None
    return clusters(count, pairs, outdated=len(component.outdated))


def _noted(given: StatusInput, component: str) -> str:
    notes = (given.service.get("status") or {}).get("annotations") or {}
    return str(notes.get(groups.annotation(component)) or "")


def notes_of(given: StatusInput, components: Mapping[str, Component]) -> dict[str, str | None]:
    """Annotations of the status about groups of pods: None for what is to go."""
    found: dict[str, str | None] = {}
    for name in c.COMPONENTS:
        component, noted = components.get(name), _noted(given, name)
        live = None
        if component is not None and component.workload == x.LEADER_WORKER_SETS:
            live = given.observed.get(component.workload, component.workload_name)
        if live is None:
            found[groups.annotation(name)] = None
        elif not groups.unseen(live, noted):
            found[groups.annotation(name)] = groups.note(live)
    return found


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
    name = f"{component.name} canary"
    beside = judge(name, live, pods, given.model, given.last_lines, given.lost_nodes)
    share = component.canary.percent
    message = f"{verdict.message}; canary with {share} % of the traffic: {beside.message}"
    return replace(verdict, message=message)


def components_of(
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
    kept = ("url", "restURL", "latestReadyRevision", "latestCreatedRevision")
    entry: Object = {key: value for key, value in old.items() if key in kept}
    state = _state(given, component)
    if state is not None:
        entry["replicas"] = state.total
    revision = annotations_of(live or {}).get(x.A_REVISION)
    if revision:
        entry["latestCreatedRevision"] = revision
    if verdict.status == "True":
        if revision and not verdict.rolling:
            entry["latestReadyRevision"] = revision
        if given.ingress is not None:
            host = ingress_rules.host(given.ingress, given.service, component.base_name)
            scheme = "http" if given.ingress.disable_creation else given.ingress.scheme
            entry["url"] = entry["restURL"] = f"{scheme}://{host}"
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
    reason = choice.reason
    if choice.memory is not None:
        reason = f"{reason}; {choice.warning or choice.memory.sentence}"
    selected: Object = {"acceleratorClass": choice.name, "reason": reason}
    selector = (spec.get("discovery") or {}).get("nodeSelector")
    if selector:
        selected["nodeSelector"] = selector
    requests = {
        item["name"]: str(item.get("quantity") or "1") for item in spec.get("resources") or ()
    }
    if requests:
        selected["resourceRequests"] = requests
    return selected


def copies_of(given: StatusInput, pods: int) -> int:
    """A group of pods holds one copy together."""
    component = given.rendered.components.get(c.ENGINE) if given.rendered else None
    if component is None or component.workload not in (x.LEADER_WORKER_SETS, x.RAY_CLUSTERS):
        return pods
    state = _state(given, component)
    if state is None:
        return 0
    return state.available
