"""OME's kinds on a real kube-apiserver: the CRDs, what they accept, fill in and refuse."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from tests.cluster import corpus
from tests.cluster.wire import APPLY_PATCH, Answer, Api

from ome.api import resources as o
from ome.api.crds import all_crds
from ome.apimachinery.objects import Resource, condition

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Object = dict[str, Any]
session = pytest.mark.asyncio(loop_scope="session")


async def create(api: Api, resource: Resource, obj: Object, namespace: str = "default") -> Answer:
    """A trial creation: nothing is stored, everything is checked."""
    body = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
    body.setdefault("metadata", {"name": "trial"})
    path = resource.path(namespace)
    return await api.call("POST", path, body, dryRun="All", fieldValidation="Strict")


# -- the definitions -----------------------------------------------------------------------


@session
async def test_every_definition_is_accepted_without_a_warning(
    real: Api, definitions: list[Answer]
) -> None:
    assert len(definitions) == 8
    assert [a.warnings for a in definitions if a.warnings] == []


@session
async def test_every_definition_is_established_and_structural(
    real: Api, definitions: list[Answer]
) -> None:
    for crd in all_crds():
        stored = (await real.call("GET", f"{CRDS}/{crd['metadata']['name']}")).body
        types = {c["type"]: c["status"] for c in stored["status"]["conditions"]}
        assert types == {"NamesAccepted": "True", "Established": "True"}, crd["metadata"]["name"]


@session
async def test_the_server_changes_nothing_in_our_definitions_but_fills_in(
    real: Api, definitions: list[Answer]
) -> None:
    for crd in all_crds():
        stored = (await real.call("GET", f"{CRDS}/{crd['metadata']['name']}")).body
        assert _missing(crd["spec"], stored["spec"]) == [], crd["metadata"]["name"]


def _missing(wanted: Any, got: Any, path: str = "") -> list[str]:
    """Where something that was asked for is not in what was stored."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            f
            for k, v in wanted.items()
            if v not in ({}, False)
            for f in _missing(v, got.get(k), f"{path}.{k}")
        ]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            f
            for i, (a, b) in enumerate(zip(wanted, got, strict=True))
            for f in _missing(a, b, f"{path}[{i}]")
        ]
    return [] if wanted == got else [path]


def test_definitions_are_the_same_bytes_in_every_process() -> None:
    program = "import json; from ome.api.crds import all_crds; print(json.dumps(all_crds()))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert outputs == {json.dumps(all_crds()).encode() + b"\n"}


