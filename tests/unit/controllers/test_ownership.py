"""Children are created by POST and changed by apply, and no field is ever stuck in between."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ome.api import constants as c
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of
from ome.controllers.drift import needs_apply
from ome.controllers.executor import NameTaken, execute
from ome.controllers.ownership import created_from, freed, handed_over
from ome.controllers.plan import Apply, Plan, plan_children
from ome.kube import Client, Events, PatchType
from ome.rendering import Child, Observed

OWNER: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "owner", "namespace": "default", "uid": "u-1"},
}
REFERENCE = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "owner",
    "uid": "u-1",
    "controller": True,
}


def deployment(**env: str) -> Object:
    container = {
        "name": "a",
        "image": "i",
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default", "ownerReferences": [REFERENCE]},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [container]},
            },
        },
    }


async def bring(client: Client, wanted: Object) -> Plan:
    """What a reconcile does for this one child."""
    observed = Observed({r.DEPLOYMENTS: (await client.list(r.DEPLOYMENTS, "default")).items})
    plan = plan_children(OWNER, [Child(r.DEPLOYMENTS, wanted)], observed)
    events = Events(client, "test")
    await execute(plan, client, events)
    await events.close()
    return plan


async def get(client: Client) -> Any:
    return await client.get(r.DEPLOYMENTS, "d", "default")


def managers(live: Object) -> list[tuple[str, str]]:
    return [(e["manager"], e["operation"]) for e in live["metadata"]["managedFields"]]


async def test_a_created_child_needs_nothing_although_the_server_filled_it_in(
    client: Client,
) -> None:
    await bring(client, deployment(A="1", B="2"))
    live = await get(client)
    assert live["spec"]["strategy"] and created_from(live)
    assert needs_apply(live, deployment(A="1", B="2"), c.MANAGER) == ""
    assert not await bring(client, deployment(A="1", B="2"))


async def test_while_a_template_is_kept_nothing_is_written(client: Client) -> None:
    def with_hash(output: str, **env: str) -> Object:
        wanted = deployment(**env)
        wanted["metadata"]["annotations"] = {c.A_INPUT_HASH: f"own-shared-{output}"}
        return wanted

    await bring(client, with_hash("1", A="1", B="2"))
    live = await get(client)
    kept = with_hash("1")
    kept["spec"]["template"] = live["spec"]["template"]  # with what the server filled in
    assert not await bring(client, kept)
    await bring(client, with_hash("2", A="1"))
    env = (await get(client))["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "A", "value": "1"}]


async def test_what_is_no_longer_wanted_goes_with_the_first_change(client: Client) -> None:
    await bring(client, deployment(A="1", B="2"))
    plan = await bring(client, deployment(A="1"))
    assert [action.verb for action in plan.applies] == ["prune"]
    live = await get(client)
    env = live["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == [{"name": "A", "value": "1"}]
    assert managers(live) == [("ome", "Apply")]
    assert c.A_CREATED_FROM not in annotations_of(live)
    assert not await bring(client, deployment(A="1"))
    await bring(client, deployment())
    live = await get(client)
    assert not live["spec"]["template"]["spec"]["containers"][0].get("env")


async def test_an_autoscaled_count_survives_the_first_change(client: Client) -> None:
    await bring(client, deployment(A="1"))
    for count in (1, 5):  # also a count that was the default before
        await client.patch(
            r.DEPLOYMENTS,
            "d",
            {"spec": {"replicas": count}},
            namespace="default",
            type=PatchType.MERGE,
            field_manager="autoscaler",
        )
    await bring(client, deployment(A="2"))
    live = await get(client)
    assert live["spec"]["replicas"] == 5
    assert live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "2"


async def test_a_count_to_begin_with_is_there_at_once_and_no_later_apply_touches_it(
    client: Client,
) -> None:
    observed = Observed({r.DEPLOYMENTS: []})
    child = Child(r.DEPLOYMENTS, deployment(A="1"), initial_replicas=0)
    events = Events(client, "test")
    await execute(plan_children(OWNER, [child], observed), client, events)
    await events.close()
    live = await get(client)
    # A first version with another count would have had a pod.
    assert (live["spec"]["replicas"], live["metadata"]["generation"]) == (0, 1)
    assert needs_apply(live, deployment(A="1"), c.MANAGER) == ""
    await bring(client, deployment(A="2"))
    await bring(client, deployment(A="3"))
    live = await get(client)
    assert live["spec"]["replicas"] == 0
    assert live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "3"


async def test_fields_of_the_former_implementation_become_ours(client: Client) -> None:
    before = copy.deepcopy(deployment(A="1", OLD="x"))
    await client.create(r.DEPLOYMENTS, before, field_manager="manager")
    plan = await bring(client, deployment(A="1"))
    assert [action.verb for action in plan.applies] == ["adopt"]
    live = await get(client)
    assert managers(live) == [("ome", "Apply")]
    names = [e["name"] for e in live["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names == ["A"]


async def test_what_others_put_there_in_our_name_is_not_taken_away(client: Client) -> None:
    """Finalizers of another program called manager, and what Knative's webhook adds."""
    before = copy.deepcopy(deployment(A="1"))
    before["metadata"]["finalizers"] = ["example.com/others"]
    knative = {"serving.knative.dev/creator": "x", "serving.knative.dev/lastModifier": "x"}
    before["metadata"]["annotations"] = {**knative, "stale": "x"}
    await client.create(r.DEPLOYMENTS, before, field_manager="manager")
    await bring(client, deployment(A="1"))
    live = await get(client)
    assert live["metadata"]["finalizers"] == ["example.com/others"]
    assert annotations_of(live) == knative
    assert sorted(managers(live)) == [("manager", "Update"), ("ome", "Apply")]
    version = live["metadata"]["resourceVersion"]
    assert not await bring(client, deployment(A="1"))
    await bring(client, deployment(A="2"))
    live = await get(client)
    assert live["metadata"]["resourceVersion"] != version
    assert live["metadata"]["finalizers"] == ["example.com/others"]
    assert annotations_of(live) == knative


