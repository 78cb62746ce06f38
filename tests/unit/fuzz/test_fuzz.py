"""2,000 fuzzed objects through schema, admission, webhook, API server, selection and rendering."""

from __future__ import annotations

import time

import pytest
from tests.fuzz import oracle
from tests.fuzz.cases import case
from tests.fuzz.gates import LONGEST_MESSAGE
from tests.fuzz.soak import Run, soak

from ome.api import resources as o
from ome.apimachinery.errors import FieldError
from ome.cli.checks import schema_of

SEED = 20261124
OBJECTS = 2000
SECONDS = 55


@pytest.mark.timeout(110)
async def test_no_object_makes_anything_fail() -> None:
    run = Run(SEED)
    await soak(run, OBJECTS, time.monotonic() + SECONDS, None)
    print(run.describe())
    shown = [told_again(found) for found in run.found[:10]]
    assert not run.found, "\n".join(shown)
    # Were most objects refused for one reason, or none, the rest would prove little.
    assert run.next >= OBJECTS // 2, f"only {run.next} objects in {SECONDS} s"
    assert run.intact_accepted > 0.7 * run.intact
    assert run.refused > 0.25 * run.next
    assert run.children > run.next
    assert run.slow <= 0.02 * run.next, run.slowest


def told_again(found: dict[str, object]) -> str:
    number = found["number"]
    return (
        f"#{number} {found['kind']} {found['mutations']} {found['stage']}: {found['what']}\n"
        f"  again: python -m tests.fuzz.soak --seed {SEED} --only {number}"
    )


def test_a_number_of_a_seed_is_always_the_same_object() -> None:
    for number in (0, 1, 17, 1999):
        assert repr(case(SEED, number)) == repr(case(SEED, number))
    assert case(SEED, 7).obj != case(SEED + 1, 7).obj


def test_the_second_reading_of_a_crd_sees_what_is_wrong() -> None:
    """Two readers that accept everything would agree, too."""
    good = {
        "metadata": {"name": "a"},
        "spec": {"engine": {"minReplicas": 1}, "model": {"name": "m"}},
    }
    assert oracle.violations(o.INFERENCE_SERVICES, good) == []
    for part, wrong, path in (
        ("engine", {"minReplicas": "1"}, "spec.engine.minReplicas"),
        ("engine", {"minReplicas": True}, "spec.engine.minReplicas"),
        ("engine", {"minReplicas": -1}, "spec.engine.minReplicas"),
        ("engine", {"minReplicas": 2**63}, "spec.engine.minReplicas"),
        ("engine", {"scaleMetric": "moonlight"}, "spec.engine.scaleMetric"),
        ("engine", {"containers": [{"name": "a"}, {"name": "a"}]}, "spec.engine.containers"),
        ("model", {}, "spec.model.name"),
        ("model", [], "spec.model"),
    ):
        bad = {**good, "spec": {**good["spec"], part: wrong}}
        assert oracle.violations(o.INFERENCE_SERVICES, bad) == [path]
        assert schema_of(o.INFERENCE_SERVICES).validate(bad)
    broken = {
        "spec": {"engine": {"minAvailable": 1, "maxUnavailable": 1, "ephemeralContainers": []}}
    }
    assert len(oracle.refused_by_rules(o.INFERENCE_SERVICES, broken)) == 2
    assert oracle.refused_by_rules(o.INFERENCE_SERVICES, {"spec": {"decoder": {}}}) != []


def test_errors_are_short_printable_lines_whatever_they_quote() -> None:
    error = FieldError("spec." + "x" * 10_000, f"{'a' * 100_000}\x00\r\n\x1b[31m\u202e is wrong")
    assert len(str(error)) < LONGEST_MESSAGE + 600
    assert str(error).isprintable()
    assert error.message.endswith("a\\x00\\r\\n\\x1b[31m\\u202e is wrong")
    assert FieldError("spec.a", "plain: 模型 é").message == "plain: 模型 é"


def test_a_long_list_of_wrong_items_is_not_a_long_list_of_errors() -> None:
    schema = schema_of(o.INFERENCE_SERVICES)
    found = schema.validate({"spec": {"engine": {"runner": {"name": "r", "args": [1] * 100_000}}}})
    assert len(found) == 101
    assert found[-1].message == "Too many: there are more problems than these 100"
