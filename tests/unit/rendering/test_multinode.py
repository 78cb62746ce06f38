"""Groups of pods: LeaderWorkerSets, alone and as parts of a disaggregated service."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import (
    EVERYTHING,
    check_golden,
    child,
    gpu_runtime,
    live,
    made,
    names,
)

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.rendering import Capabilities, Observed, Rendered, RenderError

Object = dict[str, Any]


def lws(rendered: Rendered, name: str = "lws-chat-engine") -> Object:
    return child(rendered, x.LEADER_WORKER_SETS, name)


def members(rendered: Rendered, name: str = "lws-chat-engine") -> tuple[Object, Object]:
    group = lws(rendered, name)["spec"]["leaderWorkerTemplate"]
    return group["leaderTemplate"], group["workerTemplate"]


def env(template: Object) -> dict[str, str]:
    return {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}


def test_a_multi_node_service_is_rendered_as_in_the_golden_file() -> None:
    check_golden("multinode", made(runtime=gpu_runtime()))


def test_a_disaggregated_service_of_groups_is_rendered_as_in_the_golden_file() -> None:
    check_golden("disaggregated", _disaggregated())


def _disaggregated() -> Rendered:
    both = gpu_runtime()
    both["spec"]["decoderConfig"] = copy.deepcopy(both["spec"]["engineConfig"])
    both["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
    return made(service(decoder={}, router={}), runtime=both)


def test_each_component_of_a_disaggregated_service_has_its_own_mode() -> None:
    mixed = gpu_runtime()
    mixed["spec"]["decoderConfig"] = copy.deepcopy(runtime()["spec"]["engineConfig"])
    mixed["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
    rendered = made(service(decoder={}, router={"minReplicas": 0}), runtime=mixed)
    modes = {name: part.mode for name, part in rendered.components.items()}
    assert modes == {
        "engine": "MultiNode",
        "decoder": "RawDeployment",
        "router": "RawDeployment",
    }
    assert rendered.entry_component == "router"
    role = child(rendered, r.ROLES, "chat-router")
    assert role["rules"][0] == {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["get", "list", "watch"],
    }
    router = child(rendered, r.DEPLOYMENTS, "chat-router")["spec"]["template"]["spec"]
    assert router["serviceAccountName"] == "chat-router"


def test_a_group_is_the_leader_and_its_workers_and_all_know_the_parallelism() -> None:
    rendered = made(service(engine={"worker": {"size": 3}}), runtime=gpu_runtime(8))
    assert lws(rendered)["spec"]["leaderWorkerTemplate"]["size"] == 4
    leader, worker = members(rendered)
    assert env(leader)["PARALLELISM_SIZE"] == env(worker)["PARALLELISM_SIZE"] == "32"
    assert env(worker)["MODEL_PATH"] == "/raid/models/tiny"


def test_services_select_only_leaders_of_this_component_of_this_service() -> None:
    rendered = _disaggregated()
    leader, worker = members(rendered, "lws-chat-decoder")
    for name, component in (("chat-engine", "engine"), ("chat-decoder", "decoder")):
        selector = child(rendered, r.SERVICES, name)["spec"]["selector"]
        assert selector == {
            "ome.io/inferenceservice": "chat",
            "component": component,
            "ray.io/node-type": "head",
        }
    decoder = child(rendered, r.SERVICES, "chat-decoder")["spec"]["selector"]
    assert decoder.items() <= leader["metadata"]["labels"].items()
    assert not decoder.items() <= worker["metadata"]["labels"].items()
    external = child(made(runtime=gpu_runtime()), r.SERVICES, "chat")["spec"]["selector"]
    assert external["ray.io/node-type"] == "head"


def test_leader_and_worker_inherit_the_components_pod_spec() -> None:
    given = gpu_runtime(tolerations=[{"key": "gpu", "operator": "Exists"}], hostNetwork=True)
    given["spec"]["engineConfig"]["worker"]["hostNetwork"] = False
    for template, host_network in zip(members(made(runtime=given)), (True, False), strict=True):
        assert template["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
        assert template["spec"]["hostNetwork"] is host_network


def test_a_worker_that_says_nothing_runs_what_the_leader_runs() -> None:
    rendered = made(service(engine={"worker": {"size": 1}}))
    leader, worker = members(rendered)
    assert leader["spec"]["containers"] == worker["spec"]["containers"]


def test_a_leader_without_workers_is_a_group_of_one() -> None:
    given = gpu_runtime()
    del given["spec"]["engineConfig"]["worker"]
    rendered = made(runtime=given)
    assert lws(rendered)["spec"]["leaderWorkerTemplate"]["size"] == 1
    assert env(members(rendered)[0])["PARALLELISM_SIZE"] == "8"


def test_resources_that_the_user_gives_the_leader_stay() -> None:
    own = {"limits": {"nvidia.com/gpu": 4}, "requests": {"nvidia.com/gpu": 4}}
    engine = {"leader": {"runner": {"resources": own}}, "worker": {"size": 1}}
    accelerator = {
        "metadata": {"name": "a"},
        "spec": {"resources": [{"name": "nvidia.com/gpu", "quantity": "1"}, {"name": "x/y"}]},
    }
    rendered = made(
        service(engine=engine), runtime=gpu_runtime(8), accelerators={"engine": accelerator}
    )
    leader, worker = members(rendered)
    assert leader["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert worker["spec"]["containers"][0]["resources"]["limits"]["x/y"] == "1"


def test_groups_scale_only_when_somebody_says_so() -> None:
    plain = made(service(engine={"minReplicas": 2, "maxReplicas": 4}), runtime=gpu_runtime())
    assert lws(plain)["spec"]["replicas"] == 2
    assert names(plain, r.HORIZONTAL_POD_AUTOSCALERS) == []
    asked = service(engine={"minReplicas": 2, "annotations": {"ome.io/autoscalerClass": "hpa"}})
    scaled = made(asked, runtime=gpu_runtime())
    assert "replicas" not in lws(scaled)["spec"]
    target = child(scaled, r.HORIZONTAL_POD_AUTOSCALERS, "chat-engine")["spec"]["scaleTargetRef"]
    assert target["kind"] == "LeaderWorkerSet"
    assert target["name"] == "lws-chat-engine"


def test_long_names_are_hashed_and_legacy_ones_kept() -> None:
    name = "a-very-long-name-that-two-services-of-a-namespace-share-at-its-end"
    rendered = made(service(name), runtime=gpu_runtime())
    (hashed,) = names(rendered, x.LEADER_WORKER_SETS)
    legacy = f"lws-{(name + '-engine')[-50:]}"
    assert len(hashed) <= 54
    assert hashed != legacy
    found = live(rendered).of(x.LEADER_WORKER_SETS)[hashed]
    found["metadata"]["name"] = legacy
    kept = made(
        service(name),
        runtime=gpu_runtime(),
        observed=Observed({x.LEADER_WORKER_SETS: [found]}),
    )
    assert names(kept, x.LEADER_WORKER_SETS) == [legacy]


def test_a_live_group_keeps_its_template_until_the_services_own_change() -> None:
    first = made(runtime=gpu_runtime())
    observed = live(first)
    group = observed.of(x.LEADER_WORKER_SETS)["lws-chat-engine"]
    del group["metadata"]["annotations"]["ome.io/template-input-hash"]
    container = group["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"]["containers"][0]
    container["image"] = "made-by-another:1"
    kept = made(runtime=gpu_runtime(), observed=observed)
    assert members(kept)[0]["spec"]["containers"][0]["image"] == "made-by-another:1"
    own = made(service(engine={"labels": {"a": "b"}}), runtime=gpu_runtime(), observed=live(kept))
    assert members(own)[0]["spec"]["containers"][0]["image"] == "engine:1"


def test_an_istio_sidecar_selects_the_pods_that_there_are() -> None:
    subject = service()
    subject["metadata"]["labels"] = {"sidecar.istio.io/inject": "true"}
    rendered = made(subject, runtime=gpu_runtime())
    sidecar = child(rendered, x.SIDECARS, "chat-engine")
    selector = sidecar["spec"]["workloadSelector"]["labels"]
    assert selector.items() <= members(rendered)[1]["metadata"]["labels"].items()
    assert sidecar["metadata"]["ownerReferences"]


def test_a_cluster_without_the_kind_says_what_to_install() -> None:
    without = Capabilities(EVERYTHING.kinds - {x.LEADER_WORKER_SETS})
    with pytest.raises(RenderError) as caught:
        made(runtime=gpu_runtime(), capabilities=without)
    assert caught.value.code == "MissingKind"
    assert "lws.sigs.k8s.io" in caught.value.fix
