"""Ray clusters with their probers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.objects import service
from tests.unit.rendering.modes import check_golden, child, gpu_runtime, live, made, names

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.controllers.plan import plan_children
from ome.controllers.settings import read
from ome.rendering import Observed, RenderError
from ome.rendering.ray import ray_name

Object = dict[str, Any]
RAY = {"ome.io/deploymentMode": "MultiNodeRayVLLM"}


def ray_service(**engine: Any) -> Object:
    return service(engine={"annotations": RAY, **engine})


def test_a_ray_service_is_rendered_as_in_the_golden_file() -> None:
    check_golden("ray", made(ray_service(), runtime=gpu_runtime()))


def test_each_replica_is_a_cluster_with_a_prober_of_its_own() -> None:
    rendered = made(ray_service(minReplicas=2, worker={"size": 3}), runtime=gpu_runtime())
    assert names(rendered, x.RAY_CLUSTERS) == ["chat-engine-0", "chat-engine-1"]
    group = child(rendered, x.RAY_CLUSTERS, "chat-engine-0")["spec"]["workerGroupSpecs"][0]
    assert group["replicas"] == 3
    probers = [
        child(rendered, r.DEPLOYMENTS, name)["spec"]
        for name in ("chat-engine-0-mnp", "chat-engine-1-mnp")
    ]
    first, second = (prober["selector"]["matchLabels"] for prober in probers)
    assert first != second
    for prober in probers:
        labels = prober["template"]["metadata"]["labels"]
        assert prober["selector"]["matchLabels"].items() <= labels.items()
        assert "component" not in labels
    container = probers[0]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "http://chat-engine-0.default.svc.cluster.local:8080" in container["args"]


def test_the_service_selects_the_heads_by_the_labels_that_pods_carry() -> None:
    rendered = made(ray_service(), runtime=gpu_runtime())
    found = child(rendered, r.SERVICES, "chat-engine")["spec"]
    assert found["selector"] == {
        "ome.io/inferenceservice": "chat",
        "component": "engine",
        "ray.io/node-type": "head",
    }
    assert {port["name"] for port in found["ports"]} == {"http1", "dashboard", "metrics", "redis"}


def test_no_replicas_in_the_spec_are_one() -> None:
    subject = ray_service()
    del subject["spec"]["engine"]["annotations"]
    subject["metadata"]["annotations"] = RAY
    assert names(made(subject, runtime=gpu_runtime()), x.RAY_CLUSTERS) == ["chat-engine-0"]


def test_a_prober_under_its_old_name_and_selector_keeps_both() -> None:
    name = "a-service-whose-name-is-long-enough-to-be-cut"
    subject = service(name, engine={"annotations": RAY})
    rendered = made(subject, runtime=gpu_runtime())
    (now,) = names(rendered, r.DEPLOYMENTS)
    observed = live(rendered)
    prober = observed.of(r.DEPLOYMENTS)[now]
    legacy = f"{name}-engine-0-mnp"[-50:]
    assert now == ray_name(f"{name}-engine-0-mnp")
    assert now != legacy
    prober["metadata"]["name"] = legacy
    prober["spec"]["selector"] = {"matchLabels": {"app": "old"}}
    prober["spec"]["template"]["metadata"]["labels"] = {"app": "old"}
    del prober["metadata"]["annotations"]
    del observed.of(r.DEPLOYMENTS)[now]  # type: ignore[attr-defined]
    observed.of(r.DEPLOYMENTS)[legacy] = prober  # type: ignore[index]
    kept = child(made(subject, runtime=gpu_runtime(), observed=observed), r.DEPLOYMENTS, legacy)
    assert kept["spec"]["selector"] == {"matchLabels": {"app": "old"}}
    assert kept["spec"]["template"]["metadata"]["labels"]["app"] == "old"


def test_without_an_image_for_the_prober_the_reason_is_named() -> None:
    with pytest.raises(RenderError) as caught:
        made(ray_service(), runtime=gpu_runtime(), config=read(None))
    assert caught.value.fix == "set multinodeProber.image"


# --- updates --------------------------------------------------------------------------------------

READY = {x.RAY_CLUSTERS: {"state": "ready"}, r.DEPLOYMENTS: {"availableReplicas": 1}}
CHANGE: Object = {"labels": {"team": "a"}}


def _turns(observed: Observed, **engine: Any) -> tuple[set[str], list[str], int]:
    """Clusters that are made anew now, those that have the change or get it, how many wait."""
    subject = ray_service(minReplicas=3, **engine)
    subject["metadata"]["uid"] = "u-1"
    rendered = made(subject, runtime=gpu_runtime(), observed=observed)
    plan = plan_children(subject, rendered.children, observed, rendered.keep, rendered.replaced)
    assert all(gone.anew for gone in plan.deletes)
    anew = {gone.key.name for gone in plan.deletes}
    return anew, names(rendered, x.RAY_CLUSTERS), len(rendered.components["engine"].outdated)


def _three() -> Observed:
    return live(made(ray_service(minReplicas=3), runtime=gpu_runtime()), status=READY)


def test_a_change_makes_clusters_anew_one_after_the_other() -> None:
    observed = _three()
    assert _turns(observed) == (set(), [f"chat-engine-{n}" for n in range(3)], 0)
    assert _turns(observed, **CHANGE) == ({"chat-engine-0"}, [], 3)
    # It is going: the others wait until its successor serves.
    clusters = observed.of(x.RAY_CLUSTERS)
    clusters["chat-engine-0"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert _turns(observed, **CHANGE) == (set(), [], 3)
    rest = [clusters["chat-engine-1"], clusters["chat-engine-2"]]
    probers = list(observed.of(r.DEPLOYMENTS).values())
    gone = Observed({x.RAY_CLUSTERS: rest, r.DEPLOYMENTS: probers})
    assert _turns(gone, **CHANGE) == (set(), ["chat-engine-0"], 2)
    changed = live(
        made(ray_service(minReplicas=3, **CHANGE), runtime=gpu_runtime()), status=READY
    ).of(x.RAY_CLUSTERS)
    new = changed["chat-engine-0"]
    back = Observed({x.RAY_CLUSTERS: [new, *rest], r.DEPLOYMENTS: probers})
    assert _turns(back, **CHANGE) == ({"chat-engine-1"}, ["chat-engine-0"], 2)
    new["status"] = {}
    assert _turns(back, **CHANGE) == (set(), ["chat-engine-0"], 2)


def test_a_cluster_that_does_not_serve_goes_first() -> None:
    observed = _three()
    observed.of(x.RAY_CLUSTERS)["chat-engine-1"]["status"] = {"state": "failed"}
    assert _turns(observed, **CHANGE)[0] == {"chat-engine-1"}


def test_what_another_manager_made_and_what_is_held_is_not_made_anew() -> None:
    observed = _three()
    for cluster in observed.of(x.RAY_CLUSTERS).values():
        del cluster["metadata"]["annotations"]["ome.io/template-input-hash"]
    assert _turns(observed)[0] == set()
    subject = ray_service(minReplicas=3)
    subject["metadata"]["annotations"] = {"ome.io/hold-rollout": "true"}
    shared = gpu_runtime()
    shared["spec"]["engineConfig"]["leader"]["runner"]["image"] = "engine:2"
    held = made(subject, runtime=shared, observed=_three())
    assert held.replaced == frozenset()
    assert "held by annotation" in held.pending[0]
