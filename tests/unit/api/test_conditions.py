"""Conditions keep their time, their order and their truth."""

from __future__ import annotations

from ome.api import conditions as cond

T1, T2 = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def test_time_moves_only_with_the_status() -> None:
    first = cond.set_condition(None, "Ready", "False", "A", "a", now=T1)
    second = cond.set_condition(first, "Ready", "False", "B", "b", now=T2)
    assert second[0]["lastTransitionTime"] == T1
    assert (second[0]["reason"], second[0]["message"]) == ("B", "b")
    third = cond.set_condition(second, "Ready", "True", now=T2)
    assert third[0]["lastTransitionTime"] == T2
    assert "message" not in third[0]


def test_conditions_are_sorted_and_the_input_is_left_alone() -> None:
    first = cond.set_condition([], "Zed", "True", now=T1)
    second = cond.set_condition(first, "Alpha", "True", now=T1)
    assert [c["type"] for c in second] == ["Alpha", "Zed"]
    assert len(first) == 1


def test_ready_covers_every_component() -> None:
    conditions = cond.set_condition(None, cond.ENGINE_READY, "True", now=T1)
    conditions = cond.set_condition(conditions, cond.INGRESS_READY, "True", now=T1)
    assert cond.is_true(cond.set_ready(conditions, ["engine"], now=T1), cond.READY)
    ready = cond.get(cond.set_ready(conditions, ["engine", "router"], now=T1), cond.READY)
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("Unknown", "Initializing")
    failed = cond.set_condition(conditions, cond.ROUTER_READY, "False", "Broken", "why", now=T1)
    ready = cond.get(cond.set_ready(failed, ["engine", "router"], now=T1), cond.READY)
    assert ready is not None
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "Broken", "why")


def test_false_goes_before_unknown_and_the_first_cause_is_told() -> None:
    conditions = cond.set_condition(None, "B", "False", "Later", "later", now=T1)
    assert cond.summarise(conditions, ["A", "B"]) == ("False", "Later", "later")
    conditions = cond.set_condition(conditions, "A", "False", "Cause", "cause", now=T1)
    assert cond.summarise(conditions, ["A", "B"])[1] == "Cause"


def test_removed_conditions_are_gone() -> None:
    conditions = cond.set_condition(None, "A", "True", now=T1)
    assert cond.remove(conditions, "A") == []
    assert not cond.is_true(cond.remove(conditions, "A"), "A")
