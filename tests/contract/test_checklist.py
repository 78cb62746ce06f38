"""Every line of the checklist is held by tests that exist; those that were missing are here."""

from __future__ import annotations

import ast
import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.contract.checklist import CHECKLIST, DEFECTS, Item
from tests.contract.effects_status import crashes, nothing_yet
from tests.contract.world import World, weight
from tests.fakes.objects import model, runtime, service
from tests.fakes.view import FixedView

from ome.admission import OmeAdmission, Review
from ome.api import constants as c
from ome.api import resources as o
from ome.api.inferenceservice import FailureReason
from ome.api.weight import decode
from ome.cli.checks import schema_of
from ome.selection import SelectionInput, select_runtime

Object = dict[str, Any]
ROOT = Path(__file__).parents[2]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("item", [*DEFECTS, *CHECKLIST], ids=lambda item: item.holds)
def test_a_line_is_held_by_tests_that_exist(item: Item) -> None:
    assert item.tests
    for test in item.tests:
        path, _, name = test.partition("::")
        assert name in functions(path), test


def test_no_defect_is_left_out() -> None:
    assert [item.number for item in DEFECTS] == list(range(1, 31))


def review(obj: Object, *others: Object, old: Object | None = None, **how: Any) -> Review:
    resource = o.by_kind(obj["kind"])
    assert resource is not None
    operation = "UPDATE" if old else "CREATE"
    return OmeAdmission(**how).review(operation, resource, obj, old, FixedView(*others))


# --- services -------------------------------------------------------------------------------------


def test_a_service_that_says_pddisaggregated_is_rendered() -> None:
    world = World()
    world.service["metadata"]["annotations"] = {c.A_DEPLOYMENT_MODE: c.MODE_PD_DISAGGREGATED}
    world.service["spec"]["decoder"] = {}
    world.runtime["spec"]["decoderConfig"] = {"runner": {"name": "d", "image": "engine:1"}}
    seen = world.seen()
    assert seen.problem == ""
    assert seen.pod("decoder")["containers"]


def test_no_workers_is_one_deployment_and_the_annotation_says_so() -> None:
    world = World(admit=True)
    leader = {"runner": {"name": "ome-container", "image": "leader:1"}}
    world.service["spec"]["engine"] = {"leader": leader, "worker": {"size": 0}}
    seen = world.seen()
    assert seen.review.errors == []
    assert seen.main()["image"] == "leader:1"
    assert seen.main()["readinessProbe"], "as every Deployment has it"
    world.service["spec"]["engine"]["worker"]["size"] = -1
    assert world.seen().refusals == ["spec.engine.worker.size"]


def test_both_bounds_of_disruption_are_refused() -> None:
    both = service(engine={"minAvailable": 1, "maxUnavailable": 1})
    assert [error.path for error in review(both).errors] == ["spec.engine.maxUnavailable"]
    labelled = copy.deepcopy(both)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert not review(labelled, old=both).errors, "stored under other rules"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "there is no runtime rt"),
        ({"disabled": True}, "rt is disabled"),
        ({"modelSizeRange": {"min": "7B"}}, "rt does not support"),
    ],
    ids=["missing", "disabled", "does not fit"],
)
def test_a_named_runtime_that_can_not_serve_is_warned_about(made: Object | None, said: str) -> None:
    objects = [model()]
    if made is not None:
        objects.append(runtime())
        objects[-1]["spec"].update(made)
    warned = review(service(runtime={"name": "rt"}), *objects)
    assert not warned.errors, "it may still be applied, or mended"
    assert any(said in warning for warning in warned.warnings), warned.warnings


def test_modes_of_authentication_without_a_reference_are_warned_about() -> None:
    keda = {"enableKeda": True, "authModes": "tls"}
    for spec in ({"kedaConfig": keda}, {"engine": {"kedaConfig": keda}}):
        warnings = review(service(**spec)).warnings
        assert any("authModes has no effect" in warning for warning in warnings)
    named = {**keda, "authenticationRef": {"name": "login"}}
    assert not any("authModes" in w for w in review(service(kedaConfig=named)).warnings)


def test_a_long_name_is_warned_about() -> None:
    assert not any("characters" in w for w in review(service("a" * 55)).warnings)
    assert any("56 characters" in w for w in review(service("a" * 56)).warnings)


