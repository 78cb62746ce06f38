import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery.definitions import resolve, schema_for
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.strategic import strategic_merge

POD_SPEC = resolve("io.k8s.api.core.v1.PodSpec")
POD = schema_for("Pod")


def merged(doc, patch, schema=POD_SPEC):
    before = copy_json(doc), copy_json(patch)
    out = strategic_merge(doc, patch, schema)
    assert (doc, patch) == before
    return out


def names(items):
    return [i["name"] for i in items]


DOC = {
    "containers": [
        {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["1", "2"]},
        {"name": "b", "image": "b:1"},
    ],
    "nodeSelector": {"x": "y"},
    "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
}


def test_lists_of_objects_merge_by_key():
    env = [{"name": "Y", "value": "2"}]
    patch = {"containers": [{"name": "a", "image": "a:2", "env": env}]}
    out = merged(DOC, patch)
    assert names(out["containers"]) == ["a", "b"]
    assert out["containers"][0]["image"] == "a:2"
    assert names(out["containers"][0]["env"]) == ["Y", "X"]  # new items come first
    assert out["containers"][0]["args"] == ["1", "2"]


def test_lists_without_merge_strategy_are_replaced():
    out = merged(DOC, {"containers": [{"name": "a", "args": ["3"]}]})
    assert out["containers"][0]["args"] == ["3"]


def test_null_deletes_members():
    out = merged(DOC, {"nodeSelector": None, "containers": [{"name": "a", "args": None}]})
    assert "nodeSelector" not in out
    assert "args" not in out["containers"][0]
    assert merged(DOC, {"nodeSelector": {"x": None}})["nodeSelector"] == {}


def test_delete_directive_removes_items_and_objects():
    out = merged(DOC, {"containers": [{"name": "a", "$patch": "delete"}]})
    assert names(out["containers"]) == ["b"]
    assert merged(DOC, {"containers": [{"name": "z", "$patch": "delete"}]}) == DOC
    assert "nodeSelector" not in merged(DOC, {"nodeSelector": {"$patch": "delete"}})


def test_replace_directive_replaces_objects_items_and_lists():
    assert merged(DOC, {"nodeSelector": {"$patch": "replace", "a": "b"}})["nodeSelector"] == {
        "a": "b"
    }
    out = merged(DOC, {"containers": [{"name": "a", "$patch": "replace", "image": "n"}]})
    assert out["containers"][0] == {"name": "a", "image": "n"}
    out = merged(DOC, {"containers": [{"name": "c"}, {"$patch": "replace"}]})
    assert out["containers"] == [{"name": "c"}]
    assert merged(DOC, {"$patch": "replace", "hostname": "x"}) == {"hostname": "x"}


def test_retain_keys_clears_what_a_union_had_before():
    patch = {
        "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]
    }
    assert merged(DOC, patch)["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]
    strategy = resolve("io.k8s.api.apps.v1.DeploymentSpec")
    doc = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert merged(doc, patch, strategy)["strategy"] == {"type": "Recreate"}
    with pytest.raises(BadRequest):
        merged(doc, {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}, strategy)


def test_element_order_is_set():
    patch = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [{"name": "c", "image": "c"}],
    }
    assert names(merged(DOC, patch)["containers"]) == ["c", "a", "b"]
    only_order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    assert names(merged(DOC, only_order)["containers"]) == ["b", "a"]


def test_lists_of_plain_values_merge_as_sets():
    doc = {"metadata": {"finalizers": ["a", "b"]}}
    out = merged(doc, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert out["metadata"]["finalizers"] == ["a", "b", "c"]
    out = merged(doc, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, POD)
    assert out["metadata"]["finalizers"] == ["b"]
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "finalizers": ["c"],
        }
    }
    assert merged(doc, patch, POD)["metadata"]["finalizers"] == ["c", "b"]


def test_ports_with_one_number_and_two_protocols_stay_apart():
    tcp, udp = ({"containerPort": 53, "protocol": p} for p in ("TCP", "UDP"))
    doc = {"containers": [{"name": "a", "ports": [tcp, udp]}]}
    patch = {"containers": [{"name": "a", "ports": [{**udp, "name": "dns"}]}]}
    ports = merged(doc, patch)["containers"][0]["ports"]
    assert ports == [
        {"containerPort": 53, "protocol": "TCP"},
        {"containerPort": 53, "protocol": "UDP", "name": "dns"},
    ]


def test_new_items_lose_their_directives_and_nulls():
    patch = {"containers": [{"name": "n", "image": None, "$patch": "merge",
                             "resources": {"limits": {"cpu": None}}}]}  # fmt: skip
    assert merged({}, patch)["containers"] == [{"name": "n", "resources": {"limits": {}}}]


@pytest.mark.parametrize(
    "patch",
    [
        {"containers": [{"image": "x"}]},
        {"containers": ["x"]},
        {"nodeSelector": {"$patch": "nope"}},
        {"$nope": 1},
        {"$setElementOrder/containers": 3},
        {"containers": [{"name": "a", "$retainKeys": "x"}]},
        [],
    ],
)
def test_malformed_patches_are_bad_requests(patch):
    with pytest.raises(BadRequest):
        merged(DOC, patch)


CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcd")},
        optional={
            "image": st.sampled_from(["1", "2"]),
            "env": st.lists(
                st.fixed_dictionaries(
                    {"name": st.sampled_from("XYZ")}, optional={"value": st.sampled_from("12")}
                ),
                max_size=3,
                unique_by=lambda e: e["name"],
            ),
            "args": st.lists(st.sampled_from("pq"), max_size=2),
        },
    ),
    max_size=4,
    unique_by=lambda c: c["name"],
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "containers": CONTAINERS,
        "nodeSelector": st.dictionaries(st.sampled_from("kl"), st.sampled_from("12") | st.none()),
        "hostname": st.none() | st.just("h"),
    },
)


@given(SPECS, SPECS)
def test_merging_twice_changes_nothing_more(doc, patch):
    once = merged(doc, patch)
    assert merged(once, patch) == once
