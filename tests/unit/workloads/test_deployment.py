"""Deployments: the rules, and whole rollouts simulated over them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ome.apimachinery.objects import condition, metadata
from ome.standalone.workloads import deployment as rules
from ome.standalone.workloads.pods import timestamp


def make(replicas: int | None = 3, image: str = "a", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "uid": "du", "generation": 1},
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            **spec,
        },
    }


def rolling(surge: Any, unavailable: Any) -> dict[str, Any]:
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
    }


class World:
    """ReplicaSets that do as told; pods become ready when asked to."""

    def __init__(self, deployment: dict[str, Any]) -> None:
        self.deployment = deployment
        self.sets: list[dict[str, Any]] = []
        self.now = 1000.0
        self.healthy = {"a": True, "b": True, "c": True}
        self.old_pods = 0

    def step(self) -> rules.Plan:
        plan = rules.plan(self.deployment, self.sets, self.old_pods, self.now)
        if plan.create is not None:
            created = dict(plan.create)
            created["metadata"] = {
                **created["metadata"],
                "uid": f"rs{len(self.sets)}",
                "creationTimestamp": timestamp(self.now),
            }
            created["status"] = {}
            self.sets.append(created)
        for rs in self.sets:
            name = metadata(rs)["name"]
            if name in plan.scale:
                rs["spec"] = {**rs["spec"], "replicas": plan.scale[name]}
            if name in plan.annotate:
                rs["metadata"]["annotations"] = rs["metadata"].get("annotations", {}) | dict(
                    plan.annotate[name]
                )
        self.sets = [rs for rs in self.sets if metadata(rs)["name"] not in plan.delete]
        if annotations := plan.annotate.get(""):
            held = self.deployment["metadata"].setdefault("annotations", {})
            held |= annotations
        self.deployment["status"] = plan.status
        return plan

    def settle_pods(self) -> None:
        for rs in self.sets:
            count = rs["spec"]["replicas"]
            image = rs["spec"]["template"]["spec"]["containers"][0]["image"]
            available = count if self.healthy[image] else 0
            rs["status"] = {
                "replicas": count,
                "readyReplicas": available,
                "availableReplicas": available,
            }
        self.now += 1

    def roll(self, limit: int = 60) -> None:
        for _ in range(limit):
            before = [(metadata(rs)["name"], rs["spec"]["replicas"]) for rs in self.sets]
            self.step()
            self.settle_pods()
            after = [(metadata(rs)["name"], rs["spec"]["replicas"]) for rs in self.sets]
            if before == after:
                self.step()
                return
        raise AssertionError("the rollout does not come to rest")

    def change(self, **template: str) -> None:
        spec = self.deployment["spec"]
        container = {"name": "c", **template}
        spec["template"] = {**spec["template"], "spec": {"containers": [container]}}
        self.deployment["metadata"]["generation"] += 1

    def sizes(self) -> dict[str, int]:
        return {
            rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["spec"]["replicas"]
            for rs in self.sets
        }


def test_a_new_deployment_gets_a_replica_set_of_its_size_and_completes() -> None:
    world = World(make(3))
    world.roll()
    assert world.sizes() == {"a": 3}
    (rs,) = world.sets
    hashed = metadata(rs)["labels"]["pod-template-hash"]
    assert metadata(rs)["name"] == f"d-{hashed}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "x", "pod-template-hash": hashed}
    assert rs["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == hashed
    status = world.deployment["status"]
    assert status["availableReplicas"] == status["updatedReplicas"] == 3
    assert (condition(world.deployment, "Progressing") or {})["reason"] == "NewReplicaSetAvailable"
    assert (condition(world.deployment, "Available") or {})["status"] == "True"
    assert world.deployment["metadata"]["annotations"][rules.REVISION] == "1"


def test_nothing_is_left_to_do_once_complete() -> None:
    world = World(make(3))
    world.roll()
    plan = world.step()
    assert (plan.create, plan.scale, plan.annotate, plan.delete) == (None, {}, {}, ())
    assert rules.plan(world.deployment, world.sets, 0, world.now).status == plan.status


@settings(max_examples=150, deadline=None)
@given(
    replicas=st.integers(0, 12),
    surge=st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%", "0%"])),
    unavailable=st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%", "0%"])),
    to=st.integers(0, 12),
)
def test_a_rollout_keeps_within_its_bounds_and_comes_to_rest(
    replicas: int, surge: Any, unavailable: Any, to: int
) -> None:
    world = World(make(replicas, strategy=rolling(surge, unavailable)))
    world.roll()
    world.change(image="b")
    most, least = rules.bounds(world.deployment["spec"])
    for _ in range(60):
        world.step()
        total = sum(rs["spec"]["replicas"] for rs in world.sets)
        available = sum(
            min(rs["spec"]["replicas"], rs["status"].get("availableReplicas", 0))
            for rs in world.sets
        )
        assert total <= replicas + most
        assert available >= replicas - least
        world.settle_pods()
        if world.sizes() in ({"a": 0, "b": replicas}, {"b": replicas}):
            break
    else:
        raise AssertionError(world.sizes())
    world.deployment["spec"]["replicas"] = to
    world.roll()
    assert world.sizes()["b"] == to
    assert world.sizes().get("a", 0) == 0


def test_a_broken_version_leaves_the_old_one_serving_and_the_deadline_tells() -> None:
    world = World(make(4, strategy=rolling(1, 0), progressDeadlineSeconds=60))
    world.roll()
    world.healthy["b"] = False
    world.change(image="b")
    world.roll()
    assert world.sizes() == {"a": 4, "b": 1}
    plan = world.step()
    assert plan.look_again is not None
    assert 0 < plan.look_again <= 62
    world.now += 100
    world.step()
    shown = condition(world.deployment, "Progressing") or {}
    assert (shown["status"], shown["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert (condition(world.deployment, "Available") or {})["status"] == "True"
    world.change(image="c")
    world.roll()
    assert world.sizes() == {"a": 0, "b": 0, "c": 4}
    assert (condition(world.deployment, "Progressing") or {})["status"] == "True"


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    world = World(make(2, strategy={"type": "Recreate"}))
    world.roll()
    world.change(image="b")
    world.old_pods = 2
    world.step()
    world.settle_pods()
    world.step()
    assert world.sizes() == {"a": 0, "b": 0}
    world.old_pods = 0
    world.roll()
    assert world.sizes() == {"a": 0, "b": 2}


def test_going_back_takes_the_old_replica_set_and_a_new_revision() -> None:
    world = World(make(2))
    world.roll()
    world.change(image="b")
    world.roll()
    world.change(image="a")
    world.roll()
    assert world.sizes() == {"a": 2, "b": 0}
    assert len(world.sets) == 2
    assert world.deployment["metadata"]["annotations"][rules.REVISION] == "3"
    assert rules.revision_of(world.sets[0]) == 3


def test_while_paused_templates_wait_and_sizes_follow() -> None:
    world = World(make(2))
    world.roll()
    world.deployment["spec"]["paused"] = True
    world.change(image="b")
    world.deployment["spec"]["replicas"] = 4
    world.roll()
    assert world.sizes() == {"a": 4}
    assert (condition(world.deployment, "Progressing") or {})["reason"] == "DeploymentPaused"
    world.deployment["spec"]["paused"] = False
    world.roll()
    assert world.sizes() == {"a": 0, "b": 4}


def test_old_replica_sets_beyond_the_history_limit_go() -> None:
    world = World(make(1, revisionHistoryLimit=1))
    for image in ("a", "b", "c", "a", "b"):
        world.change(image=image)
        world.roll()
    assert len(world.sets) == 2


def test_the_hash_label_of_an_own_template_does_not_matter_and_names_do_not_collide() -> None:
    deployment = make(1)
    first = rules.new_replica_set(deployment, 1, 1, frozenset())
    assert rules.current(deployment, [first]) is first
    second = rules.new_replica_set(deployment, 1, 1, frozenset({metadata(first)["name"]}))
    assert metadata(second)["name"] != metadata(first)["name"]


def test_a_refusal_to_create_pods_shows() -> None:
    world = World(make(1))
    world.roll()
    failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "quota",
    }
    world.sets[0]["status"] = {"conditions": [failure]}
    world.step()
    assert (condition(world.deployment, "ReplicaFailure") or {})["message"] == "quota"
    world.settle_pods()
    world.step()
    assert condition(world.deployment, "ReplicaFailure") is None


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (10, "25%", "25%", (3, 2)),
        (2, 0, 0, (0, 1)),
        (1, 0, "100%", (0, 1)),
        (None, None, None, (0, 1)),
    ],
)
def test_percentages_round_up_for_surge_and_down_for_unavailable(
    replicas: int | None, surge: Any, unavailable: Any, expected: tuple[int, int]
) -> None:
    assert rules.bounds(make(replicas, strategy=rolling(surge, unavailable))["spec"]) == expected
