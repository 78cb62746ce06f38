import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery import resources
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.schema import Schema

CRD = Schema.from_crd(
    {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "foo": {"type": "string", "default": "default"},
                    "bar": {"type": "string", "nullable": True},
                    "baz": {"type": "string"},
                    "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 5},
                    "mode": {"type": "string", "enum": ["A", "B"]},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                    "when": {"type": "string", "format": "date-time"},
                    "blob": {"type": "string", "format": "byte"},
                    "ios": {"x-kubernetes-int-or-string": True,
                            "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "inner": {"type": "object",
                              "properties": {"a": {"type": "integer", "default": 3},
                                             "deep": {"type": "object", "default": {},
                                                      "properties": {"b": {"default": 1,
                                                                           "type": "integer"}}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True,
                             "properties": {"known": {"type": "object",
                                                      "properties": {"x": {"type": "integer"}}}}},
                    "any": {"x-kubernetes-preserve-unknown-fields": True},
                    "map": {"type": "object", "additionalProperties":
                            {"type": "object", "properties": {"v": {"type": "integer",
                                                                    "default": 7}}}},
                    "ports": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map",
                              "x-kubernetes-list-map-keys": ["port", "protocol"],
                              "items": {"type": "object", "required": ["port"], "properties": {
                                  "port": {"type": "integer"},
                                  "protocol": {"type": "string", "default": "TCP"}}}},
                    "set": {"type": "array", "x-kubernetes-list-type": "set",
                            "items": {"type": "string"}},
                    "embedded": {"type": "object", "x-kubernetes-embedded-resource": True,
                                 "x-kubernetes-preserve-unknown-fields": True},
                    "one": {"type": "object", "properties": {"a": {"type": "string"},
                                                             "b": {"type": "string"}},
                            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
                    "some": {"type": "object", "properties": {"n": {"type": "integer"}},
                             "anyOf": [{"properties": {"n": {"minimum": 10}}},
                                       {"properties": {"n": {"maximum": 0}}}],
                             "allOf": [{"properties": {"n": {"multipleOf": 2}}}],
                             "not": {"properties": {"n": {"enum": [12]}}}},
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
)  # fmt: skip


def spec(**fields):
    return {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "a"}, "spec": fields}


def problems(**fields):
    return [str(e) for e in CRD.validate(spec(**fields))]


def test_nulls_are_dropped_or_defaulted_unless_nullable():
    given_ = spec(foo=None, bar=None, baz=None)
    assert CRD.default(given_)["spec"] == {"foo": "default", "bar": None}
    assert given_["spec"] == {"foo": None, "bar": None, "baz": None}


def test_defaults_go_into_existing_objects_only():
    assert CRD.default({"apiVersion": "x/v1"}) == {"apiVersion": "x/v1"}
    assert CRD.default(spec(inner={}))["spec"]["inner"] == {"a": 3, "deep": {"b": 1}}
    assert CRD.default(spec(map={"k": {}}))["spec"]["map"] == {"k": {"v": 7}}
    assert CRD.default(spec(ports=[{"port": 1}]))["spec"]["ports"] == [
        {"port": 1, "protocol": "TCP"}
    ]


def test_defaulting_shares_what_it_does_not_change():
    obj = spec(foo="x", any={"a": [None, {}]})
    assert CRD.default(obj) is obj
    grown = CRD.default(spec(any={"a": 1}, inner={"a": 1, "deep": {"b": 2}}))
    assert grown["spec"]["foo"] == "default"
    first = CRD.default(spec(inner={}))
    first["spec"]["inner"]["deep"]["b"] = 9
    assert CRD.default(spec(inner={}))["spec"]["inner"]["deep"] == {"b": 1}


def test_unknown_fields_are_pruned_and_named():
    obj = spec(
        foo="x",
        nope=1,
        free={"other": {"y": 1}, "known": {"x": 1, "z": 2}},
        any={"q": [{"w": 1}]},
        ports=[{"port": 1, "bad": 2}],
        map={"k": {"v": 1, "w": 2}},
        embedded={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "nope": 1}, "z": 1},
    )
    obj["top"] = 1
    obj["metadata"]["odd"] = 1
    pruned, unknown = CRD.prune(obj)
    assert unknown == [
        "metadata.odd",
        "spec.nope",
        "spec.free.known.z",
        "spec.ports[0].bad",
        "spec.map.k.w",
        "spec.embedded.metadata.nope",
        "top",
    ]
    assert pruned["spec"]["free"] == {"other": {"y": 1}, "known": {"x": 1}}
    assert pruned["spec"]["any"] == {"q": [{"w": 1}]}
    assert "nope" in obj["spec"]
    again, nothing = CRD.prune(pruned)
    assert again is pruned
    assert nothing == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": "3"}, 'spec.size: Invalid value: "string": spec.size in body must be of type'
         ' integer: "string"'),
        ({"size": True}, 'spec.size: Invalid value: "boolean": spec.size in body must be of type'
         ' integer: "boolean"'),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or"
         " equal to 1"),
        ({"size": 6}, "spec.size: Invalid value: 6: spec.size in body should be less than or equal"
         " to 5"),
        ({"baz": None}, 'spec.baz: Invalid value: "null": spec.baz in body must be of type string:'
         ' "null"'),
        ({"mode": "C"}, 'spec.mode: Unsupported value: "C": supported values: "A", "B"'),
        ({"name": "A"}, "spec.name: Invalid value: \"A\": spec.name in body should match"
         " '^[a-z]+$'"),
        ({"name": "a\n"}, "spec.name: Invalid value: \"a\\n\": spec.name in body should match"
         " '^[a-z]+$'"),
        ({"name": "abcdef"}, "spec.name: Too long: may not be more than 5 characters"),
        ({"when": "yesterday"}, 'spec.when: Invalid value: "yesterday": spec.when in body must be'
         ' of type date-time: "yesterday"'),
        ({"blob": "%"}, 'spec.blob: Invalid value: "%": spec.blob in body must be'
         ' of type byte: "%"'),
        ({"ios": []}, 'spec.ios: Invalid value: "array": spec.ios in body must be of type integer'
         ' or string: "array"'),
        ({"ports": [{}]}, "spec.ports[0].port: Required value"),
        ({"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]},
         'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'),
        ({"ports": [{"port": i} for i in range(4)]},
         "spec.ports: Too many: 4: must have at most 3 items"),
        ({"set": ["a", "b", "a"]}, 'spec.set[2]: Duplicate value: "a"'),
        ({"map": {"k": {"v": "x"}}}, 'spec.map.k.v: Invalid value: "string": spec.map.k.v in body'
         ' must be of type integer: "string"'),
    ],
)  # fmt: skip
def test_problems_are_named_as_the_api_server_names_them(fields, expected):
    assert problems(**fields) == [expected]


