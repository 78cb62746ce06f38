import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery.apply import LAST_APPLIED, server_side_apply, track_update
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.errors import BadRequest, Conflict, Invalid
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.patches import merge_patch
from ome.apimachinery.schema import Schema

T1, T2, T3 = (f"2026-01-01T00:00:0{i}Z" for i in (1, 2, 3))
DEPLOYMENT = schema_for("Deployment")
CONFIG_MAP = schema_for("ConfigMap")


def apply(live, patch, manager="a", force=False, schema=DEPLOYMENT, now=T1, **options):
    before = copy_json(live), copy_json(patch)
    out = server_side_apply(
        live, patch, manager=manager, force=force, schema=schema, now=now, **options
    )
    assert (live, patch) == before
    return out


def update(old, new, manager="u", schema=DEPLOYMENT, now=T2, **options):
    before = copy_json(old), copy_json(new)
    out = track_update(old, new, manager=manager, schema=schema, now=now, **options)
    assert (old, new) == before
    return out


def deployment(**spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": spec,
    }


def pod_template(*containers, **spec):
    return {"template": {"spec": {"containers": list(containers), **spec}}}


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def owned(obj, manager, operation="Apply", subresource=""):
    for entry in obj["metadata"].get("managedFields", []):
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            operation,
            subresource,
        ):
            return entry["fieldsV1"]
    return None


def containers(obj):
    return obj["spec"]["template"]["spec"]["containers"]


def without_managed(obj):
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": meta}


def test_creating_by_apply():
    out = apply(None, {**deployment(replicas=3), "status": {"x": 1}}, reset_fields=("status",))
    assert out["metadata"]["managedFields"] == [
        {
            "manager": "a",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]
    assert without_managed(out) == deployment(replicas=3)


def test_applying_the_same_again_changes_nothing_at_all():
    live = apply(None, deployment(replicas=3, **pod_template({"name": "a", "image": "x"})))
    same = deployment(replicas=3, **pod_template({"name": "a", "image": "x"}))
    assert apply(live, same, now=T3) is live
    assert apply(live, same, now=T3, force=True) is live


def test_a_changed_value_moves_the_time():
    live = apply(None, deployment(replicas=3))
    out = apply(live, deployment(replicas=4), now=T3)
    assert out["spec"]["replicas"] == 4
    assert out["metadata"]["managedFields"][0]["time"] == T3


def test_conflict_with_one_manager_has_kubernetes_words():
    live = update(None, deployment(replicas=1), manager="kubectl")
    with pytest.raises(Conflict) as caught:
        apply(live, deployment(replicas=2))
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    )
    assert caught.value.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
    }
    assert caught.value.code == 409


def test_conflicts_with_several_managers_are_listed():
    live = apply(None, deployment(**pod_template({"name": "m", "image": "1"})), manager="z")
    live = update(
        live, merge_patch(live, {"spec": {"replicas": 5}}), manager="hpa", subresource="scale"
    )
    with pytest.raises(Conflict) as caught:
        apply(live, deployment(replicas=2, **pod_template({"name": "m", "image": "2"})))
    assert caught.value.message == (
        "Apply failed with 2 conflicts: "
        'conflicts with "hpa" with subresource "scale" using apps/v1:\n'
        "- .spec.replicas\n"
        'conflicts with "z":\n'
        '- .spec.template.spec.containers[name="m"].image'
    )


def test_force_takes_the_field_over():
    live = update(None, deployment(replicas=1, paused=True))
    out = apply(live, deployment(replicas=2), force=True)
    assert out["spec"]["replicas"] == 2
    assert owned(out, "a") == {"f:spec": {"f:replicas": {}}}
    assert owned(out, "u", "Update") == {"f:spec": {"f:paused": {}}}


def test_equal_values_are_shared_without_conflict():
    live = apply(None, deployment(replicas=1), manager="a")
    live = apply(live, deployment(replicas=1), manager="b", now=T2)
    assert owned(live, "a") == owned(live, "b") == {"f:spec": {"f:replicas": {}}}
    # One of two owners lets go: the value stays.
    live = apply(live, deployment(), manager="a", now=T3)
    assert live["spec"]["replicas"] == 1
    assert owned(live, "a") == {"f:spec": {}} or owned(live, "a") is None
    # The last owner lets go: the value goes.
    live = apply(live, deployment(paused=True), manager="b", now=T3)
    assert live["spec"] == {"paused": True}