async def test_what_others_wrote_stays_theirs(client: Client) -> None:
    await bring(client, deployment(A="1"))
    await client.patch(
        r.DEPLOYMENTS,
        "d",
        {"metadata": {"annotations": {"team": "x"}}},
        namespace="default",
        field_manager="kubectl-edit",
    )
    live = await get(client)
    assert handed_over(live, deployment())[0]["value"][0]["manager"] == "ome"
    await bring(client, deployment(A="2"))
    live = await get(client)
    assert annotations_of(live)["team"] == "x"
    assert ("kubectl-edit", "Update") in managers(live)


async def test_an_object_of_somebody_else_is_not_touched(client: Client) -> None:
    foreign = deployment(A="1")
    del foreign["metadata"]["ownerReferences"]
    await client.create(r.DEPLOYMENTS, foreign, field_manager="somebody")
    before = await get(client)
    plan = Plan(OWNER, [Apply(r.DEPLOYMENTS, deployment(A="1"), "create", "create it")])
    events = Events(client, "test")
    with pytest.raises(NameTaken, match="nobody that OME knows"):
        await execute(plan, client, events)
    await events.close()
    assert await get(client) == before


async def blindly(client: Client, wanted: Object, replicas: int | None = None) -> list[str]:
    """What happens where the cache does not show the child; the messages of the events."""
    plan = Plan(OWNER, [Apply(r.DEPLOYMENTS, wanted, "create", "create it", replicas)])
    events = Events(client, "test")
    await execute(plan, client, events)
    await events.close()
    return [event["message"] for event in (await client.list(r.EVENTS, "default")).items]


def labelled(**env: str) -> Object:
    made = deployment(**env)
    made["metadata"]["labels"] = {c.L_INFERENCE_SERVICE: "owner", "app": "d"}
    return made