def test_valid_values_have_no_problems():
    assert not problems(
        size=5.0, mode="A", name="abc", when="2026-01-02T03:04:05.123Z", blob="YQ==", ios="50%",
        bar=None, ports=[{"port": 1}, {"port": 1, "protocol": "UDP"}], set=["a", "b"],
        embedded={"apiVersion": "v1", "kind": "Pod", "any": 1}, any=[None],
    )  # fmt: skip
    assert not problems(ios=3)
    assert [str(e) for e in CRD.validate({"kind": "X"})] == ["spec: Required value"]
    assert problems(embedded={"kind": "Pod"}) == [
        "spec.embedded.apiVersion: Required value: must not be empty"
    ]


def test_value_rules_combine():
    assert not problems(one={"a": "x"})
    assert "oneOf" in problems(one={"a": "x", "b": "y"})[0]
    assert "oneOf" in problems(one={})[0]
    assert not problems(some={"n": 14})
    assert not problems(some={"n": -2})
    assert "anyOf" in problems(some={"n": 4})[0]
    assert "multiple of 2" in problems(some={"n": 15})[0]
    assert "(not)" in problems(some={"n": 12})[0]


def test_cel_rules_are_listed_with_their_place():
    schema = Schema.from_crd(
        {
            "type": "object",
            "x-kubernetes-validations": [{"rule": "self.spec.a > 0", "message": "m"}],
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "l": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "x-kubernetes-validations": [
                                    {"rule": "self == oldSelf", "reason": "FieldValueForbidden"}
                                ],
                            },
                        }
                    },
                }
            },
        }
    )
    assert [(r.path, r.rule, r.reason) for r in schema.cel_rules()] == [
        ("", "self.spec.a > 0", "FieldValueInvalid"),
        ("spec.l[]", "self == oldSelf", "FieldValueForbidden"),
    ]


def test_a_crd_may_restrict_its_names():
    schema = Schema.from_crd(
        {
            "type": "object",
            "properties": {
                "metadata": {"type": "object", "properties": {"name": {"maxLength": 3}}}
            },
        }
    )
    obj = {"metadata": {"name": "abcd", "labels": {"a": "b"}}}
    assert [e.path for e in schema.validate(obj)] == ["metadata.name"]
    assert schema.prune(obj) == (obj, [])


def test_a_crd_without_schema_keeps_everything():
    schema = Schema.from_crd(None)
    obj = {"kind": "X", "spec": {"a": [1, {"b": None}]}}
    assert schema.prune(obj) == (obj, [])
    assert schema.default(obj) is obj
    assert schema.validate(obj) == []


def test_core_kinds_have_canonical_quantities_and_no_nulls():
    pod = {
        "metadata": {"name": "a", "creationTimestamp": None},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": "1000m", "memory": 1024, "nvidia.com/gpu": 4}},
                }
            ]
        },
    }
    schema = schema_for(resources.PODS)
    before = copy_json(pod)
    out = schema.default(pod)
    assert pod == before
    assert "creationTimestamp" not in out["metadata"]
    container = out["spec"]["containers"][0]
    assert container["resources"]["limits"] == {
        "cpu": "1", "memory": "1024", "nvidia.com/gpu": "4",
    }  # fmt: skip
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert "protocol" not in schema.canonical(pod)["spec"]["containers"][0]["ports"][0]
    assert schema.validate(out) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "1Gi", "1000m"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["spec", "foo", "bar", "inner", "free", "known", "any", "map", "ports", "port", "set",
             "metadata", "labels", "x", "a", "deep", "containers", "name", "resources", "limits"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "status", "x"]), VALUES))
def test_pruning_and_defaulting_are_idempotent_and_never_fail(obj):
    for schema in (CRD, schema_for("Pod")):
        before = copy_json(obj)
        pruned, _ = schema.prune(obj)
        assert schema.prune(pruned) == (pruned, [])
        defaulted = schema.default(pruned)
        assert schema.default(defaulted) is defaulted
        schema.validate(obj)
        assert obj == before
