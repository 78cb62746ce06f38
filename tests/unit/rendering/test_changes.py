"""Canaries without Knative, and services that change their mode."""

from __future__ import annotations

import copy
from typing import Any

from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import check_golden, child, gpu_runtime, live, made, names, settings

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.controllers.plan import plan_children
from ome.rendering import Observed, Rendered

Object = dict[str, Any]
GATEWAY = settings(ingressDomain="example.com", enableGatewayAPI=True, omeIngressGateway="i/gw")
UP = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "readyReplicas": 1,
    "conditions": [{"type": "Available", "status": "True"}],
}
NEW = {"runner": {"name": "ome-container", "image": "engine:2"}}


def image(rendered: Rendered, name: str) -> str:
    found: str = child(rendered, r.DEPLOYMENTS, name)["spec"]["template"]["spec"]["containers"][0][
        "image"
    ]
    return found


def weights(rendered: Rendered) -> list[tuple[str, int]]:
    rule = child(rendered, x.HTTP_ROUTES, "chat")["spec"]["rules"][0]
    return [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]]


def deleted(rendered: Rendered, observed: Observed) -> set[str]:
    owner = {**service(), "metadata": {**service()["metadata"], "uid": "u-1"}}
    plan = plan_children(owner, rendered.children, observed, rendered.keep)
    return {f"{d.resource.kind} {d.key.name}" for d in plan.deletes}


# --- canary ---------------------------------------------------------------------------------------


def _canary(percent: int | None, observed: Observed, **engine: Any) -> Rendered:
    more = {} if percent is None else {"canaryTrafficPercent": percent}
    return made(service(engine={**engine, **more}), config=GATEWAY, observed=observed)


def test_a_first_version_is_no_canary() -> None:
    rendered = _canary(20, Observed())
    assert names(rendered, r.DEPLOYMENTS) == ["chat-engine"]
    assert weights(rendered) == [("chat-engine", 1)]


def test_a_change_with_a_share_leaves_the_old_version_and_puts_the_new_one_beside() -> None:
    first = _canary(20, Observed())
    rendered = _canary(20, live(first), **NEW)
    check_golden("canary", rendered)
    assert image(rendered, "chat-engine") == "engine:1"
    assert image(rendered, "chat-engine-canary") == "engine:2"
    assert weights(rendered) == [("chat-engine", 80), ("chat-engine-canary", 20)]
    stable, beside = (
        child(rendered, r.SERVICES, name)["spec"]["selector"]
        for name in ("chat-engine", "chat-engine-canary")
    )
    labels = child(rendered, r.DEPLOYMENTS, "chat-engine-canary")["spec"]["template"]["metadata"]
    assert beside.items() <= labels["labels"].items()
    assert not stable.items() <= labels["labels"].items()


def test_the_same_input_again_changes_nothing() -> None:
    rendered = _canary(20, live(_canary(20, Observed())), **NEW)
    again = _canary(20, live(rendered), **NEW)
    assert [c.object for c in again.children] == [c.object for c in rendered.children]


def test_more_weight_moves_only_the_weights() -> None:
    rendered = _canary(20, live(_canary(20, Observed())), **NEW)
    more = _canary(60, live(rendered), **NEW)
    assert weights(more) == [("chat-engine", 40), ("chat-engine-canary", 60)]
    for name in ("chat-engine", "chat-engine-canary"):
        before, after = (child(one, r.DEPLOYMENTS, name)["spec"] for one in (rendered, more))
        assert before == after


def test_taking_the_change_back_removes_the_canary() -> None:
    rendered = _canary(20, live(_canary(20, Observed())), **NEW)
    observed = live(rendered)
    back = _canary(20, observed)
    assert weights(back) == [("chat-engine", 1)]
    assert deleted(back, observed) == {
        "Deployment chat-engine-canary",
        "Service chat-engine-canary",
    }


def test_promotion_keeps_the_canary_serving_until_the_roll_is_through() -> None:
    canary = live(_canary(20, live(_canary(20, Observed())), **NEW), status={r.DEPLOYMENTS: UP})
    rolling = _canary(None, canary, **NEW)
    assert image(rolling, "chat-engine") == "engine:2"
    assert weights(rolling) == [("chat-engine", 0), ("chat-engine-canary", 100)]
    observed = live(rolling, status={r.DEPLOYMENTS: UP})
    done = _canary(None, observed, **NEW)
    assert weights(done) == [("chat-engine", 1)]
    assert "Deployment chat-engine-canary" in deleted(done, observed)


def test_where_nothing_weighs_the_service_says_so() -> None:
    first = made(service(engine={"canaryTrafficPercent": 20}))
    rendered = made(service(engine={**NEW, "canaryTrafficPercent": 20}), observed=live(first))
    assert "enableGatewayAPI" in rendered.warnings[0]


# --- change of mode -------------------------------------------------------------------------------