def test_a_shared_value_cannot_be_changed_without_force():
    live = apply(None, deployment(replicas=1), manager="a")
    live = apply(live, deployment(replicas=1), manager="b")
    with pytest.raises(Conflict):
        apply(live, deployment(replicas=2), manager="b")
    out = apply(live, deployment(replicas=2), manager="b", force=True)
    assert owned(out, "a") is None


def test_fields_that_an_updater_owns_too_are_kept():
    live = apply(None, config_map(a="1", b="2"), schema=CONFIG_MAP)
    live = update(live, merge_patch(live, {"data": {"b": "3"}}), schema=CONFIG_MAP)
    out = apply(live, config_map(a="1"), schema=CONFIG_MAP)
    assert out["data"] == {"a": "1", "b": "3"}


def test_unowned_fields_stay():
    live = apply(None, deployment(replicas=1))
    live = {**live, "spec": {**live["spec"], "revisionHistoryLimit": 10}}
    out = apply(live, deployment(paused=True))
    assert out["spec"] == {"paused": True, "revisionHistoryLimit": 10}


def test_items_merge_by_key_and_go_with_their_last_owner():
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    live = apply(None, deployment(**pod_template({"name": "m", "image": "x", "env": env})))
    side = {"name": "side", "image": "s"}
    live = apply(
        live,
        deployment(**pod_template(side, {"name": "m", "env": [{"name": "C", "value": "3"}]})),
        manager="b",
    )
    assert [c["name"] for c in containers(live)] == ["side", "m"]
    out = apply(live, deployment(**pod_template({"name": "m", "image": "x", "env": env[1:]})))
    main = containers(out)[1]
    assert [e["name"] for e in main["env"]] == ["B", "C"]
    out = apply(out, deployment(**pod_template({"name": "m"})), manager="b")
    assert [c["name"] for c in containers(out)] == ["m"]
    assert [e["name"] for e in containers(out)[0]["env"]] == ["B"]


def test_a_dropped_item_stays_for_a_co_owner_with_the_co_owners_fields_only():
    live = apply(None, deployment(**pod_template({"name": "m", "image": "x", "tty": True})))
    live = apply(live, deployment(**pod_template({"name": "m", "image": "x"})), manager="b")
    out = apply(live, deployment(**pod_template({"name": "other", "image": "y"})))
    assert containers(out)[0] == {"name": "other", "image": "y"} or containers(out)[1] == {
        "name": "other",
        "image": "y",
    }
    (shared,) = [c for c in containers(out) if c["name"] == "m"]
    assert shared == {"name": "m", "image": "x"}


def test_owning_a_field_inside_an_item_does_not_keep_the_item():
    live = apply(None, deployment(**pod_template({"name": "m"}, {"name": "n"})))
    new = copy_json(live)
    containers(new)[0]["image"] = "x"
    live = update(live, new)
    out = apply(live, deployment(**pod_template({"name": "n"})))
    assert containers(out) == [{"name": "n"}]
    assert owned(out, "u", "Update") is None


def test_the_order_of_the_configuration_wins_among_its_items():
    def names(obj):
        return [c["name"] for c in containers(obj)]

    live = update(None, deployment(**pod_template(*({"name": n} for n in "abc"))))
    out = apply(live, deployment(**pod_template({"name": "c"}, {"name": "a"})))
    assert names(out) == ["b", "c", "a"]
    out = apply(live, deployment(**pod_template({"name": "x"}, {"name": "b"})))
    assert names(out) == ["a", "x", "b", "c"]
    out = apply(live, deployment(**pod_template({"name": "x"})))
    assert names(out) == ["a", "b", "c", "x"]


