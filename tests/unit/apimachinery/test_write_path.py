"""The whole way of a write, as the API server composes it, on arbitrary objects."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ome.apimachinery import core_defaults, core_validation, resources
from ome.apimachinery.apply import server_side_apply, track_update
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.jsonvalues import copy_json

NOW = "2026-01-01T00:00:00Z"
KINDS = [
    resources.PODS,
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.DAEMON_SETS,
    resources.JOBS,
    resources.SERVICES,
    resources.SECRETS,
    resources.CONFIG_MAPS,
    resources.PERSISTENT_VOLUME_CLAIMS,
    resources.HORIZONTAL_POD_AUTOSCALERS,
    resources.POD_DISRUPTION_BUDGETS,
    resources.NETWORK_POLICIES,
    resources.ROLE_BINDINGS,
    resources.CUSTOM_RESOURCE_DEFINITIONS,
    resources.MUTATING_WEBHOOKS,
]


def values(schema, depth):
    """Values that mostly have the type that the schema states."""
    if schema.is_quantity:
        return st.sampled_from(["1", "500m", "-1", 2, "1Gi"])
    if schema.int_or_string:
        return st.sampled_from([0, 80, "http", "25%"])
    match schema.type:
        case "string":
            return st.sampled_from(["", "a", "b", "Always", "A b"])
        case "integer":
            return st.sampled_from([-1, 0, 1, 80])
        case "boolean":
            return st.booleans()
        case "array" if depth:
            return st.lists(values(schema.items, depth - 1), max_size=2)
        case "object" if depth:
            return objects(schema, depth - 1)
    return st.sampled_from([{}, [], "x", 1])


def objects(schema, depth):
    names = list(schema.properties)
    if not names:
        inner = schema.additional
        leaf = values(inner, depth) if inner is not None else st.just("x")
        return st.dictionaries(st.sampled_from(["a", "cpu", "b c"]), leaf, max_size=2)
    required = [n for n in schema.raw.get("required", ()) if n in names]

    @st.composite
    def build(draw):
        chosen = set(required) | set(draw(st.lists(st.sampled_from(names), max_size=3)))
        return {name: draw(values(schema.child(name), depth)) for name in names if name in chosen}

    return build()


@st.composite
def writes(draw):
    resource = draw(st.sampled_from(KINDS))
    schema = schema_for(resource)
    obj = draw(objects(schema, 7))
    obj.update(apiVersion=resource.api_version, kind=resource.kind)
    obj["metadata"] = {**obj.get("metadata", {}), "name": "x", "namespace": "n", "uid": "u"}
    obj["metadata"].pop("managedFields", None)
    return resource, obj


@settings(max_examples=200)
@given(writes())
def test_no_object_of_right_types_breaks_the_write_path(write):
    resource, obj = write
    before = copy_json(obj)
    schema = schema_for(resource)
    pruned, unknown = schema.prune(obj)
    assert unknown == []
    full = schema.default(pruned)
    if schema.validate(full):
        return
    ready = core_defaults.prepare_create(resource, core_defaults.apply(resource, full))
    assert core_defaults.apply(resource, ready) == ready
    core_validation.validate(resource, ready)
    core_validation.validate(resource, ready, ready)
    try:
        created = track_update(None, ready, manager="m", schema=schema, now=NOW)
        applied = server_side_apply(
            created, pruned, manager="a", force=True, schema=schema, now=NOW
        )
    except BadRequest:  # repeated or keyless list items can't be applied
        return
    if not applied["metadata"].get("managedFields"):
        return  # empty lists alone, which nobody can own: nothing tells that they were applied
    again = server_side_apply(applied, pruned, manager="a", force=True, schema=schema, now=NOW)
    assert again is applied
    assert obj == before
