"""The bed itself: real controllers act, and kwok's pods behave as the annotation says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cluster.conftest import NODES, Kubectl

GROUPS = (
    "leaderworkersets.leaderworkerset.x-k8s.io",
    "scaledobjects.keda.sh",
    "services.serving.knative.dev",
    "httproutes.gateway.networking.k8s.io",
    "virtualservices.networking.istio.io",
    "rayclusters.ray.io",
)


def pod(name: str, behaviour: str = "", **spec: Any) -> dict[str, Any]:
    annotations = {"bed.ome.io/behaviour": behaviour} if behaviour else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "nobody/pulls-this:1"}], **spec},
    }


def test_crds_of_the_projects_that_ome_works_with_are_installed(cluster: Kubectl) -> None:
    for name in GROUPS:
        cluster.wait(f"crd/{name}", "condition=Established")


def test_nodes_are_ready(cluster: Kubectl) -> None:
    nodes = cluster.get("nodes")["items"]
    assert len(nodes) >= NODES


def test_a_deployment_becomes_available(ns: Kubectl) -> None:
    template = pod("ignored")
    ns.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": template["spec"]},
            },
        }
    )
    ns.wait("deployment/web", "condition=Available")
    assert ns.get("deployment", "web")["status"]["readyReplicas"] == 2


@pytest.mark.parametrize(
    ("behaviour", "path", "value"),
    [
        ("crash-loop", "{.status.containerStatuses[0].state.waiting.reason}", "CrashLoopBackOff"),
        (
            "out-of-memory",
            "{.status.containerStatuses[0].lastState.terminated.reason}",
            "OOMKilled",
        ),
        (
            "image-pull-failure",
            "{.status.containerStatuses[0].state.waiting.reason}",
            "ImagePullBackOff",
        ),
        ("never-ready", '{.status.conditions[?(@.type=="Ready")].status}', "False"),
    ],
)
def test_a_pod_fails_as_asked(ns: Kubectl, behaviour: str, path: str, value: str) -> None:
    ns.apply(pod("p", behaviour))
    ns.wait("pod/p", f"jsonpath={path}={value}")


def test_a_failing_init_container(ns: Kubectl) -> None:
    init = [{"name": "first", "image": "nobody/pulls-this:1"}]
    ns.apply(pod("p", "init-failure", initContainers=init))
    path = "{.status.initContainerStatuses[0].state.waiting.reason}"
    ns.wait("pod/p", f"jsonpath={path}=CrashLoopBackOff")


def test_a_slow_pod_is_first_unready_then_ready(ns: Kubectl) -> None:
    ns.apply(pod("p", "slow-start"))
    ns.wait("pod/p", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}=False')
    ns.wait("pod/p", "condition=Ready")


def test_a_pod_that_fits_nowhere_is_unschedulable(ns: Kubectl) -> None:
    ns.apply(pod("p", nodeSelector={"no": "such-node"}))
    path = '{.status.conditions[?(@.type=="PodScheduled")].reason}'
    ns.wait("pod/p", f"jsonpath={path}=Unschedulable")


def test_a_lost_node_makes_its_pods_unready(cluster: Kubectl, ns: Kubectl) -> None:
    node = "lost-node"
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    cluster.wait(f"node/{node}", "condition=Ready")
    try:
        cluster.run("annotate", "node", node, "bed.ome.io/lost=true")
        lost = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        patch = json.dumps({"status": {"conditions": [lost]}})
        cluster.run("patch", "node", node, "--subresource=status", "--type=strategic", "-p", patch)
        cluster.wait(f"node/{node}", "condition=Ready=Unknown")
    finally:
        cluster.run("delete", "node", node)


def test_a_leader_worker_set_makes_its_group_and_becomes_available(ns: Kubectl) -> None:
    template = {"spec": pod("ignored")["spec"]}
    ns.apply(
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": "group"},
            "spec": {
                "replicas": 1,
                "leaderWorkerTemplate": {"size": 3, "workerTemplate": template},
            },
        }
    )
    ns.wait("leaderworkerset/group", "condition=Available")
    names = [item["metadata"]["name"] for item in ns.get("pods")["items"]]
    assert sorted(names) == ["group-0", "group-0-1", "group-0-2"]
    leader = ns.get("pod", "group-0")["spec"]["containers"][0]["env"]
    assert "LWS_LEADER_ADDRESS" in {variable["name"] for variable in leader}
