"""`ome` and `kubectl ome` at a real API server with an operator that has the chart's rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.omehome import Home
from tests.fakes.objects import service

pytestmark = pytest.mark.timeout(300)
NAME = "qwen3-0-6b"
THERE = ("-n", NAME)
Answer = subprocess.CompletedProcess[str]
Ome = Callable[..., Answer]


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    home = Home(bed, cluster, tmp_path_factory.mktemp("commands"))
    try:
        home.install()
        home.replica()
        home.serve(NAME).wait(f"inferenceservice/{NAME}", "condition=Ready", 60)
        yield home
    finally:
        home.close()


def _run(*command: str, **environment: str) -> Answer:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.fixture
def ome(home: Home) -> Ome:
    target = ("--kubeconfig", str(home.bed.kubeconfig()), "--context", "bed")
    path = os.pathsep.join(p for p in sys.path if p)

    def run(*arguments: str) -> Answer:
        return _run(sys.executable, "-m", "ome.cli", *arguments, *target, PYTHONPATH=path)

    return run


def test_what_is_there_is_shown_and_explained(ome: Ome) -> None:
    listed = ome("get", "inferenceservices", *THERE)
    assert listed.returncode == 0, listed.stderr
    assert NAME in listed.stdout
    assert "True" in listed.stdout
    (found,) = json.loads(ome("get", "isvc", "-o", "json", *THERE).stdout)["items"]
    assert found["metadata"]["name"] == NAME
    described = ome("describe", "isvc", NAME, *THERE)
    assert described.returncode == 0, described.stderr
    assert f"srt-{NAME}" in described.stdout
    explained = ome("explain", NAME, *THERE)
    assert explained.returncode == 0, explained.stderr
    assert f"srt-{NAME}" in explained.stdout
    events = ome("events", *THERE)
    assert events.returncode == 0, events.stderr
    assert "Deployment" in events.stdout


def test_a_plan_against_the_cluster_says_that_nothing_would_change(ome: Ome) -> None:
    """The same code as the operator's, so it comes to what the operator came to."""
    planned = ome("plan", NAME, *THERE)
    assert planned.returncode == 0, planned.stderr
    assert NAME in planned.stdout
    compared = ome("plan", NAME, "-o", "diff", *THERE)
    assert compared.returncode == 0, compared.stderr
    assert "nothing changes in its objects" in compared.stdout


def test_a_plan_of_a_change_names_what_restarts_and_what_does_not(ome: Ome, tmp_path: Path) -> None:
    (live,) = json.loads(ome("get", "isvc", "-o", "json", *THERE).stdout)["items"]
    metadata = {"name": NAME, "namespace": NAME}
    path = tmp_path / "changed.json"

    def planned(**engine: object) -> str:
        changed = {**live["spec"], "engine": {**live["spec"]["engine"], **engine}}
        body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}
        path.write_text(json.dumps({**body, "spec": changed}))
        found = ome("plan", "-f", str(path), *THERE)
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert f"Deployment {NAME}-engine: RESTARTS its pods" in planned(labels={"team": "a"})
    scaled = planned(maxReplicas=7)
    assert f"HorizontalPodAutoscaler {NAME}-engine: no pod restarts" in scaled
    assert "RESTARTS" not in scaled
    (after,) = json.loads(ome("get", "isvc", "-o", "json", *THERE).stdout)["items"]
    assert after["spec"] == live["spec"]


def test_the_doctor_finds_operator_webhooks_and_configuration_well(ome: Ome) -> None:
    looked = ome("doctor", "-o", "json")
    found = {finding["check"]: finding for finding in json.loads(looked.stdout)}
    for check in ("API server", "CRDs", "operator", "webhooks", "configuration"):
        assert found[check]["state"] == "ok", found[check]
    assert looked.returncode == 0


def test_the_doctor_without_rights_names_them(home: Home, ome: Ome, tmp_path: Path) -> None:
    home.admin.run("create", "serviceaccount", "nobody")
    try:
        token = home.admin.run("create", "token", "nobody").strip()
        config = json.loads(home.bed.kubeconfig().read_text())
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / "nobody.kubeconfig"
        path.write_text(json.dumps(config))
        path_ = os.pathsep.join(p for p in sys.path if p)
        command = (sys.executable, "-m", "ome.cli")
        looked = _run(*command, "doctor", "--kubeconfig", str(path), PYTHONPATH=path_)
        assert 'resources: ["customresourcedefinitions"], verbs: ["list"]' in looked.stdout
        got = _run(*command, "get", "isvc", "--kubeconfig", str(path), PYTHONPATH=path_)
        assert got.returncode == 1
        assert 'resources: ["inferenceservices"]' in got.stderr
        assert "Traceback" not in got.stderr
    finally:
        home.admin.run("delete", "serviceaccount", "nobody")


def test_a_chat_with_what_has_no_address_yet_says_so(home: Home, ome: Ome) -> None:
    waiting = service("waiting", model="not-there")
    home.admin.in_namespace("default").apply(waiting)
    try:
        asked = ome("chat", "waiting", "Hello?", "-n", "default")
        assert asked.returncode == 1
        assert "default/waiting has no Service yet" in asked.stderr
    finally:
        home.admin.in_namespace("default").run("delete", "inferenceservice", "waiting")


def test_logs_that_no_kubelet_gives_are_an_error_and_no_crash(ome: Ome) -> None:
    """kwok's nodes have no kubelet to ask."""
    asked = ome("logs", NAME, *THERE)
    assert asked.returncode != 0
    assert asked.stderr
    assert "should not have happened" not in asked.stderr
    assert "Traceback" not in asked.stderr


def test_kubectl_runs_it_as_a_plugin(home: Home, tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-ome"
    path = ", ".join(repr(p) for p in sys.path if p)
    plugin.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{path}]\n"
        "from ome.cli.main import main\nmain()\n"
    )
    plugin.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "KUBECONFIG": str(home.bed.kubeconfig()),
    }
    got = _run(str(home.admin.binary), "ome", "get", "isvc", *THERE, **environment)
    assert got.returncode == 0, got.stderr
    assert NAME in got.stdout
