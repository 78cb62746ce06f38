import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery import patches as p
from ome.apimachinery.errors import BadRequest, Invalid
from ome.apimachinery.jsonvalues import copy_json, json_equal

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a/b", "~1"])
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["a", "b", "c/d", "e~f", "", "0"]), inner, max_size=4)
    ),
    max_leaves=20,
)
NO_NULL = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "é"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), NO_NULL, max_size=3)


@pytest.mark.parametrize(
    ("doc", "patch", "result"),
    [  # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(doc, patch, result):
    before = copy_json(doc), copy_json(patch)
    assert p.merge_patch(doc, patch) == result
    assert (doc, patch) == before


@given(OBJECTS, OBJECTS)
def test_merging_the_difference_gives_the_new_object(old, new):
    assert json_equal(p.merge_patch(old, p.merge_patch_diff(old, new)), new)


@given(JSON, JSON)
def test_patching_with_the_difference_gives_the_new_document(old, new):
    before = copy_json(old)
    assert json_equal(p.json_patch(old, p.json_patch_diff(old, new)), new)
    assert json_equal(old, before)


@given(JSON)
def test_equal_documents_differ_by_nothing(doc):
    assert p.json_patch_diff(doc, copy_json(doc)) == []


@pytest.mark.parametrize(
    ("doc", "ops", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
        ({"a": 1}, [{"op": "remove", "path": "/a"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1, 2]}, [{"op": "move", "from": "/a/0", "path": "/a/1"}], {"a": [2, 1]}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}],
         {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": {"c~d": 1}}, [{"op": "test", "path": "/a~1b/c~0d", "value": 1.0}],
         {"a/b": {"c~d": 1}}),
        ({"a": 1}, [{"op": "test", "path": "/b", "value": None}], {"a": 1}),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"x": 1}}], {"x": 1}),
        ({"": 1}, [{"op": "replace", "path": "/", "value": 2}], {"": 2}),
        ({"a": 1}, [{"op": "replace", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_json_patch(doc, ops, result):
    before = copy_json(doc)
    assert p.json_patch(doc, ops) == result
    assert doc == before


def test_copies_do_not_share():
    out = p.json_patch(
        {"a": {"b": 1}},
        [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "replace", "path": "/c/b", "value": 2}],
    )
    assert out == {"a": {"b": 1}, "c": {"b": 2}}


@pytest.mark.parametrize(
    "op",
    [
        {"op": "remove", "path": "/gone"},
        {"op": "test", "path": "/n", "value": True},
        {"op": "test", "path": "/gone", "value": 1},
        {"op": "add", "path": "/gone/x", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "remove", "path": "/l/-"},
        {"op": "remove", "path": "/l/x"},
        {"op": "remove", "path": "/l/99999999999999999999"},
        {"op": "add", "path": "/n/x", "value": 1},
        {"op": "move", "from": "/o", "path": "/o/p"},
        {"op": "copy", "from": "/gone", "path": "/x"},
    ],
)
def test_json_patch_that_does_not_fit_is_invalid(op):
    with pytest.raises(Invalid):
        p.json_patch({"n": 1, "l": [1, 2], "o": {}}, [op])


@pytest.mark.parametrize(
    "op",
    [
        {"op": "nope", "path": "/a"},
        {"path": "/a"},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "remove"},
        {"op": "move", "path": "/a"},
        {"op": "remove", "path": 3},
    ],
)
def test_a_wrong_operation_is_invalid(op):
    with pytest.raises(Invalid):
        p.json_patch({"a": 1}, [op])


@pytest.mark.parametrize(
    "ops",
    [
        {"a": 1},
        ["x"],
        [{"op": "remove", "path": "/a"}] * 10_001,
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(ops):
    with pytest.raises(BadRequest):
        p.json_patch({"a": 1}, ops)
