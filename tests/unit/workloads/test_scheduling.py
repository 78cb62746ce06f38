"""Where pods go, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from ome.standalone.workloads.scheduling import requests, schedule


def node(name: str = "n1", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **changes.get("labels", {})},
        },
        "spec": changes.get("spec", {}),
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", **changes.get("has", {})}
        },
    }


def pod(name: str = "p", requests: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    container = {
        "name": "c",
        "resources": {"requests": requests or {}},
        "ports": spec.pop("ports", []),
    }
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [container], **spec},
    }


def affinity(kind: str, labels: dict[str, str]) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.mark.parametrize(
    ("wanted", "place", "message"),
    [
        (
            pod(nodeSelector={"gpu": "a100"}),
            node(),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            pod(requests={"cpu": "8", "nvidia.com/gpu": "1"}),
            node(),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu.",
        ),
        (
            pod(),
            node(spec={"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}),
            "0/1 nodes are available: 1 node(s) had untolerated taint {a: b}.",
        ),
        (
            pod(),
            node(spec={"unschedulable": True}),
            "0/1 nodes are available: 1 node(s) were unschedulable.",
        ),
        (pod(), node(has={"pods": "0"}), "0/1 nodes are available: 1 Too many pods."),
        (
            pod(affinity=affinity("podAffinity", {"app": "db"})),
            node(),
            "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
        ),
    ],
)
def test_refusals_read_as_those_of_kubernetes(
    wanted: dict[str, Any], place: dict[str, Any], message: str
) -> None:
    placement = schedule(wanted, [place], {})
    assert (placement.node, placement.message) == ("", message)


def test_without_nodes_it_says_so() -> None:
    assert schedule(pod(), [], {}).message == "0/0 nodes are available: no nodes exist."


def test_reasons_are_counted_over_all_nodes() -> None:
    nodes = [node("a"), node("b", spec={"unschedulable": True}), node("c")]
    placement = schedule(pod(requests={"memory": "9Gi"}), nodes, {})
    assert placement.message == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient memory."
    )


def test_room_is_what_other_pods_leave() -> None:
    present = {"n1": [pod(requests={"cpu": "3"})]}
    assert schedule(pod(requests={"cpu": "1"}), [node()], present).node == "n1"
    assert schedule(pod(requests={"cpu": "1001m"}), [node()], present).node == ""


def test_tolerations_labels_and_node_affinity_open_a_node() -> None:
    tainted = node(
        labels={"gpu": "a100"},
        spec={"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
    )
    wanted = pod(
        nodeSelector={"gpu": "a100"},
        tolerations=[{"key": "a", "operator": "Exists"}],
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
                    ]
                }
            }
        },
    )
    assert schedule(wanted, [tainted], {}).node == "n1"


def test_preferences_then_room_then_names_decide() -> None:
    nodes = [node("b"), node("a"), node("c", labels={"fast": "yes"})]
    assert schedule(pod(), nodes[:2], {}).node == "a"
    assert schedule(pod(), nodes[:2], {"a": [pod()]}).node == "b"
    preferred = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 5,
                    "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]},
                }
            ]
        }
    }
    assert schedule(pod(affinity=preferred), nodes, {"c": [pod(), pod()]}).node == "c"


def test_host_ports_exclude_each_other() -> None:
    ports = [{"containerPort": 1, "hostPort": 80}]
    assert schedule(pod(ports=ports), [node()], {"n1": [pod(ports=ports)]}).message == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )


def test_anti_affinity_spreads_and_the_first_of_a_group_may_go_anywhere() -> None:
    apart = pod(labels={"app": "x"}, affinity=affinity("podAntiAffinity", {"app": "x"}))
    assert schedule(apart, [node()], {}).node == "n1"
    assert schedule(apart, [node()], {"n1": [apart]}).node == ""
    together = pod(labels={"app": "x"}, affinity=affinity("podAffinity", {"app": "x"}))
    assert schedule(together, [node()], {}).node == "n1"


def test_requests_count_init_containers_by_their_peak_and_sidecars_always() -> None:
    wanted = {
        "spec": {
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                {"name": "i", "resources": {"requests": {"cpu": "4"}}},
            ],
            "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": 1}}}
            ],
        }
    }
    assert {k: int(v) for k, v in requests(wanted).items()} == {"cpu": 5, "nvidia.com/gpu": 1}
