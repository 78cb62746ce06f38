"""Where accelerators are and how many of them are free."""

from __future__ import annotations

from typing import Any

import pytest

from ome.controllers.accelerators import has_class, node_changed, pod_changed, status_of

Object = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def node(name: str = "n", *, gpus: int = 8, ready: bool = True, **labels: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {"gpu": "h100", **labels}},
        "spec": {},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus), "memory": "8Gi"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def accelerator(**spec: Any) -> Object:
    described = {
        "discovery": {"nodeSelector": {"gpu": "h100"}},
        "capabilities": {"memoryGB": "80Gi"},
        "resources": [{"name": "nvidia.com/gpu", "quantity": "1"}],
    }
    return {"metadata": {"name": "h100"}, "spec": {**described, **spec}}


def pod(where: str, gpus: int, phase: str = "Running") -> Object:
    container = {"resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {
        "spec": {"nodeName": where, "containers": [container]},
        "status": {"phase": phase},
    }


def test_nodes_are_found_by_label_and_their_host_memory_does_not_matter() -> None:
    others = [node("a"), node("b"), node("c", gpu="a10")]
    status = status_of(accelerator(), others, [], now=NOW)
    assert status["nodes"] == ["a", "b"]
    assert (status["availableNodes"], status["totalAccelerators"]) == (2, 16)


def test_what_pods_have_requested_is_not_available() -> None:
    pods = [pod("a", 3), pod("a", 8, "Succeeded"), pod("elsewhere", 4)]
    status = status_of(accelerator(), [node("a")], pods, now=NOW)
    assert status["availableAccelerators"] == 5


def test_a_node_that_takes_no_pods_has_nothing_available() -> None:
    cordoned = node("b")
    cordoned["spec"]["unschedulable"] = True
    status = status_of(accelerator(), [node("a", ready=False), cordoned], [], now=NOW)
    assert status["nodes"] == ["a", "b"]
    assert status["availableNodes"] == status["availableAccelerators"] == 0
    assert status["totalAccelerators"] == 16
    assert status["conditions"][0]["reason"] == "NoUsableNode"


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"discovery": {"nodeSelector": {"gpu": "a10"}}}, False),
        (
            {
                "discovery": {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [
                                    {
                                        "matchExpressions": [
                                            {"key": "gpu", "operator": "In", "values": ["h100"]}
                                        ]
                                    }
                                ]
                            }
                        }
                    }
                }
            },
            True,
        ),
        ({"discovery": {}}, True),
        ({"discovery": {}, "resources": [{"name": "amd.com/gpu"}]}, False),
        ({"discovery": {}, "resources": []}, False),
    ],
)
def test_a_class_is_recognised_by_labels_affinity_or_resources(spec: Object, found: bool) -> None:
    assert has_class(node(), accelerator(**spec)) is found


@pytest.mark.parametrize(("mebibytes", "found"), [("81559", True), ("40960", False), ("?", True)])
def test_less_memory_than_promised_is_another_class(mebibytes: str, found: bool) -> None:
    labelled = node(**{"nvidia.com/gpu.memory": mebibytes})
    assert has_class(labelled, accelerator()) is found


def test_the_same_again_is_written_to_the_byte() -> None:
    first = status_of(accelerator(), [node()], [], now=NOW)
    again = status_of({**accelerator(), "status": first}, [node()], [], now="2027-01-01T00:00:00Z")
    assert again == first
    moved = status_of({**accelerator(), "status": first}, [], [], now="2027-01-01T00:00:00Z")
    assert moved["lastUpdated"] == "2027-01-01T00:00:00Z"
    assert moved["conditions"][0]["reason"] == "NoNodes"


def test_heartbeats_and_idle_pods_are_no_change() -> None:
    before, after = node(), node()
    after["status"]["conditions"][0]["lastHeartbeatTime"] = NOW
    assert not node_changed(before, after)
    assert node_changed(before, node(ready=False))
    assert node_changed(None, before)
    pending = {"spec": {}, "status": {"phase": "Pending"}}
    assert not pod_changed(None, pending)
    assert pod_changed(pending, pod("a", 1))
    assert pod_changed(pod("a", 1), pod("a", 1, "Failed"))
