"""`ome operator` on a real control plane, with exactly the rights that the chart gives it: helm
installs the chart, and operators run as its service account."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.omehome import ACCOUNT, SAMPLES, SCALERS_SPEAK, Home, quiet
from tests.cluster.replicas import LEASE_SECONDS, Replica, audited, until, writes

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, helm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    home = Home(bed, cluster, tmp_path_factory.mktemp("operator"))
    try:
        home.install_by_helm(helm)
        yield home
    finally:
        home.close()


@pytest.fixture
def replica(home: Home) -> Replica:
    """One that leads; it is shared until a test ends it."""
    return home.replica()


def test_it_is_alive_before_it_is_ready_and_ready_once_it_has_read_everything(home: Home) -> None:
    replica = home.start()
    assert replica.get("/healthz")[0] == 200
    replica.until_ready()
    replica.until_leads()
    lease = home.admin.get("lease", "ome-controller-manager-leader-lock")
    assert lease["spec"]["holderIdentity"] == replica.identity
    assert [line for line in replica.lines() if line["level"] == "error"] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_the_corpus_become_ready(home: Home, replica: Replica, name: str) -> None:
    there = home.serve(name)
    there.wait(f"inferenceservice/{name}", "condition=Ready", 120)
    service = there.get("inferenceservice", name)
    assert service["metadata"]["annotations"]["ome.io/deploymentMode"] == "RawDeployment"
    assert there.get("deployment", f"{name}-engine")["status"]["readyReplicas"] >= 1
    lines = [line for line in replica.lines() if line.get("object") == f"{name}/{name}"]
    assert any("Deployment" in line["msg"] for line in lines)
    assert lines[0]["controller"] == "inferenceservice"


def test_what_makes_no_sense_is_refused_by_the_webhook(home: Home, replica: Replica) -> None:
    bad = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "bad.name", "namespace": "default"},
        "spec": {"engine": {}, "model": {"name": "qwen3-0-6b"}},
    }
    done = home.admin.in_namespace("default").try_("apply", "-f", "-", stdin=json.dumps(bad))
    assert done.returncode != 0
    assert "metadata.name" in done.stderr


MOVING = (
    ("ome_reconcile_total", 'controller="inferenceservice",outcome="done"'),
    ("ome_reconcile_duration_seconds_count", 'controller="inferenceservice"'),
    ("ome_queue_latency_seconds_count", 'controller="inferenceservice"'),
    ("ome_queue_latency_seconds_sum", 'controller="inferenceservice"'),
    ("ome_api_requests_total", 'code="201",resource="deployments.apps",verb="create"'),
    ("ome_api_requests_total", 'code="200",resource="inferenceservices.ome.io",verb="update"'),
    ("ome_cache_objects", 'resource="inferenceservices.ome.io"'),
)


def test_everything_is_measured_and_moves(home: Home, replica: Replica) -> None:
    names = [f"{name}{{{labels}}}" for name, labels in MOVING]
    before = {name: replica.metric(name) for name in names}
    there = home.serve("qwen3-0-6b")
    second = json.loads(there.run("get", "inferenceservice", "qwen3-0-6b", "-o", "json"))
    second["metadata"] = {"name": "measured", "namespace": "qwen3-0-6b"}
    there.apply({key: value for key, value in second.items() if key != "status"})
    try:
        there.wait("inferenceservice/measured", "condition=Ready", 60)
        for name in names:
            assert replica.metric(name) > before[name], name
        text = replica.get("/metrics")[1]
        for series in (
            'ome_queue_depth{controller="inferenceservice",state="ready"}',
            'ome_queue_depth{controller="inferenceservice",state="working"}',
            'ome_watch_starts_total{resource="pods"}',
            "process_resident_memory_bytes",
        ):
            assert series in text, series
    finally:
        there.run("delete", "inferenceservice", "measured")
    # What is logged about an object says which.
    about = [line for line in replica.lines() if line.get("object") == "qwen3-0-6b/measured"]
    assert about and {line["controller"] for line in about} == {"inferenceservice"}


def test_children_that_somebody_deletes_come_back(home: Home, replica: Replica) -> None:
    there = home.serve("qwen3-0-6b")
    there.wait("inferenceservice/qwen3-0-6b", "condition=Ready", 120)
    old = there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"]
    there.run("delete", "deployment", "qwen3-0-6b-engine", "--wait=false")
    until(
        "the Deployment is there again",
        lambda: (
            there.try_("get", "deployment", "qwen3-0-6b-engine").returncode == 0
            and there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"] != old
        ),
    )


def test_a_restart_writes_nothing_but_the_lease(home: Home, replica: Replica) -> None:
    for name in SAMPLES:
        home.serve(name).wait(f"inferenceservice/{name}", "condition=Ready", 120)
    quiet(home, rest=SCALERS_SPEAK)
    assert replica.stop() == 0
    home.end(replica)
    before = len(audited(home.bed, ACCOUNT))
    fresh = home.start()
    fresh.until_ready()
    fresh.until_leads()
    until(
        "every service has been looked at",
        lambda: (
            fresh.metric('ome_reconcile_total{controller="inferenceservice",outcome="done"}')
            >= len(SAMPLES)
        ),
    )
    quiet(home)
    assert writes(audited(home.bed, ACCOUNT, before)) == []


def test_another_replica_takes_over_from_one_that_is_killed(home: Home, replica: Replica) -> None:
    second = home.start()
    second.until_ready()
    assert not second.leads
    replica.kill()
    home.end(replica)
    second.until_leads(3 * LEASE_SECONDS)
    there = home.serve("smollm2-1-7b-instruct")
    old = there.get("deployment", "smollm2-1-7b-instruct-engine")["metadata"]["uid"]
    there.run("delete", "deployment", "smollm2-1-7b-instruct-engine", "--wait=false")
    until(
        "the new leader acts",
        lambda: (
            there.try_("get", "deployment", "smollm2-1-7b-instruct-engine").returncode == 0
            and there.get("deployment", "smollm2-1-7b-instruct-engine")["metadata"]["uid"] != old
        ),
    )


def test_one_that_is_asked_to_stop_hands_over_at_once(home: Home, replica: Replica) -> None:
    second = home.start()
    second.until_ready()
    assert replica.stop() == 0
    home.end(replica)
    assert replica.said("the operator stops")
    second.until_leads(LEASE_SECONDS - 2)  # less than the Lease lasts


def test_a_crd_that_goes_and_comes_back_is_waited_for(home: Home, replica: Replica) -> None:
    there = home.serve("qwen3-0-6b")
    there.wait("inferenceservice/qwen3-0-6b", "condition=Ready", 120)
    uid = there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"]
    name = "acceleratorclasses.ome.io"
    crd = next(o for o in home.objects if o["metadata"]["name"] == name)
    home.admin.run("delete", "crd", name)
    until("it says what is missing", lambda: replica.said("acceleratorclasses.ome.io: "))
    assert replica.get("/healthz")[0] == 200
    assert there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"] == uid
    home.admin.apply(crd)
    home.admin.wait(f"crd/{name}", "condition=Established")
    made = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": "from-the-test"},
        "spec": {"discovery": {}, "capabilities": {}},
    }
    until("the kind is served", lambda: _applied(home.admin, made))
    series = 'ome_cache_objects{resource="acceleratorclasses.ome.io"}'
    until("it is read again", lambda: replica.metric(series) == 1)


def _applied(admin: Kubectl, obj: Object) -> bool:
    return admin.try_("apply", "-f", "-", stdin=json.dumps(obj)).returncode == 0


def test_a_missing_right_is_named_with_the_rule_to_add(home: Home, replica: Replica) -> None:
    bindings = [o for o in home.objects if o["metadata"]["name"] == "ome-manager-rolebinding"]
    role = next(
        o
        for o in home.objects
        if o["kind"] == "ClusterRole" and o["metadata"]["name"] == "ome-manager-role"
    )
    taken = (["nodes"], ["scaledobjects"])
    less = {**role, "rules": [r for r in role["rules"] if r["resources"] not in taken]}
    home.admin.apply(less, force=True)
    second = home.start()
    try:
        rule = '{apiGroups: [""], resources: ["nodes"], verbs: ["list"]}'
        until("it says so", lambda: rule in second.get("/readyz")[1])
        other = '{apiGroups: ["keda.sh"], resources: ["scaledobjects"], verbs: ["list"]}'
        until("kinds that a cluster may lack too", lambda: other in second.get("/readyz")[1])
        until("it logs so", lambda: second.said(rule))
        assert not second.leads
        home.admin.apply(role, *bindings, force=True)
        second.until_ready()
    finally:
        home.admin.apply(role, *bindings, force=True)
        home.end(second)


def test_a_leader_that_is_killed_in_the_middle_of_a_hand_over_leaves_no_gap(
    home: Home, replica: Replica, record_property: Callable[[str, object], None]
) -> None:
    standing_by = [home.start(), home.start()]
    for one in standing_by:
        one.until_ready()
    assert replica.stop() == 0
    home.end(replica)
    until("one of them leads", lambda: any(one.leads for one in standing_by))
    heir = next(one for one in standing_by if one.leads)
    last = next(one for one in standing_by if one is not heir)
    began = time.monotonic()
    heir.kill()
    home.end(heir)
    last.until_leads(4 * LEASE_SECONDS)
    gap = time.monotonic() - began
    record_property("seconds_without_a_leader", round(gap, 2))
    assert gap < 3 * LEASE_SECONDS
    # Meanwhile webhooks were answered by who was left, and the new leader acts.
    there = home.serve("qwen3-0-6b")
    there.wait("inferenceservice/qwen3-0-6b", "condition=Ready", 60)


def test_a_second_installation_does_not_act_and_takes_over_when_the_first_is_gone(
    home: Home, replica: Replica
) -> None:
    home.admin.run("create", "namespace", "second-ome")
    second = Replica.in_a_pod(home.bed, home.folder, "second-ome")
    try:
        words = "another installation of OME is in charge here"
        until("it says so", lambda: words in second.get("/readyz")[1])
        until("it logs so", lambda: second.said(words))
        assert not second.leads
        assert replica.leads
        assert replica.get("/readyz")[0] == 200
        home.end(replica)
        for hook in home.hooks:
            home.admin.run("delete", hook["kind"], hook["metadata"]["name"])
        second.until_leads(30)
    finally:
        second.kill()
        home.admin.apply(*home.hooks)
        home.admin.run("delete", "namespace", "second-ome", "--wait=false")


def test_crds_of_another_version_are_told_and_nothing_stops(home: Home, replica: Replica) -> None:
    there = home.serve("qwen3-0-6b")
    there.wait("inferenceservice/qwen3-0-6b", "condition=Ready", 60)
    uid = there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"]
    name = "crd/basemodels.ome.io"
    label = "app.kubernetes.io/version"
    now = home.admin.get(name)["metadata"]["labels"][label]
    for other in ("0.0.1", "99.0.0"):
        home.admin.run("label", name, f"{label}={other}", "--overwrite")
        said = until(
            "it says so", lambda other=other: replica.said(f"basemodels.ome.io is of OME {other}")
        )
        assert "ome crds | kubectl apply" in said["msg"]
    assert replica.get("/readyz")[0] == 200
    assert there.get("deployment", "qwen3-0-6b-engine")["metadata"]["uid"] == uid
    home.admin.run("label", name, f"{label}={now}", "--overwrite")


def test_a_typo_in_the_configuration_is_told_and_a_correction_counts(
    home: Home, replica: Replica
) -> None:
    there = home.serve("qwen3-0-6b")
    there.wait("inferenceservice/qwen3-0-6b", "condition=Ready", 60)
    name = "inferenceservice-config"
    good = home.admin.get("configmap", name)["data"]["ingress"]
    before = there.get("inferenceservice", "qwen3-0-6b")["status"]["url"]

    def configure(ingress: str) -> None:
        patch = json.dumps({"data": {"ingress": ingress}})
        home.admin.run("patch", "configmap", name, "--type=merge", "-p", patch)

    def told(type_: str, words: str) -> bool:
        events = home.admin.get("events", "--field-selector", f"involvedObject.name={name}")
        return any(e["type"] == type_ and words in e["message"] for e in events["items"])

    try:
        configure('{"ingressDomain": ')
        until("a Warning event says so", lambda: told("Warning", "data[ingress]: is not JSON"))
        assert replica.said("data[ingress]: is not JSON")
        assert there.get("inferenceservice", "qwen3-0-6b")["status"]["url"] == before
        section = {
            "ingressDomain": "corrected.example",
            "pathTemplate": "/{{ .Name }}",
            "disableIngressCreation": True,
        }
        configure(json.dumps(section))
        until(
            "the new address is in the status",
            lambda: (
                there.get("inferenceservice", "qwen3-0-6b")["status"]["url"]
                == "http://corrected.example/qwen3-0-6b"
            ),
        )
        until("that is told, too", lambda: told("Normal", "counts again"))
    finally:
        configure(good)


def test_deleting_a_service_and_a_model_leaves_nothing_behind(home: Home, replica: Replica) -> None:
    there = home.serve("qwen3-0-6b")
    there.run("delete", "inferenceservice", "qwen3-0-6b")
    there.run("delete", "clusterbasemodel", "qwen3-0-6b", "--wait=false")
    home.forget("qwen3-0-6b")
    there.wait("clusterbasemodel/qwen3-0-6b", "delete")
    until(
        "the children are gone",
        lambda: (
            there.get("deployments,services,hpa,pdb,configmaps", "-l", "ome.io/inferenceservice")[
                "items"
            ]
            == []
        ),
    )
