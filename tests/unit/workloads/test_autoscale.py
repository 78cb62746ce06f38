"""HorizontalPodAutoscalers: the rules, held against what Kubernetes documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.standalone.workloads.autoscale import Figure, History, bounded, wish


def cpu(*used: float | None, requested: float = 1.0, starting: int = 0) -> list[Figure]:
    """The last ``starting`` ones have only just been started."""
    first = len(used) - starting
    return [Figure(u, requested, index < first) for index, u in enumerate(used)]


@pytest.mark.parametrize(
    ("figures", "current", "wanted"),
    [
        (cpu(0.5), 1, 1),  # on target
        (cpu(0.54), 1, 1),  # within a tenth of it
        (cpu(0.56), 1, 2),
        (cpu(1.0, 1.0), 2, 4),
        (cpu(0.3, 0.5, 0.7), 3, 3),
        (cpu(0.1, 0.1, 0.1), 3, 1),
        (cpu(0.0, 0.0), 2, 0),  # the minimum is somebody else's to keep
        (cpu(0.9, None), 2, 2),  # taken to use nothing: no more than now
        (cpu(0.1, None), 2, 2),  # taken to use all: on target
        (cpu(0.1, 0.1, None), 3, 3),
        (cpu(1.0, 1.0, starting=1), 2, 2),  # one that starts is taken to use nothing
        (cpu(2.0, 0.0, starting=1), 2, 4),
        (cpu(0.1, 1.0, starting=1), 2, 1),  # fewer is wished by those that count
    ],
)
def test_the_count_follows_from_usage_and_target(
    figures: list[Figure], current: int, wanted: int
) -> None:
    found = wish(current, figures, utilization=50)
    assert found is not None and found.replicas == wanted


def test_a_target_can_be_a_value() -> None:
    found = wish(2, cpu(300.0, 500.0), value=200.0)
    assert found is not None
    assert (found.replicas, found.average) == (4, 400.0)


def test_without_figures_there_is_no_wish() -> None:
    assert wish(3, cpu(None, None), utilization=50) is None
    assert wish(3, cpu(1.0, starting=1), utilization=50) is None
    assert wish(3, [], utilization=50) is None


SPEC: dict[str, Any] = {"minReplicas": 1, "maxReplicas": 100}


def test_up_at_once_by_four_or_to_the_double() -> None:
    assert bounded(0, 1, 50, SPEC, History()) == (5, "ScaleUpLimit")
    assert bounded(0, 10, 50, SPEC, History()) == (20, "ScaleUpLimit")
    assert bounded(0, 1, 3, SPEC, History()) == (3, "")


def test_what_was_added_within_the_period_counts() -> None:
    history = History()
    history.note_change(0, 4)
    assert bounded(10, 5, 50, SPEC, history) == (5, "ScaleUpLimit")
    assert bounded(16, 5, 50, SPEC, history) == (10, "ScaleUpLimit")


def test_down_only_when_wished_for_five_minutes() -> None:
    history = History()
    assert bounded(0, 8, 8, SPEC, history)[0] == 8
    assert bounded(100, 8, 2, SPEC, history)[0] == 8
    assert bounded(200, 8, 4, SPEC, history)[0] == 8
    assert bounded(299, 8, 2, SPEC, history)[0] == 8
    assert bounded(301, 8, 2, SPEC, history)[0] == 4
    assert bounded(501, 4, 2, SPEC, history)[0] == 2


def test_the_first_wish_after_a_restart_is_the_present_count() -> None:
    assert bounded(1000, 8, 1, SPEC, History())[0] == 8


@pytest.mark.parametrize(
    ("wished", "expected"), [(0, (2, "TooFewReplicas")), (50, (3, "TooManyReplicas"))]
)
def test_minimum_and_maximum_hold(wished: int, expected: tuple[int, str]) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    spec = {"minReplicas": 2, "maxReplicas": 3, "behavior": behavior}
    assert bounded(0, 2, wished, spec, History()) == expected


def test_behavior_says_how_fast() -> None:
    pods = {"type": "Pods", "value": 1, "periodSeconds": 60}
    half = {"type": "Percent", "value": 50, "periodSeconds": 60}
    down: dict[str, Any] = {"stabilizationWindowSeconds": 0, "policies": [pods, half]}
    spec = {**SPEC, "behavior": {"scaleDown": down}}
    assert bounded(0, 10, 1, spec, History()) == (5, "ScaleDownLimit")
    down["selectPolicy"] = "Min"
    assert bounded(0, 10, 1, spec, History()) == (9, "ScaleDownLimit")
    down["selectPolicy"] = "Disabled"
    assert bounded(0, 10, 1, spec, History()) == (10, "ScaleDownLimit")
    waits = {**SPEC, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}
    assert bounded(0, 1, 4, waits, History())[0] == 1


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 50)), st.booleans()), max_size=12),
    st.integers(1, 20),
    st.integers(1, 100),
)
def test_more_usage_never_wishes_for_less(
    pods: list[tuple[float | None, bool]], current: int, target: int
) -> None:
    figures = [Figure(used, 1.0, counts) for used, counts in pods]
    busier = [Figure(None if f.used is None else f.used * 2, 1.0, f.counts) for f in figures]
    less, more = (wish(current, each, utilization=target) for each in (figures, busier))
    assert (less is None) == (more is None)
    if less is not None and more is not None:
        assert 0 <= less.replicas <= more.replicas


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 200)), max_size=20))
def test_a_count_never_leaves_its_bounds(steps: list[tuple[float, int]]) -> None:
    spec = {"minReplicas": 2, "maxReplicas": 9}
    history, current = History(), 4
    for now, wished in sorted(steps):
        target, _ = bounded(now, current, wished, spec, history)
        history.note_change(now, target - current)
        current = target
        assert 2 <= current <= 9
