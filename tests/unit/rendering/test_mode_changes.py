"""Mode changes over the pure plan: what serves is never taken away before something else does.

A small world holds the children; a machine changes the mode, carries out plans and lets workloads
come up, in any order, also in the middle of an earlier change.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import gpu_runtime, made

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource
from ome.controllers.plan import Plan, plan_children
from ome.rendering import Observed, Rendered

RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
MODES: dict[str, tuple[Object, Object]] = {
    "raw": (service(), runtime()),
    "groups": (service(), gpu_runtime()),
    "ray": (service(engine=RAY), gpu_runtime()),
    "serverless": (service(engine={"minReplicas": 0}), runtime()),
}
OF: dict[str, tuple[Resource, str]] = {
    "raw": (r.DEPLOYMENTS, "chat-engine"),
    "groups": (x.LEADER_WORKER_SETS, "lws-chat-engine"),
    "ray": (x.RAY_CLUSTERS, "chat-engine-0"),
    "serverless": (x.KNATIVE_SERVICES, "chat-engine"),
}
TRUE = [
    {"type": kind, "status": "True"}
    for kind in ("Available", "Ready", "ConfigurationsReady", "RoutesReady")
]
UP: Object = {
    "observedGeneration": 9,
    "replicas": 1,
    "updatedReplicas": 1,
    "availableReplicas": 1,
    "readyReplicas": 1,
    "state": "ready",
    "latestCreatedRevisionName": "chat-engine-00001",
    "latestReadyRevisionName": "chat-engine-00001",
    "conditions": TRUE,
}
Place = tuple[Resource, str]


class Cluster:
    """What exists, and which workloads are up."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.objects: dict[Place, Object] = {}
        self.step()
        self.come_up()
        self.settle()

    def look(self) -> tuple[Rendered, Plan]:
        subject, serving = copy.deepcopy(MODES[self.mode])
        subject["metadata"]["uid"] = "u-1"
        by_kind: dict[Resource, list[Object]] = {}
        for (kind, _), obj in self.objects.items():
            by_kind.setdefault(kind, []).append(copy.deepcopy(obj))
        observed = Observed(by_kind)
        rendered = made(subject, runtime=serving, observed=observed)
        return rendered, plan_children(subject, rendered.children, observed, rendered.keep)

    def step(self) -> bool:
        """One reconciliation. False where there was nothing to do."""
        _, plan = self.look()
        for apply in plan.applies:
            place = (apply.resource, apply.key.name)
            status = self.objects.get(place, {}).get("status")
            obj = copy.deepcopy(apply.object)
            obj["metadata"]["uid"] = f"uid-{apply.resource}-{apply.key.name}"
            obj["metadata"]["managedFields"] = [{"manager": "ome", "operation": "Apply"}]
            if status is not None:
                obj["status"] = status
            self.objects[place] = obj
        before = self.serving()
        for delete in plan.deletes:
            self.objects.pop((delete.resource, delete.key.name))
        if before:
            assert self.serving(), f"{[d.sentence for d in plan.deletes]} took away what served"
        return bool(plan)

    def come_up(self) -> None:
        for (kind, _), obj in self.objects.items():
            if kind in {kind for kind, _ in OF.values()}:
                obj["status"] = copy.deepcopy(UP)

    def settle(self) -> None:
        for _ in range(8):
            self.come_up()
            if not self.step():
                return
        pytest.fail("it does not come to rest")

    def serving(self) -> set[str]:
        """The modes whose workload is up."""
        return {mode for mode, place in OF.items() if (self.objects.get(place) or {}).get("status")}

    def reached(self) -> bool:
        """The component's own Service leads to the workload of the present mode."""
        if self.mode == "serverless":
            return True  # Knative makes it
        found = self.objects.get((r.SERVICES, "chat-engine"))
        return found is not None


def others(cluster: Cluster) -> set[str]:
    return {mode for mode, place in OF.items() if place in cluster.objects} - {cluster.mode}


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(MODES, 2)))
def test_the_old_serves_until_the_new_is_up_and_nothing_of_it_is_left(old: str, new: str) -> None:
    cluster = Cluster(old)
    cluster.mode = new
    for _ in range(3):
        cluster.step()
        assert OF[old] in cluster.objects, "the new one is not up yet"
        assert OF[new] in cluster.objects
    rendered, _ = cluster.look()
    assert rendered.components["engine"].previous == OF[old]
    cluster.settle()
    assert others(cluster) == set()
    assert cluster.serving() == {new}
    assert cluster.reached()
    fresh = Cluster(new)
    assert cluster.objects.keys() == fresh.objects.keys()


@settings(max_examples=60, deadline=None)
@given(
    start=st.sampled_from(sorted(MODES)),
    moves=st.lists(st.sampled_from([*sorted(MODES), "look", "up"]), min_size=1, max_size=12),
)
def test_no_order_of_changes_takes_away_what_serves(start: str, moves: list[str]) -> None:
    cluster = Cluster(start)
    for move in moves:
        if move == "up":
            cluster.come_up()
        elif move == "look":
            cluster.step()  # asserts that something that served still does
        else:
            cluster.mode = move
    cluster.settle()
    assert others(cluster) == set()
    assert cluster.serving() == {cluster.mode}
    assert cluster.reached()


def test_recreate_is_the_one_way_to_have_the_old_go_first() -> None:
    cluster = Cluster("raw")
    subject: Any = copy.deepcopy(MODES["groups"])
    subject[0]["spec"]["engine"] = {"deploymentStrategy": {"type": "Recreate"}}
    MODES["recreated"], OF["recreated"] = subject, OF["groups"]
    try:
        cluster.mode = "recreated"
        with pytest.raises(AssertionError, match="took away what served"):
            cluster.step()
    finally:
        del MODES["recreated"], OF["recreated"]
