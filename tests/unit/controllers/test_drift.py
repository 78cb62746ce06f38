from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ome.controllers.drift import contains, needs_apply, unwanted

Object = dict[str, Any]


def test_what_the_server_adds_does_not_count() -> None:
    live = {"spec": {"ports": [{"name": "a", "port": 1, "nodePort": 3}], "clusterIP": "10.0.0.1"}}
    assert contains(live, {"spec": {"ports": [{"name": "a", "port": 1}]}})


def test_quantities_are_compared_by_value_and_other_things_by_kind() -> None:
    assert contains({"cpu": "1"}, {"cpu": "1000m"})
    assert contains({"memory": "1Gi"}, {"memory": 1073741824})
    assert not contains({"cpu": "1"}, {"cpu": "2"})
    assert not contains({"x": 1}, {"x": True})
    assert not contains({"image": "a:1"}, {"image": "a:2"})


def test_order_counts_in_plain_lists_and_not_in_keyed_ones() -> None:
    assert not contains({"args": ["b", "a"]}, {"args": ["a", "b"]})
    assert contains(
        {"env": [{"name": "b"}, {"name": "a", "value": "1"}]},
        {"env": [{"name": "a", "value": "1"}]},
    )


def test_a_field_that_we_own_and_no_longer_want_is_found() -> None:
    owned = {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}, "f:b": {}}},
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}}}},
    }
    wanted = {"metadata": {"labels": {"a": "1"}}, "spec": {"ports": [{"port": 80, "name": "x"}]}}
    assert list(unwanted(owned, wanted)) == [".metadata.labels.b"]


def _applied(obj: Object, fields: Object) -> Object:
    entry = {"manager": "ome", "operation": "Apply", "fieldsV1": fields}
    return {**obj, "metadata": {**obj["metadata"], "managedFields": [entry]}}


def test_what_is_needed_is_named() -> None:
    wanted: Object = {
        "kind": "X",
        "metadata": {"name": "a", "labels": {"l": "1"}},
        "spec": {"b": 1},
    }
    fields = {"f:metadata": {"f:labels": {"f:l": {}}}, "f:spec": {"f:b": {}}}
    assert needs_apply(None, wanted, "ome") == "create"
    assert needs_apply(wanted, wanted, "ome") == "adopt"
    assert needs_apply(_applied(wanted, fields), wanted, "ome") == ""
    assert needs_apply(_applied({**wanted, "spec": {"b": 2}}, fields), wanted, "ome") == "update"
    more = {**fields, "f:spec": {"f:b": {}, "f:c": {}}}
    assert needs_apply(_applied(wanted, more), wanted, "ome") == "prune"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(value, value)


def test_what_somebody_adds_to_a_selector_is_a_difference() -> None:
    """Elsewhere it is theirs to keep; a selector would select something else."""
    for key in ("selector", "nodeSelector"):
        wanted = {"spec": {key: {"app": "a"}}}
        assert contains({"spec": {key: {"app": "a"}}}, wanted)
        assert not contains({"spec": {key: {"app": "a", "also": "b"}}}, wanted)
    assert contains(
        {"metadata": {"labels": {"a": "1", "b": "2"}}}, {"metadata": {"labels": {"a": "1"}}}
    )
