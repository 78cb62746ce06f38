"""What writes do to an object: metadata, versions, ownership, subresources, deletion."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.apiserver.home import (
    APPLY,
    CORE,
    CRDS,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    WIDGETS,
    Home,
    config_map,
    crd,
    pod,
    widget,
)

from ome.apimachinery.errors import FieldError
from ome.apimachinery.resources import CONFIG_MAPS
from ome.standalone.apiserver import AdmissionRequest, AdmissionResponse

MAPS = f"{CORE}/configmaps"
PODS = f"{CORE}/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(name: str) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }


@pytest.fixture
async def widgets(api: Home) -> Home:
    await api.ok("POST", CRDS, crd())
    return api


async def test_the_default_namespaces_are_there_from_the_start(api: Home) -> None:
    listed = await api.ok("GET", "/api/v1/namespaces")
    names = {item["metadata"]["name"] for item in listed["items"]}
    assert names == {"default", "kube-system", "kube-node-lease", "kube-public", "ome"}


async def test_a_new_object_gets_its_metadata_from_the_server(api: Home) -> None:
    body = deployment("d")
    body["metadata"] |= {
        "uid": "mine",
        "generation": 7,
        "deletionTimestamp": "2020-01-01T00:00:00Z",
    }
    body["status"] = {"replicas": 9}
    made = await api.ok("POST", DEPLOYMENTS, body)
    meta = made["metadata"]
    assert meta["uid"] != "mine"
    assert meta["generation"] == 1
    assert meta["namespace"] == "default"
    assert "deletionTimestamp" not in meta
    assert "status" not in made
    assert made["spec"]["replicas"] == 1
    assert meta["managedFields"][0]["manager"] == "tests"


async def test_generation_counts_changes_of_what_is_wanted_only(api: Home) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment("d"))
    path = f"{DEPLOYMENTS}/d"
    await api.ok("PATCH", path, {"metadata": {"labels": {"x": "y"}}}, type=MERGE)
    await api.ok("PATCH", f"{path}/status", {"status": {"replicas": 3}}, type=MERGE)
    assert (await api.ok("GET", path))["metadata"]["generation"] == 1
    await api.ok("PATCH", path, {"spec": {"replicas": 3}, "status": {"replicas": 0}}, type=MERGE)
    live = await api.ok("GET", path)
    assert live["metadata"]["generation"] == 2
    assert live["status"]["replicas"] == 3


async def test_a_write_that_changes_nothing_keeps_the_version(api: Home) -> None:
    made = await api("POST", MAPS, config_map("a", k="v"))
    patched = await api("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, type=MERGE)
    put = await api("PUT", f"{MAPS}/a", made.body)
    assert made.revision == patched.revision == put.revision


async def test_an_update_of_an_old_version_is_a_conflict(api: Home) -> None:
    made = await api.ok("POST", MAPS, config_map("a", k="1"))
    await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "2"}}, type=MERGE)
    answer = await api("PUT", f"{MAPS}/a", {**made, "data": {"k": "3"}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.message
    versioned = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    answer = await api("PATCH", f"{MAPS}/a", {**versioned, "data": {"k": "3"}}, type=MERGE)
    assert answer.status == 409


async def test_concurrent_updates_of_one_version_succeed_once(api: Home) -> None:
    made = await api.ok("POST", MAPS, config_map("a", k="0"))
    bodies = [{**made, "data": {"k": str(n)}} for n in range(1, 9)]
    answers = await asyncio.gather(*(api("PUT", f"{MAPS}/a", body) for body in bodies))
    assert sorted(a.status for a in answers) == [200] + [409] * 7


async def test_concurrent_patches_all_count(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await asyncio.gather(
        *(api.ok("PATCH", f"{MAPS}/a", {"data": {f"k{n}": "v"}}, type=MERGE) for n in range(20))
    )
    assert len((await api.ok("GET", f"{MAPS}/a"))["data"]) == 20


async def test_concurrent_creates_of_one_name_succeed_once(api: Home) -> None:
    answers = await asyncio.gather(*(api("POST", MAPS, config_map("a")) for _ in range(8)))
    assert sorted(a.status for a in answers) == [201] + [409] * 7
    assert {a.body["reason"] for a in answers if a.status == 409} == {"AlreadyExists"}


async def test_an_update_of_a_custom_resource_needs_a_version(widgets: Home) -> None:
    await widgets.ok("POST", WIDGETS, widget("a"))
    answer = await widgets("PUT", f"{WIDGETS}/a", widget("a", size="b"))
    assert answer.status == 422
    assert "must be specified for an update" in answer.message


async def test_a_client_that_goes_away_leaves_the_server_sound(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a"))

    async def cut_off(number: int) -> None:
        patch = api("PATCH", f"{MAPS}/a", {"data": {f"k{number}": "v"}}, type=MERGE)
        try:
            await asyncio.wait_for(patch, 0.0005 * (number % 5))
        except TimeoutError:
            return

    await asyncio.gather(*(cut_off(n) for n in range(50)))
    await api.ok("PATCH", f"{MAPS}/a", {"data": {"last": "v"}}, type=MERGE)
    entry = api.store.get("/configmaps", "default", "a")
    assert entry is not None
    assert (await api("GET", f"{MAPS}/a")).revision == str(entry.rv)


# -- patches -------------------------------------------------------------------------------


async def test_patches_of_every_type(api: Home) -> None:
    path = f"{DEPLOYMENTS}/d"
    await api.ok("POST", DEPLOYMENTS, deployment("d"))
    containers = [{"name": "side", "image": "x"}]
    patch: Any = {"spec": {"template": {"spec": {"containers": containers}}}}
    live = await api.ok("PATCH", path, patch, type=STRATEGIC)
    assert len(live["spec"]["template"]["spec"]["containers"]) == 2
    live = await api.ok("PATCH", path, patch, type=MERGE)
    assert len(live["spec"]["template"]["spec"]["containers"]) == 1
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    assert (await api.ok("PATCH", path, patch, type=JSON_PATCH))["spec"]["replicas"] == 4
    assert (await api("PATCH", path, patch, type="text/plain")).status == 415


async def test_strategic_patches_are_for_built_in_kinds(widgets: Home) -> None:
    await widgets.ok("POST", WIDGETS, widget("a"))
    answer = await widgets("PATCH", f"{WIDGETS}/a", {"spec": {}}, type=STRATEGIC)
    assert answer.status == 415


async def test_apply_creates_then_merges_then_conflicts(widgets: Home) -> None:
    def path(manager: str) -> str:
        return f"{WIDGETS}/a?fieldManager={manager}"

    made = await widgets("PATCH", path("one"), widget("a", size="s"), type=APPLY)
    assert made.status == 201
    again = await widgets("PATCH", path("one"), widget("a", size="s"), type=APPLY)
    assert (again.status, again.revision) == (200, made.revision)
    await widgets.ok("PATCH", path("two"), widget("a", count=5), type=APPLY)
    clash = await widgets("PATCH", path("two"), widget("a", size="m"), type=APPLY)
    assert clash.status == 409
    assert clash.body["details"]["causes"][0]["field"] == ".spec.size"
    taken = await widgets.ok(
        "PATCH", path("two") + "&force=true", widget("a", size="m"), type=APPLY
    )
    assert taken["spec"] == {"size": "m", "count": 1}
    status = {**widget("a"), "status": {"x": 1}}
    del status["spec"]
    live = await widgets.ok("PATCH", f"{WIDGETS}/a/status?fieldManager=three", status, type=APPLY)
    assert live["status"] == {"x": 1}
    assert live["spec"]["size"] == "m"
    assert (await widgets("PATCH", f"{WIDGETS}/a", widget("a"), type=APPLY)).status == 422


async def test_a_dry_run_validates_and_stores_nothing(widgets: Home) -> None:
    made = await widgets("POST", f"{WIDGETS}?dryRun=All", widget("a"))
    assert made.status == 201
    assert made.body["spec"]["count"] == 1
    assert (await widgets("GET", f"{WIDGETS}/a")).status == 404
    assert (await widgets("POST", f"{WIDGETS}?dryRun=All", widget("a", size=3))).status == 422
    before = widgets.store.revision
    await widgets.ok("POST", f"{WIDGETS}?dryRun=", widget("a"))
    await widgets.ok("DELETE", f"{WIDGETS}/a?dryRun=All")
    assert widgets.store.revision == before + 1


# -- validation of fields ------------------------------------------------------------------


async def test_unknown_and_duplicate_fields_are_reported_as_asked(widgets: Home) -> None:
    raw = b'{"metadata":{"name":"a"},"spec":{"size":"x","size":"y","colour":"red"}}'
    strict = await widgets("POST", f"{WIDGETS}?fieldValidation=Strict", raw=raw)
    assert strict.status == 400
    assert 'duplicate field "spec.size"' in strict.message
    unknown = b'{"metadata":{"name":"a"},"spec":{"colour":"red"}}'
    strict = await widgets("POST", f"{WIDGETS}?fieldValidation=Strict", raw=unknown)
    assert 'unknown field "spec.colour"' in strict.message
    warn = await widgets("POST", f"{WIDGETS}?fieldValidation=Warn", raw=raw)
    assert warn.status == 201
    assert [w.split('"', 1)[1] for w in warn.warnings] == [
        'duplicate field \\"spec.size\\""', 'unknown field \\"spec.colour\\""',
    ]  # fmt: skip
    assert warn.body["spec"] == {"size": "y", "count": 1}
    ignored = raw.replace(b'"a"', b'"b"')
    assert (await widgets("POST", f"{WIDGETS}?fieldValidation=Ignore", raw=ignored)).warnings == []


# -- admission -----------------------------------------------------------------------------


class Rules:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def admit(self, request: AdmissionRequest) -> AdmissionResponse:
        if request.resource != CONFIG_MAPS:
            return AdmissionResponse()
        self.seen.append((request.operation, request.name, request.user))
        if request.operation == "DELETE":
            assert request.old is not None
            kept = request.old.get("data", {}).get("keep")
            return AdmissionResponse(message="it is kept" if kept else "")
        assert request.object is not None
        others = request.view.list(CONFIG_MAPS, request.namespace)
        request.object["data"] = {**request.object.get("data", {}), "others": str(len(others))}
        if "broken" in request.object["data"]:
            raise RuntimeError("boom")
        if "wrong" in request.object["data"]:
            return AdmissionResponse(errors=[FieldError("data.wrong", "is not wanted")])
        return AdmissionResponse(request.object, warnings=["one", "one", "two\nlines"])


async def test_admission_patches_refuses_and_warns(tmp_path: Path) -> None:
    rules = Rules()
    api = Home(tmp_path)
    await api.up(admission=rules)
    try:
        made = await api("POST", MAPS, config_map("a"))
        assert made.body["data"] == {"others": "0"}
        assert made.warnings == ['299 - "one"', '299 - "two lines"']
        refused = await api("PATCH", f"{MAPS}/a", {"data": {"wrong": "x"}}, type=MERGE)
        assert refused.status == 422
        assert refused.body["details"]["causes"][0]["field"] == "data.wrong"
        broken = await api("PATCH", f"{MAPS}/a", {"data": {"broken": "x"}}, type=MERGE)
        assert broken.status == 500
        assert "admission failed" in broken.message
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"keep": "x"}}, type=MERGE)
        kept = await api("DELETE", f"{MAPS}/a")
        assert (kept.status, kept.body["reason"]) == (403, "Forbidden")
        assert "it is kept" in kept.message
        assert {operation for operation, _, _ in rules.seen} == {"CREATE", "UPDATE", "DELETE"}
    finally:
        await api.down()


# -- subresources --------------------------------------------------------------------------


async def test_scale_reads_and_writes_replicas(api: Home) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment("d"))
    path = f"{DEPLOYMENTS}/d/scale"
    scale = await api.ok("GET", path)
    assert scale["kind"] == "Scale"
    assert scale["status"]["selector"] == "a=b"
    scale["spec"]["replicas"] = 3
    await api.ok("PUT", path, scale)
    assert (await api("PUT", path, scale)).status == 409
    await api.ok("PATCH", path, {"spec": {"replicas": 5}}, type=MERGE)
    live = await api.ok("GET", f"{DEPLOYMENTS}/d")
    assert live["spec"]["replicas"] == 5
    for bad in (-1, "x", True, 1.5):
        answer = await api("PATCH", path, {"spec": {"replicas": bad}}, type=MERGE)
        assert answer.status == 422, bad
    assert (await api("GET", f"{MAPS}/d/scale")).status == 404
    assert (await api("DELETE", path)).status == 405


async def test_a_pod_is_bound_once(api: Home) -> None:
    await api.ok("POST", PODS, pod("p"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api("POST", f"{PODS}/p/binding", binding)).status == 201
    live = await api.ok("GET", f"{PODS}/p")
    assert live["spec"]["nodeName"] == "n1"
    (scheduled,) = [c for c in live["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert scheduled["status"] == "True"
    again = await api("POST", f"{PODS}/p/binding", binding)
    assert again.status == 409
    assert 'already assigned to node "n1"' in again.message
    assert (await api("POST", f"{PODS}/p/binding", {"metadata": {"name": "p"}})).status == 400


async def test_eviction_respects_a_budget_that_is_used_up(api: Home) -> None:
    await api.ok("POST", PODS, pod("p", nodeName="n"))
    await api.ok("PATCH", f"{PODS}/p/status", {"status": {"phase": "Running"}}, type=MERGE)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    body = {
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}},
    }
    await api.ok("POST", budgets, body)
    status = {"status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1,
                         "expectedPods": 1}}  # fmt: skip
    await api.ok("PATCH", f"{budgets}/b/status", status, type=MERGE)
    eviction = {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}}
    refused = await api("POST", f"{PODS}/p/eviction", eviction)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
    await api.ok("DELETE", f"{budgets}/b")
    assert (await api("POST", f"{PODS}/p/eviction", eviction)).status == 201
    assert (await api("GET", f"{PODS}/p")).status == 404


# -- deletion ------------------------------------------------------------------------------


async def test_finalizers_hold_an_object(api: Home) -> None:
    body = config_map("a")
    body["metadata"]["finalizers"] = ["x/y"]
    await api.ok("POST", MAPS, body)
    marked = await api.ok("DELETE", f"{MAPS}/a")
    assert marked["metadata"]["deletionTimestamp"]
    again = await api("DELETE", f"{MAPS}/a")
    assert again.revision == marked["metadata"]["resourceVersion"]
    await api.ok("PATCH", f"{MAPS}/a", {"data": {"still": "here"}}, type=MERGE)
    answer = await api("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["x/y", "z/z"]}},
                       type=MERGE)  # fmt: skip
    assert answer.status == 422
    await api.ok("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, type=MERGE)
    assert (await api("GET", f"{MAPS}/a")).status == 404


async def test_propagation_leaves_a_finalizer_for_the_collector(api: Home) -> None:
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await api.ok("POST", MAPS, config_map(policy.lower()))
        body = {"propagationPolicy": policy}
        marked = await api.ok("DELETE", f"{MAPS}/{policy.lower()}", body)
        assert marked["metadata"]["finalizers"] == [finalizer]
    assert (await api("DELETE", f"{MAPS}/orphan", {"propagationPolicy": "No"})).status == 422
    gone = await api.ok("DELETE", f"{MAPS}/orphan", {"propagationPolicy": "Background"})
    assert gone["status"] == "Success"


async def test_preconditions_protect_from_deleting_another(api: Home) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
        assert (await api("DELETE", f"{MAPS}/a", {"preconditions": wrong})).status == 409
    await api.ok("DELETE", f"{MAPS}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})


async def test_pods_go_gracefully(api: Home) -> None:
    path = f"{PODS}/p"
    await api.ok("POST", PODS, pod("p", nodeName="n", terminationGracePeriodSeconds=7))
    marked = await api.ok("DELETE", path)
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    shorter = await api.ok("DELETE", path, {"gracePeriodSeconds": 3})
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 3
    longer = await api.ok("DELETE", path, {"gracePeriodSeconds": 60})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 3
    await api.ok("DELETE", path, {"gracePeriodSeconds": 0})
    assert (await api("GET", path)).status == 404
    await api.ok("POST", PODS, pod("unbound"))
    await api.ok("DELETE", f"{PODS}/unbound")
    assert (await api("GET", f"{PODS}/unbound")).status == 404
    await api.ok("POST", PODS, pod("ended", nodeName="n"))
    await api.ok("PATCH", f"{PODS}/ended/status", {"status": {"phase": "Failed"}}, type=MERGE)
    await api.ok("DELETE", f"{PODS}/ended")
    assert (await api("GET", f"{PODS}/ended")).status == 404


async def test_a_collection_is_deleted_by_selector(api: Home) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.ok("POST", MAPS, config_map(name, {"l": label}))
    deleted = await api.ok("DELETE", f"{MAPS}?labelSelector=l%3Dx")
    assert [o["metadata"]["name"] for o in deleted["items"]] == ["a", "c"]
    assert [o["metadata"]["name"] for o in (await api.ok("GET", MAPS))["items"]] == ["b"]


async def test_a_namespace_waits_for_its_controller(api: Home) -> None:
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    marked = await api.ok("DELETE", "/api/v1/namespaces/n")
    assert marked["status"]["phase"] == "Terminating"
    refused = await api("POST", "/api/v1/namespaces/n/configmaps", config_map("a"))
    assert (refused.status, refused.body["details"]["causes"][0]["reason"]) == (
        403, "NamespaceTerminating",
    )  # fmt: skip
    marked["spec"]["finalizers"] = []
    await api.ok("PUT", "/api/v1/namespaces/n/finalize", marked)
    assert (await api("GET", "/api/v1/namespaces/n")).status == 404
    missing = await api("POST", "/api/v1/namespaces/n/configmaps", config_map("a"))
    assert (missing.status, missing.message) == (404, 'namespaces "n" not found')
