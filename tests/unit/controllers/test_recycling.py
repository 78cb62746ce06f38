"""Ray clusters whose engine stopped answering are made anew, and no others."""

from __future__ import annotations

from typing import Any

from tests.fakes.objects import service
from tests.unit.rendering.modes import child, gpu_runtime, live, made

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import annotations_of
from ome.controllers.recycling import Recycling, recycle
from ome.rendering import Observed

Object = dict[str, Any]
RAY = service(engine={"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}})
OWNER = {**RAY, "metadata": {**RAY["metadata"], "uid": "u-1"}}
STARTUP = {"failureThreshold": 10, "periodSeconds": 60, "initialDelaySeconds": 0}
BORN, LONG_AFTER = "2026-01-01T00:00:00Z", "2026-01-01T10:00:00Z"


def world(since: str, *, state: str = "ready", unavailable: int = 1, born: str = BORN) -> Observed:
    available = {"type": "Available", "status": "False", "lastTransitionTime": since}
    if not unavailable:
        available["status"] = "True"
    prober = {"unavailableReplicas": unavailable, "conditions": [available]}
    found = live(
        made(RAY, runtime=gpu_runtime()),
        status={x.RAY_CLUSTERS: {"state": state}, r.DEPLOYMENTS: prober},
    )
    found.of(x.RAY_CLUSTERS)["chat-engine-0"]["metadata"]["creationTimestamp"] = born
    for deployment in found.of(r.DEPLOYMENTS).values():
        deployment["metadata"]["creationTimestamp"] = BORN
    return found


def after(observed: Observed, now: str, owner: Object = OWNER) -> Recycling:
    rendered = made(RAY, runtime=gpu_runtime(), observed=observed)
    return recycle(owner, rendered, observed, 600, STARTUP, now)


def names(found: Recycling) -> list[str]:
    return [delete.key.name for delete in found.deletes]


def test_a_cluster_that_answered_once_has_its_threshold() -> None:
    observed = world(LONG_AFTER)
    early = after(observed, "2026-01-01T10:09:00Z")
    assert (names(early), early.again) == ([], 60.0)
    late = after(observed, "2026-01-01T10:10:01Z")
    assert names(late) == ["chat-engine-0"]
    assert "does not answer since 2026-01-01T10:00:00Z" in late.deletes[0].sentence
    assert late.deletes[0].uid == "uid-chat-engine-0"


def test_an_engine_that_starts_has_its_time_to_start_on_top() -> None:
    observed = world("2026-01-01T00:00:05Z")
    assert names(after(observed, "2026-01-01T00:19:00Z")) == []
    assert names(after(observed, "2026-01-01T00:20:10Z")) == ["chat-engine-0"]


def test_a_cluster_made_anew_starts_from_the_beginning() -> None:
    observed = world(LONG_AFTER, born="2026-01-01T10:10:05Z")
    assert names(after(observed, "2026-01-01T10:29:00Z")) == []
    assert names(after(observed, "2026-01-01T10:30:10Z")) == ["chat-engine-0"]


def test_what_is_well_or_not_up_or_not_ours_is_left_alone() -> None:
    late = "2026-01-02T00:00:00Z"
    assert after(world(LONG_AFTER, unavailable=0), late) == Recycling()
    assert after(world(LONG_AFTER, state="suspended"), late) == Recycling()
    stranger = {**OWNER, "metadata": {**OWNER["metadata"], "uid": "another"}}
    assert after(world(LONG_AFTER), late, stranger) == Recycling()
    without = world(LONG_AFTER)
    assert after(Observed({x.RAY_CLUSTERS: list(without.of(x.RAY_CLUSTERS).values())}), late) == (
        Recycling()
    )


def test_since_when_stands_on_the_cluster_and_goes_when_it_answers() -> None:
    ill = made(RAY, runtime=gpu_runtime(), observed=world(LONG_AFTER))
    found = annotations_of(child(ill, x.RAY_CLUSTERS, "chat-engine-0"))
    assert found["raycluster/unavailable-since"] == LONG_AFTER
    well = made(RAY, runtime=gpu_runtime(), observed=world(LONG_AFTER, unavailable=0))
    found = annotations_of(child(well, x.RAY_CLUSTERS, "chat-engine-0"))
    assert "raycluster/unavailable-since" not in found


def test_other_modes_have_nothing_to_recycle() -> None:
    rendered = made()
    assert recycle(OWNER, rendered, live(rendered), 600, STARTUP, LONG_AFTER) == Recycling()
    assert recycle(OWNER, None, Observed(), 600, STARTUP, LONG_AFTER) == Recycling()
