"""`ome operator` on a real control plane, with exactly the rights that the chart gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import corpus
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import NODES, Kubectl
from tests.cluster.replicas import Balancer, Replica, audited, kubeconfig, until, writes

from ome.admission.registration import Address, configurations
from ome.api import names
from ome.cli.install import applying, rbac

Object = dict[str, Any]
ACCOUNT = "ome-controller-manager"
SAMPLES = {
    "qwen3-0-6b": ("Qwen/Qwen3-0.6B.yaml", "Qwen/qwen3-0-6b-rt.yaml", "Qwen/qwen3-0-6b.yaml"),
    "smollm2-1-7b-instruct": (
        "HuggingFaceTB/SmolLM2-1.7B-Instruct.yaml",
        "HuggingFaceTB/smollm2-1-7b-instruct-rt.yaml",
        "HuggingFaceTB/smollm2-1-7b-instruct.yaml",
    ),
}
pytestmark = [pytest.mark.timeout(300), pytest.mark.unsettled]


def documents(path: Path) -> list[Object]:
    return [doc for doc in yaml.safe_load_all(path.read_text()) if doc]


class Home:
    """OME installed on the bed, but for the workloads: those are processes here."""

    def __init__(self, bed: ControlPlane, admin: Kubectl, folder: Path) -> None:
        self.bed, self.admin, self.folder = bed, admin.in_namespace("ome"), folder
        self.balancer = Balancer()
        self.replicas: list[Replica] = []
        self._count = 0
        wanted, _ = applying.chosen("ome", {})
        self.objects = [
            obj
            for obj in wanted
            if obj["kind"] not in ("Deployment", "DaemonSet")
            and not obj["kind"].endswith("WebhookConfiguration")
        ]
        self.hooks = configurations(Address("ome", url=self.balancer.url))

    def install(self) -> None:
        namespaces = [o for o in self.objects if o["kind"] == "Namespace"]
        crds = [o for o in self.objects if o["kind"] == "CustomResourceDefinition"]
        rest = [o for o in self.objects if o not in namespaces and o not in crds]
        self.admin.apply(*namespaces)
        self.admin.apply(*crds)
        for crd in crds:
            self.admin.wait(f"crd/{crd['metadata']['name']}", "condition=Established")
        self.admin.apply(*rest)
        self.admin.apply(*self.hooks)
        token = self.admin.run("create", "token", ACCOUNT, "--duration", "2h").strip()
        self.config = kubeconfig(self.bed, token, self.folder / "operator.kubeconfig")

    def start(self, *more: str) -> Replica:
        self._count += 1
        replica = Replica(self.folder, f"replica-{self._count}", self.config, self.balancer, *more)
        self.replicas.append(replica)
        self.balancer.backends.append(replica.webhook_port)
        return replica

    def end(self, replica: Replica) -> None:
        """Takes it out of the balancer, and stops it where it runs."""
        if replica.webhook_port in self.balancer.backends:
            self.balancer.backends.remove(replica.webhook_port)
        if replica.process.poll() is None:
            replica.kill()

    def close(self) -> None:
        for replica in self.replicas:
            self.end(replica)
        for hook in self.hooks:
            self.admin.run("delete", hook["kind"], hook["metadata"]["name"], "--ignore-not-found")
        self.balancer.close()

    def serve(self, name: str) -> Kubectl:
        """Applies a model, its runtime and a service, and puts the model on every node."""
        model, runtime, service = SAMPLES[name]
        files = [
            corpus.ROOT / "models" / model,
            corpus.ROOT / "runtimes" / runtime,
            corpus.ROOT / "samples" / service,
        ]
        objects = [doc for file in files for doc in documents(file)]
        first = [o for o in objects if o["kind"] == "Namespace"]
        self.admin.apply(*first)
        self.admin.apply(*[o for o in objects if o["kind"] != "Namespace"])
        label = names.model_label("", name)
        for number in range(NODES):
            self.admin.run("label", "node", f"node-{number}", f"{label}=Ready", "--overwrite")
        return self.admin.in_namespace(name)


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    home = Home(bed, cluster, tmp_path_factory.mktemp("operator"))
    try:
        home.install()
        yield home
    finally:
        home.close()


@pytest.fixture
def replica(home: Home) -> Replica:
    """One that leads; it is shared until a test ends it."""
    for running in home.replicas:
        if running.process.poll() is None and running.webhook_port in home.balancer.backends:
            running.until_ready()
            running.until_leads()
            return running
    made = home.start()
    made.until_ready()
    made.until_leads()
    return made


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


def test_everything_is_measured(home: Home, replica: Replica) -> None:
    text = replica.get("/metrics")[1]
    for series in (
        'ome_reconcile_total{controller="inferenceservice",outcome="done"}',
        'ome_reconcile_duration_seconds_count{controller="inferenceservice"}',
        'ome_queue_depth{controller="inferenceservice",state="ready"}',
        'ome_queue_latency_seconds_count{controller="inferenceservice"}',
        'ome_api_requests_total{code="200",resource="deployments.apps",verb="apply"}',
        'ome_cache_objects{resource="inferenceservices.ome.io"}',
        'ome_watch_starts_total{resource="pods"}',
        "process_resident_memory_bytes",
    ):
        assert series in text, series


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
    quiet(home)
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


def quiet(home: Home) -> None:
    """Waits until the operator has written nothing for two renewals of its Lease."""

    def renewed() -> str:
        lease = home.admin.get("lease", "ome-controller-manager-leader-lock")
        return str(lease["spec"]["renewTime"])

    while True:
        count = len(writes(audited(home.bed, ACCOUNT)))
        for _ in range(3):
            last = renewed()
            until("the Lease is renewed", lambda last=last: renewed() != last)  # type: ignore[misc]
        if len(writes(audited(home.bed, ACCOUNT))) == count:
            return


def test_another_replica_takes_over_from_one_that_is_killed(home: Home, replica: Replica) -> None:
    second = home.start()
    second.until_ready()
    assert not second.leads
    replica.kill()
    home.end(replica)
    second.until_leads(15)
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
    second.until_leads(4)  # less than the Lease lasts


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
    less = {**role, "rules": [r for r in role["rules"] if r["resources"] != ["nodes"]]}
    home.admin.apply(less)
    second = home.start()
    try:
        rule = '{apiGroups: [""], resources: ["nodes"], verbs: ["list"]}'
        until("it says so", lambda: rule in second.get("/readyz")[1])
        until("it logs so", lambda: second.said(rule))
        assert not second.leads
        home.admin.apply(role, *bindings)
        second.until_ready()
    finally:
        home.admin.apply(role, *bindings)
        home.end(second)


def test_deleting_a_service_and_a_model_leaves_nothing_behind(home: Home, replica: Replica) -> None:
    there = home.serve("qwen3-0-6b")
    there.run("delete", "inferenceservice", "qwen3-0-6b")
    there.run("delete", "clusterbasemodel", "qwen3-0-6b", "--timeout=60s")
    until(
        "the children are gone",
        lambda: (
            there.get("deployments,services,hpa,pdb,configmaps", "-l", "ome.io/inferenceservice")[
                "items"
            ]
            == []
        ),
    )


def test_no_right_was_missing_and_none_is_there_in_vain(home: Home, replica: Replica) -> None:
    """Everything that the module did, counted from the audit log."""
    asked: set[tuple[str, str, str]] = set()
    refused = []
    for event in audited(home.bed, ACCOUNT):
        ref = event.get("objectRef") or {}
        place = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
        asked.add((ref.get("apiGroup", ""), place, event["verb"]))
        code = (event.get("responseStatus") or {}).get("code")
        # The test of a missing right took away the one for nodes.
        if code == 403 and ref.get("resource") != "nodes":
            refused.append(f"{event['verb']} {place}: {event['responseStatus'].get('message')}")
    assert refused == []
    # An apply that makes an object is a patch, for which the right to create is looked at too.
    made = {(group, place) for group, place, verb in asked if verb == "patch"}
    unused = [
        f"{verb} {resource}.{rule.group}: {rule.why}"
        for rule in (*rbac.OPERATOR_CLUSTER, *rbac.OPERATOR_OWN)
        for resource in rule.resources
        for verb in rule.verbs
        if (rule.group, resource, verb) not in asked
        and not (verb == "create" and (rule.group, resource) in made)
        and (rule.group, resource, verb) not in NOT_ASKED
    ]
    assert unused == []


NOT_ASKED = {
    # Looked at by the API server when it judges other requests:
    ("ome.io", "inferenceservices/finalizers", "update"),
    ("", "pods", "get"),
}
"""Rights that no request of ours names."""
