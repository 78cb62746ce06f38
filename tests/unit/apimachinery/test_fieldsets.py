import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery import fieldwalk
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.fieldsets import FieldSet, contains_all, show_path
from ome.apimachinery.jsonvalues import copy_json

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
V1 = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(ELEMENTS, inner, max_size=3).flatmap(
        lambda d: st.sampled_from([d, {".": {}, **d}])
    ),
    max_leaves=12,
).map(lambda tree: {k: v for k, v in tree.items() if k != "."})
SETS = V1.map(FieldSet.from_v1)


def members(fields):
    return set(fields.paths())


@given(SETS, SETS)
def test_set_operations_agree_with_sets_of_paths(a, b):
    before = copy_json(a.tree), copy_json(b.tree)
    assert members(a | b) == members(a) | members(b)
    assert members(a & b) == members(a) & members(b)
    assert members(a - b) == members(a) - members(b)
    assert contains_all(a.tree, b.tree) == (members(b) <= members(a))
    assert all(path in a for path in members(a))
    assert (a.tree, b.tree) == before


@given(SETS)
def test_fields_v1_round_trip(fields):
    assert FieldSet.from_v1(fields.to_v1()) == fields
    assert FieldSet.from_v1(fields.to_v1()).to_v1() == fields.to_v1()
    assert bool(fields) == bool(members(fields))


def test_membership():
    fields = FieldSet.from_v1({"f:a": {".": {}, "f:b": {}}, "f:c": {"f:d": {}}})
    assert ("f:a",) in fields
    assert ("f:a", "f:b") in fields
    assert ("f:c",) not in fields
    assert ("f:x",) not in fields
    assert () not in fields
    assert "f:c" not in repr(FieldSet())
    assert repr(fields) == "FieldSet(.a, .a.b, .c.d)"
    assert len({fields, FieldSet.from_v1(fields.to_v1())}) == 1


def test_paths_are_shown_as_in_conflict_messages():
    assert show_path(("f:spec", "f:containers", 'k:{"name":"a"}', "f:image")) == (
        '.spec.containers[name="a"].image'
    )
    assert show_path(("f:ports", 'k:{"containerPort":80,"protocol":"TCP"}')) == (
        '.ports[containerPort=80,protocol="TCP"]'
    )
    assert show_path(("f:metadata", "f:finalizers", 'v:"x/y"')) == '.metadata.finalizers[="x/y"]'


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a/b": "c"}, "finalizers": ["x/y"], "annotations": {}},
    "spec": {
        "containers": [
            {
                "name": "é\"",
                "args": ["1"],
                "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
                "resources": {},
                "env": [],
                "securityContext": None,
            }
        ],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": []}]}}},
    },
}  # fmt: skip


def test_fields_of_a_configuration():
    fields = FieldSet(fieldwalk.fields_of(schema_for("Pod"), POD))
    assert fields.to_v1() == {
        "f:apiVersion": {},
        "f:kind": {},
        "f:metadata": {
            "f:annotations": {},
            "f:finalizers": {'v:"x/y"': {}},
            "f:labels": {"f:a/b": {}},
            "f:name": {},
        },
        "f:spec": {
            "f:affinity": {
                "f:nodeAffinity": {"f:requiredDuringSchedulingIgnoredDuringExecution": {}}
            },
            "f:containers": {
                'k:{"name":"é\\""}': {
                    ".": {},
                    "f:args": {},
                    "f:name": {},
                    "f:ports": {
                        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                        'k:{"containerPort":80,"protocol":"UDP"}': {
                            ".": {},
                            "f:containerPort": {},
                            "f:protocol": {},
                        },
                    },
                    "f:resources": {},
                    "f:securityContext": {},
                }
            },
        },
    }


def test_unusable_list_items_are_bad_requests():
    schema = schema_for("Pod")
    for containers in ([{"image": "x"}], ["x"], [{"name": "a"}, {"name": "a"}]):
        with pytest.raises(BadRequest):
            fieldwalk.fields_of(schema, {"spec": {"containers": containers}})


CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abc")},
        optional={
            "image": st.sampled_from("12"),
            "ports": st.lists(
                st.fixed_dictionaries(
                    {"containerPort": st.sampled_from([80, 81])},
                    optional={"protocol": st.sampled_from(["TCP", "UDP"])},
                ),
                max_size=2,
                unique_by=lambda p: (p["containerPort"], p.get("protocol", "TCP")),
            ),
            "args": st.lists(st.sampled_from("pq"), max_size=2),
        },
    ),
    max_size=3,
    unique_by=lambda c: c["name"],
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")),
                "finalizers": st.lists(st.sampled_from("fgh"), unique=True, max_size=3),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": CONTAINERS,
                "hostname": st.sampled_from("mn"),
                "nodeSelector": st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12")),
            },
        ),
    },
)


@given(OBJECTS, OBJECTS)
def test_merging_keeps_the_configuration_and_changes_nothing_else(live, config):
    schema = schema_for("Pod")
    before = copy_json(live), copy_json(config)
    merged = fieldwalk.merge(schema, live, config)
    assert (live, config) == before
    assert fieldwalk.merge(schema, merged, config) is merged
    assert fieldwalk.merge(schema, live, live) is live
    changed, removed = fieldwalk.compare(schema, live, merged)
    assert not removed
    stated = fieldwalk.all_fields(schema, config)
    assert contains_all(stated, changed)


@given(OBJECTS, OBJECTS)
def test_comparison_sees_exactly_what_differs(old, new):
    schema = schema_for("Pod")
    assert fieldwalk.compare(schema, old, copy_json(old)) == ({}, {})
    changed, removed = fieldwalk.compare(schema, old, new)
    back_changed, back_removed = fieldwalk.compare(schema, new, old)
    assert FieldSet(changed) - FieldSet(back_changed) == FieldSet(back_removed) - FieldSet(
        back_changed
    )
    gone = FieldSet(removed)
    assert not gone & FieldSet(fieldwalk.all_fields(schema, new))
