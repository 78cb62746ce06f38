"""What an earlier manager left is served on, and goes only when something else serves."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.objects import service
from tests.unit.rendering.modes import child, gpu_runtime, made

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource
from ome.controllers.plan import plan_children
from ome.controllers.settings import read
from ome.rendering import Observed
from ome.rendering.status import Problem, StatusInput, build

Object = dict[str, Any]


def owned(kind: str, name: str, component: str, **more: Any) -> Object:
    labels = {"ome.io/inferenceservice": "chat", "component": component}
    reference = {"kind": "InferenceService", "name": "chat", "uid": "u-1", "controller": True}
    meta = {"name": name, "namespace": "default", "uid": f"{kind}-{name}", "labels": labels}
    return {"kind": kind, "metadata": {**meta, "ownerReferences": [reference]}, **more}


UP: Object = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}


def plan(observed: dict[Resource, list[Object]]) -> tuple[set[str], set[str]]:
    """Names of what is applied and of what is deleted, with their kinds."""
    subject = service()
    subject["metadata"]["uid"] = "u-1"
    rendered = made(subject, observed=Observed(observed))
    found = plan_children(subject, rendered.children, Observed(observed), rendered.keep)
    return (
        {f"{a.resource.kind} {a.key.name}" for a in found.applies},
        {f"{d.resource.kind} {d.key.name}" for d in found.deletes},
    )


def test_a_predictor_serves_until_the_engine_does() -> None:
    predictor = {
        r.DEPLOYMENTS: [owned("Deployment", "chat", "predictor", spec={"replicas": 1}, status=UP)],
        r.SERVICES: [owned("Service", "chat", "predictor")],
        r.HORIZONTAL_POD_AUTOSCALERS: [owned("HorizontalPodAutoscaler", "chat", "predictor")],
        r.POD_DISRUPTION_BUDGETS: [owned("PodDisruptionBudget", "chat", "predictor")],
    }
    applied, deleted = plan(predictor)
    assert "Deployment chat-engine" in applied
    assert "Service chat-engine" in applied
    assert "Service chat" not in applied  # it leads to the predictor's pods
    assert deleted == set()
    engine = owned("Deployment", "chat-engine", "engine", spec={"template": {}}, status=UP)
    predictor[r.DEPLOYMENTS].append(engine)
    applied, deleted = plan(predictor)
    assert "Service chat" in applied
    assert deleted == {
        "Deployment chat",
        "HorizontalPodAutoscaler chat",
        "PodDisruptionBudget chat",
    }


def test_a_prober_of_before_is_kept_until_the_service_changes() -> None:
    subject = service(engine={"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}})
    name = "chat-engine-0-mnp"
    template = {
        "metadata": {"labels": {"app": "chat-engine"}},
        "spec": {"containers": [{"name": "multinode-prober", "image": "prober:0"}]},
    }
    selector = {"matchLabels": {"app": "chat-engine"}}
    live = owned("Deployment", name, "engine", spec={"selector": selector, "template": template})

    def prober(observed: Object, subject: Object = subject, image: str = "prober:1") -> Object:
        config = read({"data": {"multinodeProber": json.dumps({"image": image})}})
        given = {"runtime": gpu_runtime(), "observed": Observed({r.DEPLOYMENTS: [observed]})}
        return child(made(subject, config=config, **given), r.DEPLOYMENTS, name)

    adopted = prober(live)
    assert adopted["spec"]["template"] == template
    assert adopted["spec"]["selector"] == selector
    changed = prober(adopted, service(engine={**subject["spec"]["engine"], "labels": {"a": "b"}}))
    container = changed["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "prober:1"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert changed["spec"]["template"]["metadata"]["labels"]["app"] == "chat-engine"
    # From then on the configuration counts, too.
    again = prober(changed, service(engine={**subject["spec"]["engine"], "labels": {"a": "b"}}))
    assert again == changed
    newer = service(engine={**subject["spec"]["engine"], "labels": {"a": "b"}})
    rolled = prober(changed, newer, "prober:2")
    assert rolled["spec"]["template"]["spec"]["containers"][0]["image"] == "prober:2"


def test_groups_of_before_keep_their_network_until_the_service_changes() -> None:
    subject = service()
    template = {"size": 2, "leaderTemplate": {}, "workerTemplate": {}}
    for network in ({"subdomainPolicy": "UniquePerReplica"}, None):
        spec = {"leaderWorkerTemplate": template, "networkConfig": network}
        live = owned("LeaderWorkerSet", "lws-chat-engine", "engine", spec=spec)
        given = {"runtime": gpu_runtime(), "observed": Observed({x.LEADER_WORKER_SETS: [live]})}
        adopted = child(made(subject, **given), x.LEADER_WORKER_SETS, "lws-chat-engine")
        assert adopted["spec"]["leaderWorkerTemplate"] == template
        assert adopted["spec"].get("networkConfig") == network
        given["observed"] = Observed({x.LEADER_WORKER_SETS: [{**live, **adopted}]})
        changed = made(service(engine={"labels": {"a": "b"}}), **given)
        groups = child(changed, x.LEADER_WORKER_SETS, "lws-chat-engine")
        assert groups["spec"]["networkConfig"] == {"subdomainPolicy": "Shared"}


def test_what_the_manager_of_before_writes_in_between_is_kept_like_at_the_first_time() -> None:
    """Somebody goes back to it, it rolls a router to its own form, and OME takes over again."""
    first = child(made(service()), r.DEPLOYMENTS, "chat-engine")
    live = json.loads(json.dumps(first))
    live["spec"]["template"]["spec"]["volumes"].append({"name": "useless", "emptyDir": {}})
    fields = {"f:spec": {"f:template": {"f:spec": {"f:volumes": {'k:{"name":"useless"}': {}}}}}}
    entry = {"manager": "manager", "operation": "Update", "fieldsV1": fields}
    live["metadata"]["managedFields"] = [entry]

    def again(observed: Object, subject: Object | None = None) -> Object:
        given = Observed({r.DEPLOYMENTS: [observed]})
        return child(made(subject or service(), observed=given), r.DEPLOYMENTS, "chat-engine")

    kept = again(live)
    assert kept["spec"]["template"] == live["spec"]["template"]
    assert kept["metadata"]["annotations"]["ome.io/template-input-hash"].endswith("-adopted")
    # What it writes elsewhere, its status say, or what others write, is no reason for that.
    for other in (
        {**entry, "manager": "kubectl-edit"},
        {**entry, "subresource": "status"},
        {**entry, "fieldsV1": {"f:metadata": {"f:annotations": {"f:x": {}}}}},
    ):
        live["metadata"]["managedFields"] = [other]
        assert again(live) == first
    # Taken over, it changes with the service.
    kept["metadata"]["managedFields"] = []
    assert again(kept)["spec"]["template"] == live["spec"]["template"]
    changed = again(kept, service(engine={"labels": {"a": "b"}}))
    assert changed["spec"]["template"] != live["spec"]["template"]


def test_what_runs_is_judged_although_nothing_can_be_made() -> None:
    """The runtime is gone, say: the pods of before run on, and the status says both."""
    then = "2026-05-06T07:08:09Z"
    subject = service(router={})
    subject["metadata"].update(uid="u-1", generation=3)
    subject["status"] = {
        "observedGeneration": 41,
        "components": {"engine": {}},
        "conditions": [
            {"type": kind, "status": "False", "reason": "Initializing", "lastTransitionTime": then}
            for kind in ("EngineReady", "RouterReady", "PredictorReady", "Ready")
        ],
    }
    live = owned("Deployment", "chat-engine", "engine", spec={"replicas": 1}, status=UP)
    problem = Problem("RuntimeSelected", "RuntimeNotFound", "there is no runtime rt", "create it")
    given = StatusInput(
        service=subject,
        now="2026-12-01T00:00:00Z",
        problem=problem,
        observed=Observed({r.DEPLOYMENTS: [live]}),
    )
    status = build(given).status
    found = {entry["type"]: entry for entry in status["conditions"]}
    assert status["observedGeneration"] == 3
    assert found["EngineReady"]["status"] == "True"
    assert found["Ready"]["reason"] == "RuntimeNotFound"
    assert "What was applied before keeps running" in found["Ready"]["message"]
    # Nothing runs there, or nobody has it: nothing is said of it.
    assert "RouterReady" not in found
    assert "PredictorReady" not in found