@session
async def test_definitions_have_short_names_categories_and_a_why_column(
    real: Api, definitions: list[Answer]
) -> None:
    listed = (await real.call("GET", "/apis/ome.io/v1beta1")).body["resources"]
    by_name = {entry["name"]: entry for entry in listed}
    assert by_name["inferenceservices"]["shortNames"] == ["isvc"]
    for resource in o.ALL:
        assert by_name[resource.plural]["categories"] == ["ome"]
    assert "inferenceservices/status" in by_name
    table = await real.call(
        "GET", o.INFERENCE_SERVICES.path(), accept="application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    assert "Why" in [c["name"] for c in table.body["columnDefinitions"]]


# -- the corpus ----------------------------------------------------------------------------

WRONG: dict[str, str] = {}
"""Manifests that are refused, each with the reason why refusing it is right."""


@session
async def test_every_manifest_of_the_corpus_is_accepted_unchanged(
    real: Api, definitions: list[Answer], corpus_namespaces: None
) -> None:
    refused, warned = {}, {}
    for manifest in corpus.manifests():
        if manifest.object["kind"] == "Namespace":
            continue
        answer = await real.call(
            "POST", manifest.path, manifest.object, dryRun="All", fieldValidation="Strict"
        )
        if not answer.ok:
            refused[str(manifest)] = str(answer)
        elif answer.warnings:
            warned[str(manifest)] = answer.warnings
    assert {name: why for name, why in refused.items() if name not in WRONG} == {}
    assert [name for name in WRONG if name not in refused] == []
    assert warned == {}


@session
async def test_what_a_manifest_says_is_what_is_stored(
    real: Api, definitions: list[Answer], corpus_namespaces: None
) -> None:
    """Nothing is pruned and nothing rewritten: defaults are only added."""
    changed = {}
    for manifest in corpus.manifests():
        if manifest.resource.group != o.GROUP:
            continue
        answer = await real.call("POST", manifest.path, manifest.object, dryRun="All")
        lost = _missing(manifest.object.get("spec"), answer.body.get("spec"))
        if lost:
            changed[str(manifest)] = lost
    assert changed == {}


# -- merging -------------------------------------------------------------------------------


FORMAT: Object = {
    "modelFormat": {"name": "safetensors"},
    "modelFramework": {"name": "transformers"},
}


@session
async def test_two_managers_merge_containers_and_environment_by_name(
    real: Api, definitions: list[Answer]
) -> None:
    path = o.CLUSTER_SERVING_RUNTIMES.path(name="merged")

    def runtime(image: str | None, **env: str) -> Object:
        container: Object = {
            "name": "ome-container",
            "env": [{"name": k, "value": v} for k, v in env.items()],
        }
        if image:
            container["image"] = image
        return {
            "apiVersion": "ome.io/v1beta1",
            "kind": "ClusterServingRuntime",
            "metadata": {"name": "merged"},
            "spec": {
                "supportedModelFormats": [FORMAT],
                "engineConfig": {"runner": container, "volumes": []},
                "containers": [container],
            },
        }

    async def apply(manager: str, body: Object) -> Object:
        answer = await real.call(
            "PATCH", path, body, media=APPLY_PATCH, fieldManager=manager, fieldValidation="Strict"
        )
        assert answer.ok, answer
        return answer.body["spec"]  # type: ignore[no-any-return]

    try:
        await apply("one", runtime("engine:1", A="1", B="2"))
        second = runtime(None, C="3")
        del second["spec"]["supportedModelFormats"]
        second["spec"]["containers"].append({"name": "sidecar", "image": "side:1"})
        spec = await apply("two", second)
        first, sidecar = spec["containers"]
        assert first["image"] == "engine:1"
        assert sorted(e["name"] for e in first["env"]) == ["A", "B", "C"]
        assert sidecar["name"] == "sidecar"
        assert sorted(e["name"] for e in spec["engineConfig"]["runner"]["env"]) == ["A", "B", "C"]
        spec = await apply("one", runtime("engine:2", A="1"))
        assert sorted(e["name"] for e in spec["containers"][0]["env"]) == ["A", "C"]
        assert len(spec["containers"]) == 2
    finally:
        await real.call("DELETE", path)


# -- defaults and refusals -----------------------------------------------------------------

SERVICE: Object = {"spec": {"model": {"name": "m"}, "engine": {"minReplicas": 1, "maxReplicas": 2}}}


@session
async def test_defaults_are_filled_in(real: Api, definitions: list[Answer]) -> None:
    service = (await create(real, o.INFERENCE_SERVICES, SERVICE)).body
    assert service["spec"]["model"]["kind"] == "ClusterBaseModel"
    runtime = copy.deepcopy(SERVICE)
    runtime["spec"]["runtime"] = {"name": "r"}
    service = (await create(real, o.INFERENCE_SERVICES, runtime)).body
    assert service["spec"]["runtime"]["kind"] == "ClusterServingRuntime"


@session
async def test_a_valid_service_is_accepted(real: Api, definitions: list[Answer]) -> None:
    answer = await create(real, o.INFERENCE_SERVICES, SERVICE)
    assert answer.status == 201, answer
    assert condition(answer.body, "Ready") is None


def service(**engine: Any) -> Object:
    return {"spec": {"model": {"name": "m"}, "engine": engine}}


REFUSED = {
    "required name of the model": ({"spec": {"model": {}}}, "spec.model.name"),
    "minReplicas above maxReplicas": (service(minReplicas=3, maxReplicas=2), "spec.engine"),
    "negative minReplicas": (service(minReplicas=-1), "spec.engine.minReplicas"),
    "both budgets": (service(minAvailable=1, maxUnavailable=1), "spec.engine"),
    "canary above 100": (service(canaryTrafficPercent=101), "spec.engine.canaryTrafficPercent"),
    "wrong type": (service(minReplicas="two"), "spec.engine.minReplicas"),
    "decoder without engine": (
        {"spec": {"model": {"name": "m"}, "decoder": {"minReplicas": 1}}},
        "spec",
    ),
    "scaleMetric out of its enumeration": (
        service(scaleMetric="moonlight"),
        "spec.engine.scaleMetric",
    ),
    "a container twice": (
        service(containers=[{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]),
        "spec.engine.containers[1]",
    ),
    "a quantity that is none": (
        service(runner={"name": "r", "resources": {"limits": {"cpu": "much"}}}),
        "spec.engine.runner.resources.limits.cpu",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@session
async def test_a_violation_is_refused_with_the_path_of_its_field(
    real: Api, definitions: list[Answer], case: str
) -> None:
    obj, path = REFUSED[case]
    answer = await create(real, o.INFERENCE_SERVICES, obj)
    assert answer.status == 422, answer
    causes = answer.body["details"]["causes"]
    assert path in [cause["field"] for cause in causes], causes


@session
async def test_an_unknown_field_is_refused_in_strict_mode_only(
    real: Api, definitions: list[Answer]
) -> None:
    answer = await create(real, o.INFERENCE_SERVICES, service(replicas=3))
    assert answer.status == 400
    assert 'unknown field "spec.engine.replicas"' in answer.body["message"]


@session
async def test_a_benchmark_has_exactly_one_endpoint(real: Api, definitions: list[Answer]) -> None:
    job = next(m.object["spec"] for m in corpus.manifests() if m.object["kind"] == "BenchmarkJob")
    both: Object = {
        "inferenceService": {"name": "a", "namespace": "b"},
        "endpoint": {"url": "http://a", "apiFormat": "openai", "modelName": "m"},
    }
    for endpoint in ({}, both):
        answer = await create(real, o.BENCHMARK_JOBS, {"spec": {**job, "endpoint": endpoint}})
        assert answer.status == 422, answer
        assert "exactly one" in answer.body["message"]