def test_list_keys_have_defaults():
    live = apply(None, deployment(**pod_template({"name": "m", "ports": [{"containerPort": 80}]})))
    live = DEPLOYMENT.default(live)
    assert containers(live)[0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    same = deployment(**pod_template({"name": "m", "ports": [{"containerPort": 80}]}))
    assert apply(live, same) is live
    udp = {"containerPort": 80, "protocol": "UDP"}
    out = apply(live, deployment(**pod_template({"name": "m", "ports": [udp]})), manager="b")
    assert len(containers(out)[0]["ports"]) == 2


def test_sets_are_owned_by_value():
    def with_finalizers(*values):
        return {**deployment(), "metadata": {"name": "d", "finalizers": list(values)}}

    live = apply(None, with_finalizers("x/a", "x/b"))
    live = apply(live, with_finalizers("x/b", "x/c"), manager="b")
    assert live["metadata"]["finalizers"] == ["x/a", "x/b", "x/c"]
    out = apply(live, with_finalizers("x/a"))
    assert out["metadata"]["finalizers"] == ["x/a", "x/b", "x/c"]
    out = apply(out, with_finalizers("x/c"), manager="b")
    assert out["metadata"]["finalizers"] == ["x/a", "x/c"]


def test_atomic_values_are_owned_whole():
    selector = {"matchLabels": {"a": "b"}}
    live = apply(None, deployment(selector=selector))
    assert owned(live, "a") == {"f:spec": {"f:selector": {}}}
    with pytest.raises(Conflict):
        apply(live, deployment(selector={"matchLabels": {"c": "d"}}), manager="b")
    out = apply(live, deployment(selector={"matchLabels": {"c": "d"}}), manager="b", force=True)
    assert out["spec"]["selector"] == {"matchLabels": {"c": "d"}}


def test_quantities_and_nulls_are_compared_in_stored_form():
    def template(cpu):
        return deployment(
            **pod_template({"name": "m", "resources": {"limits": {"cpu": cpu}}, "tty": None})
        )

    live = apply(None, template("1000m"))
    assert containers(live)[0] == {"name": "m", "resources": {"limits": {"cpu": "1"}}}
    assert apply(live, template(1)) is live


def test_everything_goes_when_the_only_owner_applies_nothing():
    full = config_map(a="1", b="2")
    full["metadata"] = {"name": "c", "labels": {"x": "y"}}
    live = apply(None, full, schema=CONFIG_MAP)
    live["metadata"]["uid"] = "u"
    nothing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    out = apply(live, nothing, schema=CONFIG_MAP)
    assert out == {**nothing, "metadata": {"name": "c", "uid": "u"}}


def test_system_fields_in_a_configuration_are_ignored():
    live = apply(None, deployment(replicas=1))
    live["metadata"].update(uid="u", resourceVersion="7", generation=2, creationTimestamp=T1)
    patch = deployment(replicas=1)
    patch["metadata"].update(
        uid="u", resourceVersion="7", generation=9, creationTimestamp=None, selfLink="x"
    )
    assert apply(live, patch) is live


def test_what_cannot_be_applied():
    live = apply(None, deployment(replicas=1))
    with pytest.raises(BadRequest):
        apply(live, live)  # with managedFields
    for manager in ("", "x" * 129, "a\nb"):
        with pytest.raises(Invalid):
            apply(live, deployment(), manager=manager)
    with pytest.raises(BadRequest):
        apply(live, config_map(a="1"))
    with pytest.raises(BadRequest):
        apply(live, deployment(**pod_template({"image": "x"})))


def test_creating_by_update_owns_what_was_written():
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "m", "image": "x", "resources": {"limits": {"cpu": "1"}}}]
        },
    }
    obj = deployment(replicas=1, strategy={"type": "Recreate"}, template=template)
    obj["metadata"]["labels"] = {"a": "b"}
    out = update(None, obj)
    assert owned(out, "u", "Update") == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:strategy": {"f:type": {}},
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"m"}': {
                            ".": {},
                            "f:image": {},
                            "f:name": {},
                            "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
                        }
                    }
                },
            },
        },
    }


def test_updates_take_what_they_change_and_removals_leave_everyone():
    live = apply(None, config_map(a="1", b="2", c="3"), schema=CONFIG_MAP)
    new = copy_json(live)
    new["data"] = {"a": "1", "b": "9", "d": "4"}
    out = update(live, new, schema=CONFIG_MAP)
    assert owned(out, "a") == {"f:data": {"f:a": {}}}
    assert owned(out, "u", "Update") == {"f:data": {"f:b": {}, "f:d": {}}}


def test_an_update_that_changes_nothing_is_the_old_object():
    live = update(None, deployment(replicas=1), now=T1)
    out = update(live, copy_json(live), now=T3)
    assert out == live
    dropped = without_managed(live)
    assert update(live, dropped, now=T3) == live