def test_a_deployment_serves_until_the_group_of_pods_is_available() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    change = made(runtime=gpu_runtime(), observed=observed)
    assert names(change, x.LEADER_WORKER_SETS) == ["lws-chat-engine"]
    assert names(change, r.SERVICES) == []
    assert deleted(change, observed) == set()
    assert change.components["engine"].previous == (r.DEPLOYMENTS, "chat-engine")
    both = live(made(), change, status={r.DEPLOYMENTS: UP, x.LEADER_WORKER_SETS: UP})
    over = made(runtime=gpu_runtime(), observed=both)
    selector = child(over, r.SERVICES, "chat-engine")["spec"]["selector"]
    assert selector["ray.io/node-type"] == "head"
    assert deleted(over, both) == {
        "Deployment chat-engine",
        "HorizontalPodAutoscaler chat-engine",
        "PodDisruptionBudget chat-engine",
    }


def test_and_the_other_way_round() -> None:
    observed = live(made(runtime=gpu_runtime()), status={x.LEADER_WORKER_SETS: UP})
    change = made(observed=observed)
    assert names(change, r.DEPLOYMENTS) == ["chat-engine"]
    assert deleted(change, observed) == set()
    both = live(
        made(runtime=gpu_runtime()), change, status={r.DEPLOYMENTS: UP, x.LEADER_WORKER_SETS: UP}
    )
    assert deleted(made(observed=both), both) == {"LeaderWorkerSet lws-chat-engine"}


def test_recreate_lets_the_old_workload_go_first() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    subject = service(engine={"deploymentStrategy": {"type": "Recreate"}})
    change = made(subject, runtime=gpu_runtime(), observed=observed)
    assert "Deployment chat-engine" in deleted(change, observed)


def test_knative_gets_the_services_name_when_its_revision_is_up() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    subject = service(engine={"minReplicas": 0})
    change = made(subject, observed=observed)
    assert deleted(change, observed) == set()
    up = {"conditions": [{"type": "ConfigurationsReady", "status": "True"}]}
    both = live(made(), change, status={r.DEPLOYMENTS: UP, x.KNATIVE_SERVICES: up})
    over = made(subject, observed=both)
    assert {"Service chat-engine", "Deployment chat-engine"} <= deleted(over, both)


def test_a_deployment_after_knative_waits_for_the_name_of_its_service() -> None:
    observed = live(made(service(engine={"minReplicas": 0})))
    change = made(observed=observed)
    assert "chat-engine" not in names(change, r.SERVICES)
    assert deleted(change, observed) == set()
    both = live(made(service(engine={"minReplicas": 0})), change, status={r.DEPLOYMENTS: UP})
    over = made(observed=both)
    assert "Service chat-engine" in deleted(over, both)  # the Knative Service
    assert "chat-engine" not in names(over, r.SERVICES)
    assert "chat-engine" in names(made(observed=live(over, status={r.DEPLOYMENTS: UP})), r.SERVICES)


def test_a_virtual_service_leaves_nothing_behind() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    subject = service()
    subject["metadata"]["annotations"] = {"ome.io/deploymentMode": "VirtualDeployment"}
    change = made(subject, observed=observed)
    check_golden("virtual", change)
    assert change.children == []
    assert len(deleted(change, observed)) == len(made().children)
    assert change.url == "http://chat.default.svc.cluster.local"


def test_another_autoscaler_takes_the_place_of_the_first() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    keda = made(
        service(engine={"annotations": {"ome.io/autoscalerClass": "keda"}}), observed=observed
    )
    assert deleted(keda, observed) == {"HorizontalPodAutoscaler chat-engine"}
    hpa = made(observed=live(keda))
    assert deleted(hpa, live(keda)) == {"ScaledObject scaledobject-chat-engine"}


def test_routes_that_are_no_longer_wanted_go() -> None:
    observed = live(made(config=GATEWAY), status={r.DEPLOYMENTS: UP})
    change = made(config=settings(ingressDomain="example.com"), observed=observed)
    assert deleted(change, observed) == {"HTTPRoute chat", "HTTPRoute chat-engine"}
    disabled = made(observed=live(change))
    assert deleted(disabled, live(change)) == {"Ingress chat"}


def test_a_workload_of_somebody_else_is_not_handed_over() -> None:
    observed = live(made(), status={r.DEPLOYMENTS: UP})
    foreign = copy.deepcopy(observed.of(r.DEPLOYMENTS)["chat-engine"])
    foreign["metadata"]["ownerReferences"][0]["uid"] = "another"
    seen = Observed({r.DEPLOYMENTS: [foreign]})
    change = made(runtime=gpu_runtime(), observed=seen)
    assert change.components["engine"].previous is None
    assert deleted(change, seen) == set()


def test_an_adopted_deployment_keeps_its_mode_whatever_the_annotation_says() -> None:
    observed = live(made())
    del observed.of(r.DEPLOYMENTS)["chat-engine"]["metadata"]["annotations"][
        "ome.io/template-input-hash"
    ]
    subject = service()
    subject["metadata"]["annotations"] = {"ome.io/deploymentMode": "Serverless"}
    assert made(subject, observed=observed).components["engine"].mode == "RawDeployment"
    assert made(subject, runtime=runtime()).components["engine"].mode == "Serverless"