def test_every_failure_fits_into_the_schema_of_the_status() -> None:
    world = nothing_yet()
    crashes(world)
    schema = schema_of(o.INFERENCE_SERVICES)
    written = world.seen().status
    assert written["modelStatus"]["lastFailureInfo"]
    for reason in FailureReason:
        written["modelStatus"]["lastFailureInfo"]["reason"] = reason.value
        assert schema.validate({**world.service, "status": written}) == []


# --- migration ------------------------------------------------------------------------------------


def old_service() -> Object:
    old = service()
    old["spec"] = {"predictor": {"model": {"baseModel": "tiny"}, "minReplicas": 2}}
    return old


def test_migration_can_be_switched_off_and_the_warning_stays() -> None:
    found = review(old_service(), model(), runtime(), migrate_predictors=False)
    assert found.patched is not None
    assert "engine" not in found.patched["spec"]
    assert c.A_DEPRECATION_WARNING in found.patched["metadata"]["annotations"]


def test_an_engine_that_is_there_is_not_replaced() -> None:
    old = old_service()
    old["spec"] |= {"engine": {"minReplicas": 5}, "model": {"name": "other"}}
    found = review(old, model(), runtime())
    assert found.patched is not None
    assert found.patched["spec"]["engine"]["minReplicas"] == 5
    assert found.patched["spec"]["model"] == {"name": "other"}


# --- runtimes -------------------------------------------------------------------------------------


def in_mode(mode: str, size: int | None) -> Object:
    made = runtime()
    env = [{"name": c.E_DEPLOYMENT_MODE, "value": mode}]
    made["spec"]["containers"] = [{"name": "ome-container", "image": "x:1", "env": env}]
    if size is not None:
        made["spec"]["workers"] = {"size": size}
    return made


@pytest.mark.parametrize(
    ("mode", "size", "right"),
    [
        (c.MODE_MULTI_NODE, None, False),
        (c.MODE_MULTI_NODE, 2, True),
        (c.MODE_RAW, 2, False),
        (c.MODE_RAW, None, True),
        ("", 0, False),
        ("", -1, False),
    ],
)
def test_the_mode_of_an_older_runtime_and_its_workers_agree(
    mode: str, size: int | None, right: bool
) -> None:
    assert (review(in_mode(mode, size)).errors == []) is right


def test_a_runtime_does_not_tie_with_itself() -> None:
    assert not any("same models" in w for w in review(runtime(), runtime()).warnings)


def test_sizes_are_compared_as_numbers() -> None:
    one, two = runtime("one"), runtime("two")
    one["spec"]["modelSizeRange"] = {"min": "7B"}
    two["spec"]["modelSizeRange"] = {"min": "7000M"}
    assert any("two takes the same models" in w for w in review(one, two).warnings)


def test_defaults_hold_without_a_schema() -> None:
    """Objects of clusters whose CRDs fill nothing in."""
    bare, whole = runtime("bare"), runtime("whole")
    for part in ("modelFormat", "modelFramework"):
        whole["spec"]["supportedModelFormats"][0][part] |= {"operator": "Equal"}
    found = select_runtime(SelectionInput(service(), model(), [bare, whole]))
    scores = {candidate.name: (candidate.fits, candidate.score) for candidate in found.candidates}
    assert scores["bare"] == scores["whole"] == (True, 15)


# --- models, weights, headers ---------------------------------------------------------------------


def test_moving_a_ready_model_is_warned_about() -> None:
    before = {**model(), "status": {"state": "Ready"}}
    moved = copy.deepcopy(before)
    moved["spec"]["storage"]["storageUri"] = "hf://example/elsewhere"
    assert any("fetch it anew" in w for w in review(moved, old=before).warnings)
    assert review(copy.deepcopy(before), old=before).warnings == []


def test_an_empty_job_reference_means_none() -> None:
    written = weight(trainingJobRef={})
    assert schema_of(o.FINE_TUNED_WEIGHTS).validate(written) == []
    assert not review(written).errors
    assert decode(written).spec.training_job_ref is not None


def test_headers_keep_their_spelling() -> None:
    assert (c.HEADER_SERVICE_NAME, c.HEADER_SERVICE_NAMESPACE) == (
        "OMe-Isvc-Name",
        "OME-Isvc-Namespace",
    )