def test_managed_fields_can_be_rewritten_and_reset():
    live = update(None, deployment(replicas=1), now=T1)
    reset = copy_json(live)
    for nothing in ([], [{}]):
        reset["metadata"]["managedFields"] = nothing
        out = update(live, reset, now=T3)
        assert "managedFields" not in out["metadata"]
    scaled = update(out, merge_patch(out, {"spec": {"replicas": 2}}), now=T3)
    assert "managedFields" not in scaled["metadata"]
    moved = copy_json(live)
    moved["metadata"]["managedFields"][0].update(manager="kubectl", operation="Apply")
    out = update(live, moved, now=T3)
    assert [e["manager"] for e in out["metadata"]["managedFields"]] == ["kubectl"]
    broken = copy_json(live)
    broken["metadata"]["managedFields"] = [{"manager": "x", "operation": "Nope"}]
    assert update(live, broken, now=T3) == live
    through_status = update(live, reset, now=T3, subresource="status")
    assert through_status == live


def test_status_and_spec_are_owned_apart():
    live = update(None, deployment(replicas=1), reset_fields=("status",))
    new = {**live, "status": {"replicas": 1, "conditions": [{"type": "Ready", "status": "True"}]}}
    out = update(live, new, subresource="status")
    assert owned(out, "u", "Update") == {"f:spec": {"f:replicas": {}}}
    condition = {".": {}, "f:type": {}, "f:status": {}}
    assert owned(out, "u", "Update", "status") == {
        "f:status": {
            ".": {},
            "f:conditions": {".": {}, 'k:{"type":"Ready"}': condition},
            "f:replicas": {},
        }
    }
    patch = {**deployment(replicas=7), "status": {"replicas": 2}}
    forced = apply(out, patch, manager="s", subresource="status", force=True)
    assert forced["spec"]["replicas"] == 1
    assert forced["status"]["replicas"] == 2
    assert owned(forced, "s", "Apply", "status") == {"f:status": {"f:replicas": {}}}


def test_objects_that_nobody_tracked_belong_to_a_manager_of_their_own():
    live = deployment(replicas=1)
    with pytest.raises(Conflict) as caught:
        apply(live, deployment(replicas=2))
    assert "before-first-apply" in caught.value.message
    out = apply(live, deployment(replicas=2, paused=True), force=True)
    assert owned(out, "before-first-apply", "Update") is None
    assert owned(out, "a") == {"f:spec": {"f:paused": {}, "f:replicas": {}}}


def test_kubectl_takes_over_what_its_client_side_apply_had_set():
    config = deployment(replicas=1, paused=True)
    text = json.dumps(config)
    created = copy_json(config)
    created["metadata"]["annotations"] = {LAST_APPLIED: text}
    live = update(None, created, manager="kubectl-client-side-apply")
    with pytest.raises(Conflict):
        apply(live, deployment(replicas=2, paused=True), manager="other")
    out = apply(live, deployment(replicas=2, paused=True), manager="kubectl")
    assert out["spec"]["replicas"] == 2
    assert json.loads(out["metadata"]["annotations"][LAST_APPLIED])["spec"]["replicas"] == 2
    # A value that somebody else changed since is still a conflict.
    scaled = update(live, merge_patch(live, {"spec": {"replicas": 5}}), manager="scaler")
    with pytest.raises(Conflict) as caught:
        apply(scaled, deployment(replicas=2, paused=False), manager="kubectl")
    assert [c.path for c in caught.value.causes] == [".spec.replicas"]


def test_many_updaters_are_folded_into_one():
    live = update(None, config_map(a="0"), schema=CONFIG_MAP, manager="u0")
    for i in range(1, 15):
        live = update(
            live,
            merge_patch(live, {"data": {f"k{i}": "x"}}),
            schema=CONFIG_MAP,
            manager=f"u{i}",
            now=f"2026-01-01T00:01:{i:02}Z",
        )
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    ancient = owned(live, "ancient-changes", "Update")
    assert {"f:a", "f:k1"} <= set(ancient["f:data"])
    assert owned(live, "u14", "Update")


def test_appliers_come_first_and_then_by_time():
    live = update(None, config_map(a="1"), schema=CONFIG_MAP, manager="z", now=T1)
    live = apply(live, config_map(b="1"), schema=CONFIG_MAP, manager="b", now=T3)
    live = apply(live, config_map(c="1"), schema=CONFIG_MAP, manager="a", now=T3)
    live = update(
        live, merge_patch(live, {"data": {"d": "1"}}), schema=CONFIG_MAP, manager="y", now=T2
    )
    order = [(e["manager"], e["operation"]) for e in live["metadata"]["managedFields"]]
    assert order == [("a", "Apply"), ("b", "Apply"), ("z", "Update"), ("y", "Update")]


