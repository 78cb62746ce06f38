"""docs/takeover.md, done as it stands there: every command of its blocks, in order.

The earlier installation is imitated (:mod:`tests.cluster.earlier_chart`), with one service and its
pods; the real helm and kubectl work on a real API server, and the real operator takes over.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import earlier_chart
from tests.cluster import takeover_kinds as kinds
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl, add_nodes, furnish
from tests.cluster.replicas import Replica, kubeconfig, until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "takeover.md"
SECTION = re.compile(r"^## (?:\d+\. )?(.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
Object = dict[str, Any]
pytestmark = pytest.mark.timeout(240)
HERE = kinds.NAMESPACE


@dataclass
class Place:
    """A shell in a folder of its own, as an administrator has it."""

    bed: ControlPlane
    admin: Kubectl
    folder: Path
    path: str

    def run(self, script: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.bed.kubeconfig()), "PATH": self.path}
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env=environment,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, title: str, kind: str = "sh") -> str:
        """Runs the blocks of that section of the page; what they print."""
        sections = SECTION.split(PAGE.read_text())
        text = sections[sections.index(title) + 1]
        blocks = [block for language, block in BLOCK.findall(text) if language == kind]
        assert blocks, title
        return "".join(self.run(block) for block in blocks)

    def pods(self) -> dict[str, str]:
        listing = self.admin.in_namespace(HERE).get("pods")["items"]
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in listing}

    def children(self) -> dict[str, str]:
        found = self.admin.in_namespace(HERE).get("deployments,services,configmaps", "-l", OURS)
        return {
            f"{item['kind']} {item['metadata']['name']}": item["metadata"]["uid"]
            for item in found["items"]
        }

    def operator(self, name: str) -> Replica:
        """The process that in a cluster the Deployment would run; no Service leads to it here."""
        account = ("create", "token", "ome-controller-manager")
        token = self.admin.in_namespace("ome").run(*account).strip()
        config = kubeconfig(self.bed, token, self.folder / f"{name}.kubeconfig")
        return Replica(self.folder, name, config, None, "--no-webhooks")


OURS = "ome.io/inferenceservice"


@pytest.fixture
def place(kubectl: Path, helm: Path, tmp_path: Path) -> Iterator[Place]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(kubectl)
    (programs / "helm").symlink_to(helm)
    ome = programs / "ome"
    ome.write_text(f'#!/bin/sh\nexec {sys.executable} -m ome.cli "$@"\n')
    ome.chmod(0o755)
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    with ControlPlane(tmp_path / "bed") as bed:
        admin = Kubectl(kubectl, bed.kubeconfig())
        furnish(bed, admin)
        add_nodes(admin, ["node-0"], {"cpu": "64", "memory": "1Ti", "pods": "500"})
        admin.apply(*earlier_chart.cert_manager())
        admin.run("create", "namespace", "ome")
        admin.run("create", "namespace", HERE)
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        yield Place(bed, admin, tmp_path, path)


def serve(place: Place) -> None:
    """One service with the children that the earlier manager made, and its pod."""
    model, runtime, _ = kinds.shared()
    here = place.admin.in_namespace(HERE)
    service, children = next(
        (made, below) for made, below in kinds.everything() if made["metadata"]["name"] == "closed"
    )
    here.apply(model, runtime, service)
    uid = here.get("inferenceservice", "closed")["metadata"]["uid"]
    kept = [child for child in children if not child["metadata"]["name"].endswith("-decoder")]
    for child in kept:
        child["metadata"]["ownerReferences"][0]["uid"] = uid
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": kept})
    here.run("create", "--field-manager=manager", "-f", "-", stdin=listing)
    here.wait("deployment/closed-engine", "condition=Available")


def deployed(place: Place) -> Object:
    found: Object = place.admin.in_namespace("ome").get("deployment", "ome-controller-manager")
    return found


def left_of_cert_manager(place: Place) -> list[str]:
    """Webhooks into which it would go on writing its certificate."""
    hooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations"
    return [
        item["metadata"]["name"]
        for item in place.admin.get(hooks)["items"]
        if "cert-manager.io/inject-ca-from" in (item["metadata"].get("annotations") or {})
    ]


def test_an_installation_by_helm_is_taken_over_and_given_back(place: Place) -> None:
    for name, chart in (
        ("ome-crd", earlier_chart.crd_chart(place.folder)),
        ("ome-resources", earlier_chart.resources_chart(place.folder)),
    ):
        place.run(f"helm --namespace ome install {name} {chart} --wait --timeout 60s")
    place.admin.in_namespace("ome").run("create", "-f", "-", stdin=json.dumps(lease()))
    serve(place)
    pods, children = place.pods(), place.children()
    uid = place.admin.in_namespace(HERE).get("inferenceservice", "closed")["metadata"]["uid"]

    place.follow("Look, and keep what is there")
    place.follow("Carry the configuration over")
    values = json.loads((place.folder / "values.json").read_text())["config"]
    assert values["ingress"]["ingressDomain"] == "models.example"
    assert "ownSection" not in values
    said = place.follow("Bring the CRDs up to date")
    assert said.count("[v1beta1]") == 8
    crd = place.admin.get("crd", "inferenceservices.ome.io")
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["metadata"]["labels"]["app.kubernetes.io/version"]

    place.follow("Change over")
    assert deployed(place)["spec"]["template"]["spec"]["containers"][0]["image"].startswith(
        "registry.example/ome:"
    )
    config = place.admin.in_namespace("ome").get("configmap", "inferenceservice-config")["data"]
    assert json.loads(config["ingress"])["ingressDomain"] == "models.example"
    assert json.loads(config["kedaConfig"])["enableKeda"] is False
    assert json.loads(config["rollout"]) == {"servicesAtOnce": 10}
    assert left_of_cert_manager(place) == []
    assert place.admin.in_namespace("ome").get("certificates,issuers")["items"] == []
    operator = place.operator("after")
    try:
        operator.until_ready()
        operator.until_leads(60)
        here = place.admin.in_namespace(HERE)
        here.wait("inferenceservice/closed", "condition=Ready")
        until(
            "the route that nobody wants is gone",
            lambda: here.get("ingresses")["items"] == [],
        )
    finally:
        assert operator.stop() == 0
    place.follow("See that all is well")
    assert "-adopted" in place.follow("Let the waiting fixes go out")
    assert place.pods() == pods
    assert children.items() <= place.children().items()

    # The webhooks of OME answer nobody here, and refuse everything therefore.
    place.follow("Back to the earlier manager")
    containers = deployed(place)["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "earlier:0"
    config = place.admin.in_namespace("ome").get("configmap", "inferenceservice-config")["data"]
    assert config == earlier_chart.CONFIG
    assert len(left_of_cert_manager(place)) == 5
    assert len(place.admin.in_namespace("ome").get("certificates,issuers")["items"]) == 2
    hooks = place.admin.get("validatingwebhookconfigurations")["items"]
    assert not any(hook["metadata"]["name"] == "basemodel.ome.io" for hook in hooks)
    assert place.pods() == pods
    service = place.admin.in_namespace(HERE).get("inferenceservice", "closed")
    assert service["metadata"]["uid"] == uid


def test_an_installation_without_helm_is_taken_over(place: Place) -> None:
    crds = json.loads(json.dumps(earlier_chart.all_crds(), default=str))
    place.admin.apply(*crds)
    for crd in crds:
        place.admin.wait(f"crd/{crd['metadata']['name']}", "condition=Established")
    everything = {"apiVersion": "v1", "kind": "List", "items": earlier_chart.resources()}
    place.admin.in_namespace("ome").run("apply", "-f", "-", stdin=json.dumps(everything))
    serve(place)
    pods = place.pods()
    place.run("mkdir before")
    place.follow("Carry the configuration over")
    place.follow("Bring the CRDs up to date")
    place.follow("Installed without Helm", "bash")
    assert left_of_cert_manager(place) == []
    image = deployed(place)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("registry.example/ome:")
    config = place.admin.in_namespace("ome").get("configmap", "inferenceservice-config")["data"]
    assert json.loads(config["ingress"])["ingressDomain"] == "models.example"
    hook = place.admin.get("validatingwebhookconfiguration", "inferenceservice.ome.io")
    assert [h["failurePolicy"] for h in hook["webhooks"]] == ["Fail"]
    service = place.admin.in_namespace("ome").get("service", "ome-webhook-server-service")
    assert service["spec"]["selector"] == {"control-plane": "ome-controller-manager"}
    operator = place.operator("after")
    try:
        operator.until_ready()
        operator.until_leads(60)
        place.admin.in_namespace(HERE).wait("inferenceservice/closed", "condition=Ready")
    finally:
        assert operator.stop() == 0
    assert place.pods() == pods


def lease() -> Object:
    """Of a manager that is gone since."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "ome-controller-manager-leader-lock", "namespace": "ome"},
        "spec": {
            "holderIdentity": "ome-controller-manager-0_1",
            "leaseDurationSeconds": 15,
            "renewTime": "2026-05-06T07:08:09.000000Z",
            "leaseTransitions": 1,
        },
    }
