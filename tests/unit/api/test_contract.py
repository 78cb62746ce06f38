"""The contract is kept: 272 of 272 fields, at every place where they appear, with their type.

``contract.json`` is the contract's table (56 types; name and Go type of each field). The test walks
the CRDs' schemas along it, from each kind down, so a field that is missing at one of its many
places (a pod spec appears a dozen times) is named with its path.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ome.api import resources as o
from ome.api.crds import crd
from ome.apimachinery.structural import structural

TABLE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "contract.json").read_text())
KINDS = [resource for resource in o.ALL if resource.kind in TABLE]

INT = {"type": "integer"}
TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
SCALARS: dict[str, dict[str, Any]] = {
    "string": TEXT,
    "bool": FLAG,
    "int": INT,
    "int32": {**INT, "format": "int32"},
    "int64": {**INT, "format": "int64"},
    "ComponentType": TEXT,
    "k8s.io/apimachinery/pkg/apis/meta/v1.Time": {**TEXT, "format": "date-time"},
    "k8s.io/apimachinery/pkg/runtime.RawExtension": {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    },
    "knative.dev/pkg/apis.URL": TEXT,
    "github.com/sgl-project/ome/pkg/constants.InferenceServiceProtocol": TEXT,
}
ENUMS = {"DNSPolicy", "PreemptionPolicy", "RestartPolicy"}
"""Types of Kubernetes that are plain strings."""
KNATIVE: dict[str, dict[str, Any]] = {
    "knative.dev/pkg/apis/duck/v1.Status": {
        "observedGeneration": SCALARS["int64"],
        "conditions": {"type": "array"},
        "annotations": {"type": "object"},
    },
    "knative.dev/pkg/apis/duck/v1.Addressable": {
        "name": TEXT, "url": TEXT, "CACerts": TEXT, "audience": TEXT,
    },
    "knative.dev/serving/pkg/apis/serving/v1.TrafficTarget": {
        "configurationName": TEXT, "revisionName": TEXT, "tag": TEXT, "latestRevision": FLAG,
        "percent": SCALARS["int64"], "url": TEXT,
    },
}  # fmt: skip

Seen = Counter[tuple[str, str]]


@cache
def definition(name: str) -> dict[str, Any]:
    return structural(name)


def definition_name(go: str) -> str:
    group, _, kind = go.removeprefix("k8s.io/api/").rpartition(".")
    return f"io.k8s.api.{group.replace('/', '.')}.{kind}"


def walk(schema: dict[str, Any], type_: str, path: str, seen: Seen) -> Iterator[str]:
    """Problems with the schema of a contract type, and of everything below it."""
    properties = schema.get("properties") or {}
    for name, declared in TABLE[type_]["fields"].items():
        seen[type_, name] += 1
        go, _, embedded = declared.partition(" ")
        if embedded:
            yield from check(schema, go, path, seen)
        elif name not in properties:
            yield f"{path}.{name}: missing"
        else:
            yield from check(properties[name], go, f"{path}.{name}", seen)


def check(schema: dict[str, Any], go: str, path: str, seen: Seen) -> Iterator[str]:
    """Problems with the schema of a value of that Go type."""
    if go.startswith("[]"):
        if schema.get("type") != "array" or "items" not in schema:
            yield f"{path}: {schema.get('type')}, not a list"
        else:
            yield from check(schema["items"], go[2:], f"{path}[]", seen)
    elif go.startswith("map["):
        values = schema.get("additionalProperties")
        if schema.get("type") != "object" or not values:
            yield f"{path}: {schema.get('type')}, not a map"
        else:
            yield from check(values, go.partition("]")[2], f"{path}{{}}", seen)
    elif go in TABLE and TABLE[go]["fields"]:
        if schema.get("type") != "object":
            yield f"{path}: {schema.get('type')}, not an object"
        else:
            yield from walk(schema, go, path, seen)
    elif go in TABLE:
        expected = {"type": "object"} if go == "ServingRuntimeStatus" else TEXT
        yield from same(schema, expected, path)
    elif go in SCALARS:
        yield from same(schema, SCALARS[go], path)
    elif go in KNATIVE:
        for name, expected in KNATIVE[go].items():
            yield from same((schema.get("properties") or {}).get(name) or {}, expected,
                            f"{path}.{name}")  # fmt: skip
    elif go.rpartition(".")[2] in ENUMS:
        yield from same(schema, TEXT, path)
    elif go.endswith(".ResourceList"):
        values = schema.get("additionalProperties") or {}
        if not values.get("x-kubernetes-int-or-string"):
            yield f"{path}: not a map of quantities"
    else:
        yield from covers(schema, definition(definition_name(go)), path)


def same(schema: dict[str, Any], expected: dict[str, Any], path: str) -> Iterator[str]:
    for key, value in expected.items():
        if schema.get(key) != value:
            yield f"{path}: {key} is {schema.get(key)!r}, not {value!r}"
    if expected.get("type") == "integer" and "format" not in expected and "format" in schema:
        yield f"{path}: has a format that the contract doesn't know"


STRUCTURE = (
    "type", "format", "x-kubernetes-int-or-string", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
)  # fmt: skip


def covers(schema: dict[str, Any], whole: dict[str, Any], path: str) -> Iterator[str]:
    """Where ``schema`` has less than Kubernetes' own definition, to any depth."""
    for key in STRUCTURE:
        if key in whole and schema.get(key) != whole[key]:
            yield f"{path}: {key} is {schema.get(key)!r}, not {whole[key]!r}"
    for name, below in (whole.get("properties") or {}).items():
        mine = (schema.get("properties") or {}).get(name)
        if mine is None:
            yield f"{path}.{name}: missing"
        else:
            yield from covers(mine, below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(whole.get(key), dict):
            yield from covers(schema.get(key) or {}, whole[key], f"{path}[]")


def test_every_field_of_the_contract_is_in_the_crds_at_every_place() -> None:
    seen: Seen = Counter()
    problems: list[str] = []
    for resource in KINDS:
        schema = crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        problems += walk(schema, resource.kind, resource.kind, seen)
    assert problems == []
    declared = {(t, name) for t, entry in TABLE.items() for name in entry["fields"]}
    assert len(TABLE) == 56
    assert len(declared) == 272
    assert declared - seen.keys() == set(), "fields that no kind reaches"
    assert seen["PodSpec", "ephemeralContainers"] == 9 + 7 + 7, "pod specs of a service, a runtime"


@pytest.mark.parametrize("resource", KINDS, ids=str)
def test_what_the_contract_calls_required_but_real_objects_leave_out_is_not(
    resource: o.Resource,
) -> None:
    schema = crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert "status" not in (schema.get("required") or ())
    spec = schema["properties"]["spec"]
    required = set(spec.get("required") or ())
    assert required == {
        "BaseModel": {"storage"},
        "ClusterBaseModel": {"storage"},
        "FineTunedWeight": {"baseModelRef", "modelType", "hyperParameters", "storage"},
        "BenchmarkJob": {
            "endpoint", "task", "maxTimePerIteration", "maxRequestsPerIteration",
            "outputLocation",
        },
    }.get(resource.kind, set())  # fmt: skip
