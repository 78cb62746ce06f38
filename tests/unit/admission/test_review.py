from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.fakes.objects import model, runtime, service

from ome.admission import OmeAdmission, Review
from ome.api import resources as o
from ome.apimachinery.objects import Resource

Object = dict[str, Any]


class View:
    def __init__(self, *objects: Object, mode: str = "RawDeployment") -> None:
        config = {
            "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
            "data": {"deploy": json.dumps({"defaultDeploymentMode": mode})},
        }
        self._objects = [config, *objects]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        found = (i for i in self.list(resource, namespace) if i["metadata"]["name"] == name)
        return next(found, None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [
            item
            for item in self._objects
            if item["kind"] == resource.kind
            and (not namespace or item["metadata"].get("namespace", "") == namespace)
        ]


def review(
    obj: Object, *others: Object, old: Object | None = None, mode: str = "RawDeployment"
) -> Review:
    resource = o.by_kind(obj["kind"])
    assert resource is not None
    operation = "UPDATE" if old else "CREATE"
    return OmeAdmission().review(operation, resource, obj, old, View(*others, mode=mode))


def annotated(obj: Object, **annotations: str) -> Object:
    obj["metadata"]["annotations"] = {f"ome.io/{k}": v for k, v in annotations.items()}
    return obj


def mode_of(found: Review) -> str | None:
    assert found.patched is not None
    annotations: dict[str, str] = found.patched["metadata"].get("annotations") or {}
    return annotations.get("ome.io/deploymentMode")


@pytest.mark.parametrize(
    ("spec", "mode", "stamped"),
    [
        ({}, "RawDeployment", "RawDeployment"),
        ({}, "Serverless", None),
        ({"decoder": {}}, "RawDeployment", "PDDisaggregated"),
        ({"engine": {"leader": {}, "worker": {"size": 2}}}, "RawDeployment", "MultiNode"),
        ({"engine": {"leader": {}, "worker": {"size": 0}}}, "RawDeployment", "RawDeployment"),
    ],
)
def test_the_deployment_mode_is_stamped(spec: Object, mode: str, stamped: str | None) -> None:
    assert mode_of(review(service(**spec), mode=mode)) == stamped


def test_a_mode_given_by_hand_stays_and_a_derived_one_follows_the_spec() -> None:
    assert mode_of(review(annotated(service(), deploymentMode="Serverless"))) == "Serverless"
    first = review(service()).patched
    assert first is not None
    second = copy.deepcopy(first)
    second["spec"]["decoder"] = {}
    assert mode_of(review(second, old=first)) == "PDDisaggregated"


def test_replicas_get_defaults_that_never_contradict() -> None:
    found = review(service(engine={"minReplicas": 5}, router={}, decoder={"minReplicas": 0}))
    assert found.patched is not None
    spec = found.patched["spec"]
    assert (spec["engine"]["minReplicas"], spec["engine"]["maxReplicas"]) == (5, 5)
    assert (spec["router"]["minReplicas"], spec["router"]["maxReplicas"]) == (1, 2)
    assert (spec["decoder"]["minReplicas"], spec["decoder"]["maxReplicas"]) == (0, 3)


def test_a_runtimes_own_replica_counts_are_not_hidden() -> None:
    counts = runtime()
    counts["spec"]["engineConfig"]["minReplicas"] = 4
    found = review(service(runtime={"name": "rt"}), counts, model())
    assert found.patched is not None
    assert "minReplicas" not in found.patched["spec"]["engine"]


@pytest.mark.parametrize("name", ["a", "a-1"])
def test_good_names_pass(name: str) -> None:
    assert not review(service(name)).errors


@pytest.mark.parametrize("name", ["A", "1a", "a_b", "a.b", "a-"])
def test_bad_names_are_refused(name: str) -> None:
    assert review(service(name)).errors[0].path == "metadata.name"


@pytest.mark.parametrize(
    ("annotations", "refused"),
    [
        ({"autoscalerClass": "HPA"}, True),
        ({"autoscalerClass": "hpa", "metrics": "gpu"}, True),
        ({"autoscalerClass": "hpa", "metrics": "cpu"}, False),
        ({"autoscalerClass": "external"}, False),
        ({"targetUtilizationPercentage": "0"}, True),
        ({"targetUtilizationPercentage": "101"}, True),
        ({"targetUtilizationPercentage": "abc"}, True),
        ({"targetUtilizationPercentage": "80"}, False),
    ],
)
def test_scaling_annotations(annotations: dict[str, str], refused: bool) -> None:
    assert bool(review(annotated(service(), **annotations)).errors) is refused


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"scalingOperator": "Equal"}, True),
        ({"scalingThreshold": "abc"}, True),
        ({"scalingThreshold": "NaN"}, True),
        ({"scalingThreshold": "0.5"}, False),
        ({"promServerAddress": "prometheus:9090"}, True),
        ({"promServerAddress": "ftp://x"}, True),
        ({"promServerAddress": "http://"}, True),
        ({"promServerAddress": "https://prom:9090/x"}, False),
        ({"authModes": "tls, basic"}, False),
        ({"authModes": "oauth"}, True),
    ],
)
def test_keda_is_checked_wherever_it_is_written(config: Object, refused: bool) -> None:
    assert bool(review(service(kedaConfig=config)).errors) is refused
    assert bool(review(service(engine={"kedaConfig": config})).errors) is refused


