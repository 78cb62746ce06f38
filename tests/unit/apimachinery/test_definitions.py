import json

import pytest

from ome.apimachinery import definitions, openapi, resources
from ome.apimachinery.objects import Resource
from ome.apimachinery.schema import Schema
from ome.apimachinery.structural import structural

POD_SPEC = "io.k8s.api.core.v1.PodSpec"
KINDS = [r for r in vars(resources).values() if isinstance(r, Resource)]


@pytest.mark.parametrize("resource", KINDS, ids=str)
def test_every_kind_has_a_schema(resource):
    schema = definitions.schema_for(resource)
    assert schema.type == "object"
    assert schema.child("metadata") is definitions.resolve(definitions.OBJECT_META)
    assert definitions.knows(resource)


def test_kinds_are_found_by_name():
    assert definitions.name_of("Pod") == "io.k8s.api.core.v1.Pod"
    assert definitions.name_of("apps/v1/Deployment") == "io.k8s.api.apps.v1.Deployment"
    with pytest.raises(KeyError):
        definitions.name_of("Nope")
    assert not definitions.knows(Resource("example.com", "v1", "pods", "Pod"))


def test_all_references_lead_somewhere():
    known = set(definitions.names())
    for name in known:
        assert definitions.references(definitions.definition(name)) <= known
    assert "1.37" in definitions.origin()


def test_what_the_source_had_relaxed_is_strict_again():
    for name in definitions.names():
        raw = definitions.definition(name)
        assert isinstance(raw.get("type", ""), str), name
        for prop in raw.get("properties", {}).values():
            assert isinstance(prop.get("type", ""), str), name


def test_merge_keys_and_list_types_are_known():
    spec = definitions.resolve(POD_SPEC)
    containers = spec.child("containers")
    assert (containers.list_type, containers.map_keys) == ("map", ("name",))
    assert (containers.patch_strategy, containers.patch_merge_key) == ({"merge"}, "name")
    assert spec.child("volumes").patch_strategy == {"merge", "retainKeys"}
    ports = containers.items.child("ports")
    assert ports.map_keys == ("containerPort", "protocol")
    assert ports.key_defaults == {"protocol": "TCP"}
    assert definitions.schema_for("Deployment").child("spec").child("selector").map_type == "atomic"


def test_a_recursive_definition_can_be_walked():
    crd = definitions.schema_for(resources.CUSTOM_RESOURCE_DEFINITIONS)
    node = crd.child("spec").child("versions").items.child("schema").child("openAPIV3Schema")
    for _ in range(50):
        node = node.child("properties").additional
    assert node.child("$ref").type == "string"


def walk(node):
    yield node
    for inner in node.get("properties", {}).values():
        yield from walk(inner)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from walk(node[key])


@pytest.mark.parametrize(
    "name", [POD_SPEC, "io.k8s.api.core.v1.PodTemplateSpec", "io.k8s.api.core.v1.NodeAffinity"]
)
def test_structural_schemas_are_what_a_crd_may_contain(name):
    schema = structural(name)
    for node in walk(schema):
        assert "$ref" not in node
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), node
        assert not any(k.startswith("x-kubernetes-patch") for k in node)
        if node.get("x-kubernetes-list-type") == "map":
            for key in node["x-kubernetes-list-map-keys"]:
                items = node["items"]
                assert key in items.get("required", ()) or "default" in items["properties"][key]
    assert "description" not in json.dumps([list(n) for n in walk(schema)])
    assert len(json.dumps(schema, separators=(",", ":"))) < 80_000


def test_a_structural_pod_spec_accepts_pods():
    schema = Schema.from_crd({"type": "object", "properties": {"spec": structural(POD_SPEC)}})
    container = {"name": "a", "resources": {"limits": {"nvidia.com/gpu": 4, "memory": "4Gi"}}}
    pod = {"spec": {"containers": [container]}}
    assert schema.validate(pod) == []
    assert schema.prune(pod) == (pod, [])
    container["resources"]["limits"]["cpu"] = True
    container["resources"]["limits"]["memory"] = "4 gigs"
    assert [e.path for e in schema.validate(pod)] == [
        "spec.containers[0].resources.limits.memory",
        "spec.containers[0].resources.limits.cpu",
    ]


def test_structural_schemas_can_carry_descriptions():
    schema = structural("io.k8s.api.core.v1.Toleration", descriptions=True)
    assert schema["description"]
    assert schema["properties"]["key"]["description"]


def test_structural_schemas_share_nothing():
    first = structural("io.k8s.api.core.v1.PodTemplateSpec")
    first["properties"]["metadata"]["properties"].clear()
    assert structural("io.k8s.api.core.v1.PodTemplateSpec")["properties"]["metadata"]["properties"]


def test_openapi_document_of_the_core_group():
    core = [openapi.Served(r, subresources=("status",)) for r in KINDS if not r.group]
    document = openapi.document("", "v1", core)
    schemas = document["components"]["schemas"]
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert pod["description"]
    assert pod["properties"]["spec"]["allOf"] == [{"$ref": f"#/components/schemas/{POD_SPEC}"}]
    assert pod["properties"]["spec"]["description"]
    patch = document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"fieldValidation", "dryRun"} <= {p["name"] for p in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Pod"
    assert "/api/v1/namespaces/{namespace}/pods/{name}/status" in document["paths"]
    assert "/api/v1/nodes/{name}" in document["paths"]
    for name, schema in schemas.items():
        assert definitions.references(schema) <= set(schemas), name


def test_openapi_document_of_a_custom_resource():
    widgets = Resource("example.com", "v1", "widgets", "Widget")
    crd = {"type": "object", "properties": {"spec": {"type": "object", "description": "hi"}}}
    document = openapi.document("example.com", "v1", [openapi.Served(widgets, crd)])
    schema = document["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["properties"]["spec"] == {"type": "object", "description": "hi"}
    assert "allOf" in schema["properties"]["metadata"]
    assert definitions.OBJECT_META in document["components"]["schemas"]
    path = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"
    assert document["paths"][path]["patch"]
