from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.kubelet import crashing, running, starting, waiting

from ome.rendering.workload import Model, judge

Object = dict[str, Any]


def deployment(*, wanted: int = 1, available: int = 0, updated: int = 1, total: int = 1) -> Object:
    return {
        "metadata": {"generation": 1},
        "spec": {"replicas": wanted},
        "status": {
            "observedGeneration": 1,
            "replicas": total,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": [
                {"type": "Available", "status": "True" if available >= wanted else "False"}
            ],
        },
    }


def pod(behaviour: Any = None, name: str = "p") -> Object:
    obj: Object = {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "ome-container", "image": "x"}], "nodeName": "n"},
    }
    obj["status"] = behaviour(obj) if behaviour else {}
    return obj


def verdict(
    live: Object | None,
    *pods: Object,
    model: Model | None = None,
    least: int | None = None,
    at_zero: str = "a request starts it",
    **lines: str,
) -> Any:
    return judge("engine", live, pods, model or Model(), lines, least=least, at_zero=at_zero)


def test_enough_replicas_is_true_and_says_how_many() -> None:
    found = verdict(deployment(available=1), pod(running))
    assert (found.status, found.reason) == ("True", "Available")
    assert found.message == "1 of 1 engine replicas are available"


def test_a_roll_stays_true_and_names_what_holds_it_up() -> None:
    live = deployment(available=1, updated=1, total=2)
    found = verdict(live, pod(waiting("ImagePullBackOff", "no such image")), pod(running, "old"))
    assert (found.status, found.reason, found.rolling) == ("True", "UpdateFailing", True)
    assert "no such image" in found.message


def test_zero_replicas_say_what_starts_the_first_and_are_not_ready_where_nothing_does() -> None:
    woken = verdict(deployment(wanted=0), least=0, at_zero="KEDA starts it")
    assert (woken.status, woken.reason) == ("True", "ScaledToZero")
    assert woken.message == "the engine is scaled to zero; KEDA starts it"
    off = verdict(deployment(wanted=0), least=0, at_zero="")
    assert (off.status, off.reason) == ("False", "SwitchedOff")
    assert "nothing starts one. What to do: set spec.engine.minReplicas" in off.message
    healed = verdict(deployment(wanted=0), least=2, at_zero="")
    assert (healed.status, healed.reason) == ("False", "Starting")
    assert healed.message == "the engine was scaled to zero; it is set to 2 again"


def test_scaling_up_takes_no_readiness_away_and_names_what_holds_it_up() -> None:
    live = deployment(wanted=3, available=1, updated=3, total=3)
    assert verdict(live, pod(running)).status == "False", "of a canary nobody says how few do"
    found = verdict(live, pod(waiting("ImagePullBackOff", "no such image")), least=1)
    assert (found.status, found.reason, found.short) == ("True", "Available", True)
    assert found.message.startswith("1 of 3 engine replicas are available: the image of")
    assert not found.rolling, "nothing is being updated"
    few = verdict(live, pod(starting), least=2)
    assert few.status == "False"


def test_a_quota_that_stops_scaling_up_is_not_told_as_an_update() -> None:
    live = deployment(wanted=3, available=1, updated=1, total=1)
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
    live["status"]["conditions"].append({**failed, "message": "exceeded quota: few"})
    found = verdict(live, pod(running), least=1)
    assert (found.status, found.reason, found.rolling) == ("True", "Available", False)
    assert "update" not in found.message
    assert "exceeded quota: few" in found.message


def test_a_spec_that_no_controller_has_seen_yet_is_not_called_an_update() -> None:
    live = deployment(wanted=1, available=1)
    live["metadata"]["generation"] = 2
    found = verdict(live, pod(running))
    assert (found.status, found.rolling) == ("True", True)
    assert found.message == "1 of 1 engine replicas are available; a change is being taken up"


def test_an_exit_is_told_with_code_count_and_last_words() -> None:
    found = verdict(deployment(), pod(crashing(137, "")), p="CUDA error\nout of memory\n")
    assert found.reason == "GpuOutOfMemory"
    assert "exited with code 137 (the GPU's memory is too small" in found.message
    assert "3 restarts" in found.message
    assert "CUDA error | out of memory" in found.message
    unknown = verdict(deployment(), pod(crashing(137, "")), p="bye\n")
    assert unknown.reason == "CrashLoopBackOff"
    assert "exited with code 137 (killed: out of memory?), 3 restarts" in unknown.message
    assert found.failure.exit_code == 137


def test_the_most_telling_of_several_pods_is_told() -> None:
    found = verdict(
        deployment(wanted=3, total=3),
        pod(starting, "a"),
        pod(crashing(1, "boom"), "b"),
        pod(waiting("ContainerRuntimeMissing", "no podman"), "c"),
    )
    assert found.reason == "ContainerRuntimeMissing"


def _unplaced() -> Object:
    refused = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {**pod(), "status": {"phase": "Pending", "conditions": [refused]}}


def test_a_pod_without_node_waits_for_its_model_or_for_room() -> None:
    wait = Model("model m: downloading on 1 node: 42 %", "ModelDownloading")
    found = verdict(deployment(), _unplaced(), model=wait)
    assert found.reason == "ModelDownloading"
    assert "42 %" in found.message
    assert verdict(deployment(), _unplaced()).reason == "Unschedulable"


def test_a_quota_that_refuses_pods_is_told() -> None:
    live = deployment(total=0, updated=0)
    live["status"]["conditions"].append(
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    )
    assert "quota" in verdict(live).message


@pytest.mark.parametrize("live", [None, {"metadata": {}}])
def test_what_is_not_there_yet_is_not_an_error(live: Object | None) -> None:
    assert verdict(live).status in ("Unknown", "False")
