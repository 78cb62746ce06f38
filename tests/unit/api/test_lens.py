"""Lenses type what is ours, lose nothing, and name every wrong field."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ome.api import inferenceservice, model, runtime, weight
from ome.api.lens import DecodeError, members
from ome.api.reasons import REASONS

SERVICE: dict[str, Any] = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "svc", "namespace": "ns", "creationTimestamp": None},
    "spec": {
        "model": {"name": "m"},
        "engine": {
            "minReplicas": 2,
            "nodeSelector": {"a": "b"},
            "fieldOfTheYear2030": {"x": 1},
            "runner": {"name": "ome-container", "image": "i:1", "newContainerField": True},
            "worker": {"size": 1, "hostNetwork": True},
            "kedaConfig": None,
        },
    },
}


def test_own_fields_are_typed_and_the_pod_spec_is_kept_as_it_is() -> None:
    spec = inferenceservice.decode(SERVICE).spec
    engine = spec.engine
    assert engine is not None and engine.runner is not None and engine.worker is not None
    assert engine.min_replicas == 2
    assert engine.pod_spec == {"nodeSelector": {"a": "b"}, "fieldOfTheYear2030": {"x": 1}}
    assert engine.runner.container == SERVICE["spec"]["engine"]["runner"]
    assert engine.worker.size == 1
    assert engine.worker.pod_spec == {"hostNetwork": True}


def test_defaults_of_the_schema_hold_in_code_too() -> None:
    spec = inferenceservice.decode(SERVICE).spec
    assert spec.model is not None
    assert (spec.model.kind, spec.model.api_group) == ("ClusterBaseModel", "ome.io")
    entry = model.ModelFormat(name="gguf")
    assert (entry.operator, entry.weight) == ("Equal", 1)


def test_null_reads_as_absent_and_raw_still_knows() -> None:
    service = inferenceservice.decode(SERVICE)
    assert service.spec.engine is not None
    assert service.spec.engine.keda_config is None
    assert "kedaConfig" in service.spec.engine.raw
    assert "maxReplicas" not in service.spec.engine.raw


def test_looking_changes_nothing() -> None:
    before = copy.deepcopy(SERVICE)
    assert inferenceservice.decode(SERVICE).raw is SERVICE
    assert before == SERVICE


def test_every_wrong_field_is_named_by_its_path() -> None:
    broken = {
        "kind": "ClusterServingRuntime",
        "metadata": {"name": "r", "labels": {"a": 1}},
        "spec": {
            "supportedModelFormats": [
                {"modelFormat": {"name": "x", "weight": "heavy"}, "modelFramework": {"name": "y"}},
                {"modelFormat": {}, "modelFramework": {"name": "y"}, "priority": True},
            ],
            "engineConfig": {"minReplicas": "2", "labels": {"ok": "yes", "bad": 3}},
            "protocolVersions": ["openAI", 7],
            "routerConfig": "none",
        },
    }
    with pytest.raises(DecodeError) as caught:
        runtime.decode(broken)
    formats = "spec.supportedModelFormats"
    assert {error.path: error.message for error in caught.value.errors} == {
        "metadata.labels[a]": "must be a string, not an integer",
        f"{formats}[0].modelFormat.weight": "must be an integer, not a string",
        f"{formats}[1].modelFormat.name": "is required",
        f"{formats}[1].priority": "must be an integer, not true or false",
        "spec.engineConfig.minReplicas": "must be an integer, not a string",
        "spec.engineConfig.labels[bad]": "must be a string, not an integer",
        "spec.protocolVersions[1]": "must be a string, not an integer",
        "spec.routerConfig": "must be an object, not a string",
    }
    assert "'r'" in str(caught.value)


@pytest.mark.parametrize("broken", [{"kind": "BaseModel"}, {"kind": "BaseModel", "spec": []}])
def test_a_missing_or_impossible_spec_is_an_error_not_a_crash(broken: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        model.decode(broken)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    service = copy.deepcopy(SERVICE)
    service["spec"]["engine"]["minReplicas"] = 2.0
    engine = inferenceservice.decode(service).spec.engine
    assert engine is not None and engine.min_replicas == 2


def test_kinds_are_told_apart() -> None:
    storage = {"storage": {"storageUri": "hf://a/b"}}
    assert type(model.decode({"kind": "BaseModel", "spec": storage})) is model.BaseModel
    cluster = model.decode({"kind": "ClusterBaseModel", "spec": storage})
    assert type(cluster) is model.ClusterBaseModel


def test_fine_tuning_facts_are_read_in_any_letter_case() -> None:
    spec = {
        "baseModelRef": {"name": "b"}, "modelType": "LoRA", "storage": {"storageUri": "hf://a/b"},
        "hyperParameters": {"strategy": "TFew"}, "configuration": {"merged_weights": "True"},
    }  # fmt: skip
    lens = weight.decode({"kind": "FineTunedWeight", "spec": spec}).spec
    assert weight.strategy(lens) == "tfew"
    assert weight.merged_weights(lens)


def test_a_runtime_without_protocols_speaks_any() -> None:
    spec = runtime.ServingRuntimeSpec
    assert runtime.supports_protocol(spec(), "openAI")
    assert runtime.supports_protocol(spec(protocol_versions=("openAI",)), "")
    assert not runtime.supports_protocol(spec(protocol_versions=("openAI",)), "openai")


def test_failure_reasons_of_the_status_are_not_mixed_up_with_conditions() -> None:
    assert "BaseModelNotFound" in REASONS
    assert set(inferenceservice.FailureReason) >= {"ModelLoadFailed", "BaseModelDisabled"}
    assert members(inferenceservice.FailureInfo)[1].name == "reason"