async def test_a_cache_that_lags_costs_nothing_but_a_request(client: Client) -> None:
    await bring(client, labelled(A="1"))
    await client.patch(r.DEPLOYMENTS, "d", {"spec": {"replicas": 5}}, namespace="default")
    before = await get(client)
    told = await blindly(client, labelled(A="2"), 2)
    assert await get(client) == before
    assert "create it" not in told


@pytest.mark.parametrize(
    "lost",
    [
        {"labels": None},
        {"labels": {c.L_INFERENCE_SERVICE: None}},
        {"labels": {c.L_INFERENCE_SERVICE: "another"}},
        {"ownerReferences": None},
        {"ownerReferences": [{**REFERENCE, "controller": False}]},
        {"ownerReferences": None, "labels": None},
    ],
)
async def test_a_child_that_lost_its_marks_gets_them_back_and_nothing_else_changes(
    client: Client, lost: Object
) -> None:
    await bring(client, labelled(A="1"))
    await client.patch(r.DEPLOYMENTS, "d", {"spec": {"replicas": 5}}, namespace="default")
    before = await get(client)
    await client.patch(
        r.DEPLOYMENTS, "d", {"metadata": lost}, namespace="default", field_manager="hand"
    )
    told = await blindly(client, labelled(A="2"), 2)
    live = await get(client)
    assert live["metadata"]["ownerReferences"] == before["metadata"]["ownerReferences"]
    assert live["metadata"]["labels"] == before["metadata"]["labels"]
    assert live["spec"] == before["spec"]
    assert "mark Deployment d as the service's again" in told and "create it" not in told
    assert needs_apply(live, labelled(A="1"), c.MANAGER) == ""


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {c.L_INFERENCE_SERVICE: "another"}},  # and without an owner it is another's
        {"labels": {c.L_INFERENCE_SERVICE: "owner"}},
        {"ownerReferences": [{**REFERENCE, "uid": "u-2", "name": "other"}]},
    ],
)
async def test_what_looks_like_a_child_and_is_none_is_not_touched(
    client: Client, meta: Object
) -> None:
    foreign = deployment(A="1")
    foreign["metadata"] = {"name": "d", "namespace": "default", **meta}
    theirs = c.MANAGER if "another" in str(meta) else "somebody"
    await client.create(r.DEPLOYMENTS, foreign, field_manager=theirs)
    before = await get(client)
    with pytest.raises(NameTaken):
        await blindly(client, labelled(A="1"))
    assert await get(client) == before


def _with_ports(*ports: Object) -> Object:
    return {"metadata": {"name": "a", "resourceVersion": "7"}, "spec": {"ports": list(ports)}}


def test_a_port_whose_number_somebody_changed_is_taken_back_and_added_ones_stay() -> None:
    ours: Object = {"name": "http", "port": 8080, "targetPort": 8080}
    added: Object = {"name": "debug", "port": 9, "protocol": "TCP"}
    wanted = _with_ports(ours)
    assert freed(_with_ports({**ours, "protocol": "TCP"}, added), wanted) == []
    changed = _with_ports({**ours, "port": 99, "protocol": "TCP"}, added)
    assert freed(changed, wanted) == [
        {"op": "replace", "path": "/spec/ports", "value": [ours, added]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]


def test_ports_of_containers_are_found_by_the_containers_name() -> None:
    def pod(*containers: Object) -> Object:
        spec = {"template": {"spec": {"containers": list(containers)}}}
        return {"metadata": {"resourceVersion": "7"}, "spec": spec}

    port: Object = {"name": "http", "containerPort": 8080}
    main: Object = {"name": "main", "ports": [port]}
    live = pod({"name": "proxy"}, {"name": "main", "ports": [{**port, "containerPort": 99}]})
    path = "/spec/template/spec/containers/1/ports"
    assert freed(live, pod(main))[0] == {"op": "replace", "path": path, "value": [port]}