WIDGET = Schema.from_crd(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {
                    "map": {"type": "object", "additionalProperties": {
                        "type": "object", "properties": {"x": {"type": "integer"}}}},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic",
                              "additionalProperties": {"type": "string"}},
                    "maybe": {"type": "string", "nullable": True},
                },
            }
        },
    }
)  # fmt: skip


def widget(**spec):
    return {"apiVersion": "x/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def test_unknown_fields_are_divided_by_their_shape():
    live = apply(None, widget(free={"a": {"b": [1]}, "c": 1}, map={"k": {"x": 1}}), schema=WIDGET)
    assert owned(live, "a") == {
        "f:spec": {
            "f:free": {".": {}, "f:a": {".": {}, "f:b": {}}, "f:c": {}},
            "f:map": {"f:k": {".": {}, "f:x": {}}},
        }
    }
    out = apply(live, widget(free={"a": {"b": [1]}}), schema=WIDGET)
    assert out["spec"] == {"free": {"a": {"b": [1]}}}
    out = apply(live, widget(free={"d": 1}), schema=WIDGET, manager="b")
    assert out["spec"]["free"] == {"a": {"b": [1]}, "c": 1, "d": 1}


def test_nullable_null_is_a_value_and_other_nulls_are_nothing():
    live = apply(None, widget(maybe=None, map=None), schema=WIDGET)
    assert live["spec"] == {"maybe": None}
    assert owned(live, "a") == {"f:spec": {"f:maybe": {}}}
    with pytest.raises(Conflict):
        apply(live, widget(maybe="x"), schema=WIDGET, manager="b")


def test_custom_resources_own_their_spec_on_create():
    out = update(None, widget(whole={"a": "b"}), schema=WIDGET)
    assert owned(out, "u", "Update") == {"f:spec": {".": {}, "f:whole": {}}}


NAMES = st.sampled_from("abc")
ENV = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"value": st.sampled_from("12")}),
    min_size=1,  # an empty list is stored as none, but not here
    max_size=3,
    unique_by=lambda e: e["name"],
)
CONFIGS = st.builds(
    lambda replicas, labels, items, selector: {
        **deployment(
            **({"replicas": replicas} if replicas else {}),
            **({"selector": {"matchLabels": selector}} if selector else {}),
            **(pod_template(*items) if items else {}),
        ),
        "metadata": {"name": "d", **({"labels": labels} if labels else {})},
    },
    st.sampled_from([None, 1, 2]),
    st.dictionaries(NAMES, st.sampled_from("12"), max_size=3),
    st.lists(
        st.fixed_dictionaries(
            {"name": NAMES}, optional={"image": st.sampled_from("12"), "env": ENV}
        ),
        max_size=3,
        unique_by=lambda c: c["name"],
    ),
    st.dictionaries(NAMES, st.sampled_from("12"), max_size=2),
)


@given(CONFIGS)
def test_apply_is_idempotent_and_its_only_owner_can_take_it_back(config):
    live = apply(None, config)
    assert apply(live, config, now=T3) is live
    nothing = {**deployment(), "metadata": {"name": "d"}}
    del nothing["spec"]
    out = apply(live, nothing)
    assert out["metadata"] == {"name": "d"}
    assert out.get("spec", {}) == {} or not config["spec"]


@given(st.lists(st.tuples(NAMES, st.booleans(), CONFIGS), min_size=1, max_size=6))
def test_however_managers_take_turns_ownership_stays_true(steps):
    live = None
    for manager, by_apply, config in steps:
        if by_apply or live is None:
            live = apply(live, config, manager=manager, force=True)
            again = apply(live, config, manager=manager, force=True, now=T3)
            assert again is live
        else:
            live = update(live, merge_patch(live, config), manager=manager)
        for entry in live["metadata"].get("managedFields", []):
            present = update(None, without_managed(live), manager="all", schema=DEPLOYMENT)
            everything = owned(present, "all", "Update") or {}
            there = _leaves(everything) | _parents(everything) | {("f:spec",)}
            assert _leaves(entry["fieldsV1"]) <= there


def _leaves(tree, path=()):
    found = set()
    for key, inner in tree.items():
        if key == ".":
            found.add(path)
        elif not inner:
            found.add((*path, key))
        else:
            found |= _leaves(inner, (*path, key))
    return found


def _parents(tree, path=()):
    found = {path}
    for key, inner in tree.items():
        if key != ".":
            found |= _parents(inner, (*path, key))
    return found
