"""CRDs: deterministic, documented, small enough, and as lenient as the existing ones."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ome.api import resources as o
from ome.api.crds import KINDS, all_crds, crd
from ome.api.fields import Field, Kubernetes
from ome.api.lens import Lens, Member, members
from ome.apimachinery.objects import Resource
from ome.apimachinery.schema import Schema

Object = dict[str, Any]


def schema_of(resource: Resource) -> Object:
    found: Object = crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def below(schema: Object, path: str) -> Object:
    for step in path.split("."):
        schema = schema["items"] if step == "[]" else schema["properties"][step]
    return schema


@pytest.mark.parametrize("resource", o.ALL, ids=str)
def test_the_same_code_gives_the_same_bytes_and_few_enough(resource: Resource) -> None:
    first = json.dumps(crd(resource), separators=(",", ":"))
    assert first == json.dumps(crd(resource), separators=(",", ":"))
    assert len(first) < 1_000_000, "etcd takes 1.5 MB"


def test_there_are_eight_with_the_names_of_the_contract() -> None:
    assert [c["metadata"]["name"] for c in all_crds()] == [f"{r.plural}.ome.io" for r in o.ALL]
    names = crd(o.INFERENCE_SERVICES)["spec"]["names"]
    assert (names["shortNames"], names["categories"]) == (["isvc"], ["ome"])
    assert {r.kind for r in o.ALL if not r.namespaced} == {
        "ClusterServingRuntime", "ClusterBaseModel", "FineTunedWeight", "AcceleratorClass",
    }  # fmt: skip


@pytest.mark.parametrize("resource", o.ALL, ids=str)
def test_columns_point_at_fields_that_exist(resource: Resource) -> None:
    schema = schema_of(resource)
    for column in crd(resource)["spec"]["versions"][0]["additionalPrinterColumns"]:
        node = schema
        path = column["jsonPath"].lstrip(".").replace("[*]", "").split("[")[0]
        steps = re.split(r"(?<!\\)\.", path)
        if steps[0] == "metadata":
            continue
        for step in steps:
            node = node.get("items") or node
            node = node.get("additionalProperties") or node["properties"][step]


def structs(cls: type[Lens], seen: set[type[Lens]]) -> Iterator[type[Lens]]:
    if cls in seen:
        return
    seen.add(cls)
    yield cls
    for member in members(cls):
        if member.item is not None:
            yield from structs(member.item, seen)


def embeds(member: Member) -> bool:
    return any(isinstance(note, Kubernetes) for note in member.notes)


def test_every_own_field_has_a_meaning_and_an_example_or_a_default() -> None:
    seen: set[type[Lens]] = set()
    silent = []
    for kind in KINDS.values():
        for cls in structs(kind, seen):
            for member in members(cls):
                if (
                    member.name in ("apiVersion", "kind", "metadata")
                    or cls.__name__ == "ObjectMeta"
                ):
                    continue
                facts = next((n for n in member.notes if isinstance(n, Field)), None)
                if facts is None or not facts.doc.endswith("."):
                    silent.append(f"{cls.__name__}.{member.name}")
                elif member.shape == "leaf" and not (
                    facts.example is not None or facts.default or facts.schema or embeds(member)
                ):
                    silent.append(f"{cls.__name__}.{member.name}: no example")
    assert silent == []


def test_examples_are_valid_values() -> None:
    seen: set[type[Lens]] = set()
    wrong = []
    for kind in KINDS.values():
        for cls in structs(kind, seen):
            for member in members(cls):
                facts = next((n for n in member.notes if isinstance(n, Field)), None)
                if facts is None or facts.example is None:
                    continue
                if facts.enum and facts.example not in facts.enum:
                    wrong.append(f"{cls.__name__}.{member.name}")
    assert wrong == []


def test_a_services_parts_need_not_be_complete() -> None:
    schema = schema_of(o.INFERENCE_SERVICES)
    assert "required" not in below(schema, "spec.engine.runner")
    assert "required" not in below(schema, "spec.predictor.model")
    assert "required" not in below(schema, "spec.kedaConfig.authenticationRef")
    assert below(schema, "spec.engine.kedaConfig.authenticationRef")["required"] == ["name"]
    assert below(schema, "spec.engine.containers.[]")["required"] == ["name"]
    assert "required" not in below(schema, "spec.engine.runner.readinessProbe.httpGet")
    assert below(schema, "spec.model")["required"] == ["name"]
    assert schema["properties"]["status"]["x-kubernetes-preserve-unknown-fields"] is True


def test_a_runtimes_parts_must_be() -> None:
    schema = schema_of(o.CLUSTER_SERVING_RUNTIMES)
    assert below(schema, "spec.engineConfig.runner")["required"] == ["name"]
    port = below(schema, "spec.engineConfig.runner.ports.[].protocol")
    assert port["default"] == "TCP"
    entry = below(schema, "spec.supportedModelFormats.[]")
    assert entry["required"] == ["modelFormat", "modelFramework"]


@pytest.mark.parametrize(
    ("resource", "path", "expected"),
    [
        (o.INFERENCE_SERVICES, "spec.model.kind", "ClusterBaseModel"),
        (o.INFERENCE_SERVICES, "spec.model.apiGroup", "ome.io"),
        (o.INFERENCE_SERVICES, "spec.runtime.kind", "ClusterServingRuntime"),
        (o.INFERENCE_SERVICES, "status.modelStatus.transitionStatus", "UpToDate"),
        (o.INFERENCE_SERVICES, "status.modelStatus.modelCopies.failedCopies", 0),
        (
            o.INFERENCE_SERVICES,
            "status.modelStatus.modelRevisionStates.activeModelState",
            "Pending",
        ),
        (o.INFERENCE_SERVICES, "status.modelStatus.modelRevisionStates.targetModelState", ""),
        (o.BASE_MODELS, "spec.modelFormat.operator", "Equal"),
        (o.BASE_MODELS, "spec.modelFramework.weight", 1),
        (o.ACCELERATOR_CLASSES, "spec.resources.[].quantity", "1"),
        (
            o.INFERENCE_SERVICES,
            "spec.engine.kedaConfig.authenticationRef.kind",
            "TriggerAuthentication",
        ),
    ],
)
def test_defaults_of_the_contract(resource: Resource, path: str, expected: Any) -> None:
    assert below(schema_of(resource), path)["default"] == expected


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (o.BASE_MODELS, "spec.storage.storageUri"),
        (o.BASE_MODELS, "spec.quantization"),
        (o.BASE_MODELS, "spec.servingMode.[]"),
        (o.BASE_MODELS, "spec.modelCapabilities.[]"),
        (o.BASE_MODELS, "spec.modelFormat.operator"),
        (o.BASE_MODELS, "status.lifecycle"),
        (o.ACCELERATOR_CLASSES, "spec.cost.tier"),
        (o.SERVING_RUNTIMES, "spec.protocolVersions.[]"),
        (o.INFERENCE_SERVICES, "spec.model.kind"),
    ],
)
def test_open_values_stay_open(resource: Resource, path: str) -> None:
    node = below(schema_of(resource), path)
    assert "enum" not in node
    assert "pattern" not in node


def test_enumerations_are_enforced_where_they_were() -> None:
    schema = Schema.from_crd(schema_of(o.INFERENCE_SERVICES))
    for metric, right in (("rps", True), ("tps", False)):
        obj = {"spec": {"engine": {"scaleMetric": metric}}}
        assert (schema.validate(obj) == []) is right
    reason = below(schema_of(o.INFERENCE_SERVICES), "status.modelStatus.lastFailureInfo.reason")
    assert len(reason["enum"]) == 15


def test_a_crd_can_be_changed_without_changing_the_next() -> None:
    first = crd(o.INFERENCE_SERVICES)
    kept = copy.deepcopy(first)
    first["spec"]["versions"][0]["schema"].clear()
    below(schema_of(o.SERVING_RUNTIMES), "spec.engineConfig.nodeSelector").clear()
    assert crd(o.INFERENCE_SERVICES) == kept


def test_rules_are_few_and_each_says_what_is_wrong() -> None:
    rules = Schema.from_crd(schema_of(o.INFERENCE_SERVICES)).cel_rules()
    assert all(rule.message for rule in rules)
    assert not any("[]" in rule.path for rule in rules), "a rule per item costs the server more"
    assert 10 <= len(rules) <= 30
