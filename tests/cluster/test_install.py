"""The chart with the real helm, and `ome install`, on a real API server.

kwok plays the pods, so that everything becomes ready without an image; what is looked at are the
objects, what the API server says to them, and what an uninstallation leaves. OME's webhooks are not
answered by anybody here: services are made before they are registered.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.replicas import until
from tests.cluster.wire import Answer
from tests.fakes.objects import service

from ome.cli.install import applying

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ome"
OPERATOR = "deployment/ome-controller-manager"
Object = dict[str, Any]
pytestmark = pytest.mark.timeout(300)


class Tools:
    """helm and ome against the bed, as the administrator."""

    def __init__(self, bed: ControlPlane, helm: Path) -> None:
        self._config, self._helm = str(bed.kubeconfig()), str(helm)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(p for p in sys.path if p)
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)

    def helm(self, *arguments: str) -> str:
        done = self._run(self._helm, *arguments, "--kubeconfig", self._config)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def ome(self, *arguments: str) -> str:
        done = self.try_ome(*arguments)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout + done.stderr

    def try_ome(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        ome = (sys.executable, "-m", "ome.cli")
        return self._run(*ome, *arguments, "--kubeconfig", self._config)


@pytest.fixture
def tools(
    bed: ControlPlane, cluster: Kubectl, definitions: list[Answer], helm: Path
) -> Iterator[Tools]:
    """Nothing is installed before and after; the CRDs are there all the time."""
    made = Tools(bed, helm)
    made.ome("uninstall", "--namespace", "ome")
    yield made
    left = json.loads(made.helm("list", "--all-namespaces", "-o", "json"))
    for release in left:
        made.helm("uninstall", release["name"], "--namespace", release["namespace"])


def serving(cluster: Kubectl, name: str) -> str:
    """A service that somebody has; its uid."""
    made = service(name)
    made["metadata"]["namespace"] = "default"
    cluster.apply(made)
    uid = cluster.get("inferenceservice", name)["metadata"]["uid"]
    return str(uid)


def test_helm_installs_upgrades_rolls_back_and_uninstalls(tools: Tools, cluster: Kubectl) -> None:
    uid = serving(cluster, "survivor")
    there = cluster.in_namespace("llm-platform")
    chart = ("ome", str(CHART), "--namespace", "llm-platform")
    tools.helm("install", *chart, "--create-namespace", "--wait", "--timeout", "60s")
    assert there.get(OPERATOR)["status"]["readyReplicas"] == 2
    agents = there.get("daemonset/ome-model-agent-daemonset")["status"]
    assert agents["numberReady"] == agents["desiredNumberScheduled"] >= 1
    hooks = cluster.get("validatingwebhookconfigurations", "-l", "app.kubernetes.io/part-of=ome")
    for hook in (hook for item in hooks["items"] for hook in item["webhooks"]):
        assert hook["clientConfig"]["service"]["namespace"] == "llm-platform"
    # The accounts have what the chart gives, and only in this installation's namespace.
    account = "--as=system:serviceaccount:llm-platform:ome-controller-manager"
    status = ("update", "inferenceservices.ome.io", "--subresource=status")
    assert there.run("auth", "can-i", *status, account) == "yes\n"

    more = ("--set", "operator.replicas=3", "--set-json", 'config.rollout={"servicesAtOnce":3}')
    tools.helm("upgrade", *chart, *more, "--wait", "--timeout", "60s")
    assert there.get(OPERATOR)["spec"]["replicas"] == 3
    section = there.get("configmap/inferenceservice-config")["data"]["rollout"]
    assert json.loads(section) == {"servicesAtOnce": 3}

    tools.helm("rollback", "ome", "1", "--namespace", "llm-platform", "--wait", "--timeout", "60s")
    assert there.get(OPERATOR)["spec"]["replicas"] == 2
    section = there.get("configmap/inferenceservice-config")["data"]["rollout"]
    assert json.loads(section) == {"servicesAtOnce": 10}

    tools.helm("uninstall", "ome", "--namespace", "llm-platform", "--wait")
    assert there.get("all")["items"] == []
    for kind in ("clusterroles", "clusterrolebindings", "validatingwebhookconfigurations"):
        left = cluster.get(kind, "-l", "app.kubernetes.io/part-of=ome")["items"]
        assert left == [], kind
    assert len(_our_crds(cluster)) == 8
    assert cluster.get("inferenceservice", "survivor")["metadata"]["uid"] == uid
    cluster.run("delete", "inferenceservice", "survivor")


def _our_crds(cluster: Kubectl) -> list[str]:
    names = cluster.run("get", "crd", "-o", "name").split()
    return [name for name in names if name.endswith(".ome.io")]


def test_ome_installs_twice_without_a_change_and_uninstalls(tools: Tools, cluster: Kubectl) -> None:
    uid = serving(cluster, "survivor-too")
    place = ("--namespace", "model-serving")
    said = tools.ome("install", *place, "--timeout", "60")
    assert "Deployment model-serving/ome-controller-manager" in said
    there = cluster.in_namespace("model-serving")
    assert there.get(OPERATOR)["status"]["readyReplicas"] == 2
    wanted = applying.chosen("model-serving", {})[0]

    def versions() -> dict[str, str]:
        listing = {"apiVersion": "v1", "kind": "List", "items": wanted}
        found = there.run("get", "-f", "-", "-o", "json", stdin=json.dumps(listing))
        return {
            applying.title(item): item["metadata"]["resourceVersion"]
            for item in json.loads(found)["items"]
        }

    before = versions()
    assert len(before) == len(wanted)
    again = tools.ome("install", *place, "--timeout", "60")
    assert versions() == before
    assert "applied" not in again
    assert "unchanged: " in again
    # A setting reaches its object, and nothing else.
    changed = tools.ome("install", *place, "--set", "operator.replicas=1", "--timeout", "60")
    assert [line for line in changed.splitlines() if line.startswith("applied")] == [
        "applied Deployment model-serving/ome-controller-manager"
    ]
    # Rights and webhooks are there once, so a second installation is refused before it harms.
    second = tools.try_ome("install", "--namespace", "another", "--timeout", "60")
    assert second.returncode != 0
    assert "OME is installed in namespace model-serving" in second.stderr
    assert cluster.try_("get", "namespace", "another").returncode != 0

    said = tools.ome("uninstall", *place)
    assert "kept: CRDs" in said
    assert cluster.in_namespace("model-serving").try_("get", OPERATOR).returncode != 0
    left = cluster.get("validatingwebhookconfigurations", "-l", "app.kubernetes.io/part-of=ome")
    assert left["items"] == []
    assert len(_our_crds(cluster)) == 8
    assert cluster.get("inferenceservice", "survivor-too")["metadata"]["uid"] == uid
    assert "deleted" not in tools.ome("uninstall", *place)
    cluster.run("delete", "inferenceservice", "survivor-too")


def test_the_operator_runs_where_pod_security_is_restricted(tools: Tools, cluster: Kubectl) -> None:
    cluster.run("create", "namespace", "hardened")
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.run("label", "namespace", "hardened", label)
    there = cluster.in_namespace("hardened")
    # The label acts: a pod of the usual kind is refused.
    usual = there.try_("run", "usual", "--image=usual:1")
    assert usual.returncode != 0
    assert "violates PodSecurity" in usual.stderr
    chart = ("ome", str(CHART), "--namespace", "hardened")
    tools.helm("install", *chart, "--set", "agent.enabled=false", "--wait", "--timeout", "60s")
    pods = there.get("pods")["items"]
    assert len(pods) == 2
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    # The agent writes to a folder of its nodes, which no restricted namespace allows: its pods
    # are refused there, and the DaemonSet says so.
    tools.helm("upgrade", *chart, "--set", "agent.enabled=true")

    def refused() -> bool:
        events = there.get("events")["items"]
        return any(
            event["involvedObject"]["kind"] == "DaemonSet"
            and "violates PodSecurity" in event["message"]
            and "hostPath" in event["message"]
            for event in events
        )

    until("the DaemonSet says why it has no pods", refused)
    cluster.run("delete", "namespace", "hardened", "--wait=false")