def test_all_problems_are_reported_at_once_with_their_fields() -> None:
    bad = annotated(service("Bad"), autoscalerClass="x", targetUtilizationPercentage="0")
    bad["spec"] = {"decoder": {"minReplicas": 3, "maxReplicas": 1, "canaryTrafficPercent": 101}}
    paths = {error.path for error in review(bad).errors}
    assert paths >= {
        "metadata.name",
        "metadata.annotations[ome.io/autoscalerClass]",
        "metadata.annotations[ome.io/targetUtilizationPercentage]",
        "spec.engine",
        "spec.decoder.maxReplicas",
        "spec.decoder.canaryTrafficPercent",
    }


def test_nothing_to_run_is_refused_and_a_complete_runner_is_enough() -> None:
    nothing = service()
    del nothing["spec"]["model"]
    assert review(nothing).errors[0].path == "spec.model"
    own = copy.deepcopy(nothing)
    own["spec"]["engine"] = {"runner": {"image": "x"}}
    assert not review(own).errors
    group = copy.deepcopy(nothing)
    part = {"runner": {"image": "x"}}
    group["spec"]["engine"] = {"leader": part, "worker": {**part, "size": 1}}
    assert not review(group).errors


def test_what_depends_on_the_order_of_applying_is_a_warning() -> None:
    assert "does not exist yet" in review(service()).warnings[0]
    assert "disabled" in review(service(), model(disabled=True)).warnings[0]
    unfit = runtime(modelArchitecture="GemmaForCausalLM")
    warned = review(service(), model(), unfit).warnings[0]
    assert "no runtime fits" in warned
    assert "What to do" in warned
    chosen = review(service(), model(), runtime()).warnings
    assert chosen == ["Runtime rt will be auto-selected for model tiny"]


def test_an_object_that_is_being_deleted_or_gets_no_worse_always_passes() -> None:
    bad = service("Bad")
    labelled = copy.deepcopy(bad)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert not review(labelled, old=bad).errors
    leaving = copy.deepcopy(bad)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = review(leaving, old=bad)
    assert found.patched == leaving
    assert not found.errors
    worse = copy.deepcopy(bad)
    worse["spec"]["engine"] = {"minReplicas": -1}
    assert [e.path for e in review(worse, old=bad).errors] == ["spec.engine.minReplicas"]


