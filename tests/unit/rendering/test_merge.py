"""Properties of laying a service over its runtime, for any of both."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ome.apimachinery.objects import Object
from ome.rendering.merge import merge_part, without_nulls

NAMES = st.sampled_from(["a", "b", "ome-container"])
WORDS = st.sampled_from(["x", "y", "z"])
AMOUNTS = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), WORDS, max_size=3)


def _optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries({}, optional=fields)


def _named(strategy: st.SearchStrategy[Object]) -> st.SearchStrategy[list[Object]]:
    """A list by name, each name once."""
    pairs = st.tuples(NAMES, strategy)
    return st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda found: [{"name": name, **fields} for name, fields in found]
    )


CONTAINER = _optional(
    image=WORDS,
    args=st.lists(WORDS, max_size=3),
    env=_named(_optional(value=WORDS)),
    resources=_optional(requests=AMOUNTS, limits=AMOUNTS),
    workingDir=st.one_of(st.none(), WORDS),
)
RUNNER = st.tuples(NAMES, CONTAINER).map(lambda pair: {"name": pair[0], **pair[1]})
PART = _optional(
    runner=RUNNER,
    containers=_named(CONTAINER),
    volumes=_named(_optional(hostPath=st.fixed_dictionaries({"path": WORDS}))),
    nodeSelector=st.dictionaries(WORDS, WORDS, max_size=2),
    tolerations=st.lists(st.fixed_dictionaries({"key": WORDS}), max_size=2),
    labels=st.dictionaries(WORDS, WORDS, max_size=2),
    minReplicas=st.integers(0, 3),
    terminationGracePeriodSeconds=st.one_of(st.none(), st.integers(0, 60)),
)
COMPONENT = st.tuples(PART, _optional(leader=PART, worker=PART)).map(lambda p: {**p[0], **p[1]})


def merged(runtime: Object, service: Object) -> Object:
    return merge_part(runtime, service, "spec.engine")


def reordered(value: Any) -> Any:
    """The same with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def wins(service: Any, found: Any, path: str = "") -> None:
    """What the service says is in the result; of lists by name, item for item."""
    if isinstance(service, dict):
        for key, value in service.items():
            assert key in found, path
            wins(value, found[key], f"{path}.{key}")
    elif isinstance(service, list) and all(isinstance(i, dict) and "name" in i for i in service):
        by_name = {item["name"]: item for item in found}
        for item in service:
            wins(item, by_name[item["name"]], f"{path}[{item['name']}]")
    else:
        assert found == service, path


@settings(max_examples=200, deadline=None)
@given(COMPONENT, COMPONENT)
def test_the_service_wins_and_what_it_leaves_out_is_the_runtimes(
    runtime: Object, service: Object
) -> None:
    before = copy.deepcopy((runtime, service))
    found = merged(runtime, service)
    assert (runtime, service) == before, "nothing that goes in is changed"
    wins(without_nulls(service), found)
    for key, value in without_nulls(runtime).items():
        if key not in without_nulls(service):
            assert found[key] == value


@settings(max_examples=100, deadline=None)
@given(COMPONENT, COMPONENT)
def test_laid_over_twice_or_in_another_order_of_keys_it_is_the_same(
    runtime: Object, service: Object
) -> None:
    once = merged(runtime, service)
    assert merged(once, service) == once
    other = merged(reordered(runtime), reordered(service))
    assert json.dumps(other, sort_keys=True) == json.dumps(once, sort_keys=True)


@settings(max_examples=50, deadline=None)
@given(COMPONENT)
def test_a_service_that_says_nothing_gets_the_runtimes_part(runtime: Object) -> None:
    assert merged(runtime, {}) == without_nulls(runtime)
    assert merged({}, runtime) == without_nulls(runtime)