def test_a_predictor_is_migrated_without_losing_anything() -> None:
    old = service()
    old["spec"] = {
        "predictor": {
            "minReplicas": 2,
            "model": {
                "baseModel": "tiny",
                "runtime": "rt",
                "storageUri": "hf://x/y",
                "protocolVersion": "openAI",
                "env": [{"name": "A", "value": "1"}],
                "args": ["--x"],
            },
            "containers": [{"name": "a"}, {"name": "my-OME-srv"}, {"name": "b"}],
        }
    }
    found = review(old, model(), runtime())
    assert found.patched is not None
    spec = found.patched["spec"]
    assert spec["engine"]["runner"]["name"] == "my-OME-srv"
    assert [item["name"] for item in spec["engine"]["containers"]] == ["a", "b"]
    assert spec["engine"]["runner"]["args"] == ["--x"]
    assert [item["name"] for item in spec["engine"]["runner"]["env"]] == [
        "A",
        "STORAGE_URI",
        "PROTOCOL_VERSION",
    ]
    assert spec["model"] == {"name": "tiny", "kind": "ClusterBaseModel"}
    assert spec["runtime"] == {"name": "rt", "kind": "ClusterServingRuntime"}
    assert (spec["engine"]["minReplicas"], spec["engine"]["maxReplicas"]) == (2, 3)
    assert "predictor" in spec
    assert "ome.io/deprecation-warning" in found.patched["metadata"]["annotations"]
    assert mode_of(found) == "RawDeployment"
    again = review(found.patched, model(), runtime(), old=found.patched)
    assert again.patched == found.patched


def test_an_empty_predictor_means_nothing() -> None:
    found = review(service(predictor={}), model(), runtime())
    assert found.patched is not None
    assert "ome.io/deprecation-warning" not in found.patched["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"workers": {"size": 0}}, "spec.workers.size"),
        ({"engineConfig": {"worker": {"size": 1}}}, "spec.engineConfig.leader"),
        ({"modelSizeRange": {"min": "9B", "max": "1B"}}, "spec.modelSizeRange"),
        (
            {
                "supportedModelFormats": [
                    {"name": "x", "autoSelect": True, "priority": 1},
                    {"name": "x", "autoSelect": True, "priority": 2},
                ]
            },
            "spec.supportedModelFormats[1].priority",
        ),
    ],
)
def test_runtimes_that_contradict_themselves_are_refused(spec: Object, path: str) -> None:
    bad = runtime()
    bad["spec"].update(spec)
    assert [error.path for error in review(bad).errors] == [path]
    bad["spec"]["disabled"] = True
    assert not review(bad).errors


def test_missing_accelerator_classes_and_ties_are_warnings() -> None:
    one = runtime("one")
    one["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["a100", "h100"]}
    warned = review(one, runtime("two")).warnings
    assert "a100, h100" in warned[0]
    assert "two takes the same models" in warned[1]


@pytest.mark.parametrize("uri", ["nonsense", "ftp://x/y", "hf://"])
def test_models_from_nowhere_are_refused(uri: str) -> None:
    assert review(model(storage={"storageUri": uri})).errors[0].path == "spec.storage.storageUri"


def test_model_paths_must_be_clean() -> None:
    storage = {"storageUri": "hf://a/b", "path": "/raid/../etc"}
    assert review(model(storage=storage)).errors[0].path == "spec.storage.path"


@pytest.mark.parametrize(
    ("task", "scenario", "good"),
    [
        ("text-to-text", "N(1,2)/(3,4)", True),
        ("text-to-text", "N(1,2)/(3,4)junk", False),
        ("text-to-text", "xxU(1,2)yy", False),
        ("text-to-text", "D(100,100)", True),
        ("text-to-embeddings", "E(64)", True),
        ("image-to-text", "I(512,512)", True),
        ("image-to-text", "E(64)", False),
    ],
)
def test_benchmark_scenarios(task: str, scenario: str, good: bool) -> None:
    job = {
        "kind": "BenchmarkJob",
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {
            "endpoint": {"inferenceService": {"name": "s", "namespace": "n"}},
            "task": task,
            "trafficScenarios": [scenario],
            "outputLocation": {"storageUri": "pvc://x/y"},
        },
    }
    assert bool(review(job).errors) is not good
