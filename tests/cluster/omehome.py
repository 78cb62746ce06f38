"""OME installed on the bed as the chart installs it, with exactly the chart's rights.

The bed has no machines, so operators are processes here, and what nodes' agents would report is
written by :meth:`Home.serve`.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.cluster import corpus
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import NODES, Kubectl
from tests.cluster.replicas import Balancer, Replica, audited, kubeconfig, until, writes

from ome.admission.registration import Address, configurations
from ome.api import constants as c
from ome.api import names
from ome.cli.install import applying

Object = dict[str, Any]
ACCOUNT = "ome-controller-manager"
AGENT = "ome-model-agent"
CRD = "CustomResourceDefinition"
CHART = Path(__file__).parents[2] / "charts" / "ome"
SAMPLES = {
    "qwen3-0-6b": ("Qwen/Qwen3-0.6B.yaml", "Qwen/qwen3-0-6b-rt.yaml", "Qwen/qwen3-0-6b.yaml"),
    "smollm2-1-7b-instruct": (
        "HuggingFaceTB/SmolLM2-1.7B-Instruct.yaml",
        "HuggingFaceTB/smollm2-1-7b-instruct-rt.yaml",
        "HuggingFaceTB/smollm2-1-7b-instruct.yaml",
    ),
}


def documents(path: Path) -> list[Object]:
    return [doc for doc in yaml.safe_load_all(path.read_text()) if doc]


def _read_by_a_node(runtime: Object) -> Object:
    """What an agent would find in the files of the model for which that runtime was made."""
    entry = runtime["spec"]["supportedModelFormats"][0]
    return {
        "modelArchitecture": entry["modelArchitecture"],
        "modelFormat": entry["modelFormat"],
        "modelFramework": entry["modelFramework"],
        "modelParameterSize": runtime["spec"]["modelSizeRange"]["max"],
    }


class Home:
    """OME installed on the bed, but for the workloads: those are processes here."""

    def __init__(
        self, bed: ControlPlane, admin: Kubectl, folder: Path, settings: Object | None = None
    ) -> None:
        self.bed, self.admin, self.folder = bed, admin.in_namespace("ome"), folder
        self.balancer = Balancer()
        self.replicas: list[Replica] = []
        self.before: dict[str, int] = {}
        """How many requests an account had made before something began, for who wants to know."""
        self._count = 0
        self._helm: Path | None = None
        wanted, _ = applying.chosen("ome", settings or {})
        self.objects = [
            obj
            for obj in wanted
            if obj["kind"] not in ("Deployment", "DaemonSet")
            and not obj["kind"].endswith("WebhookConfiguration")
        ]
        self.hooks = configurations(Address("ome", url=self.balancer.url))

    def install(self) -> None:
        """As ``ome install`` does."""
        self._definitions()
        self.admin.apply(*[o for o in self.objects if o["kind"] != CRD], force=True)
        self._ready()

    def install_by_helm(self, helm: Path) -> None:
        """The committed chart, over whatever was there before; its workloads run nowhere here."""
        self._helm = helm
        self._release(
            *("install", "ome", str(CHART), "--create-namespace"),
            *("--take-ownership", "--force-conflicts"),
            *("--set", "operator.replicas=0", "--set", "agent.nodeSelector.no=where"),
        )
        self._definitions()  # those that were there before stay as they are, says the chart
        for hook in configurations(Address("ome")):
            self.admin.run("delete", hook["kind"], hook["metadata"]["name"])
        self._ready()

    def _release(self, *arguments: str) -> None:
        where = ("--namespace", "ome", "--kubeconfig", str(self.bed.kubeconfig()))
        command = [str(self._helm), *arguments, *where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr or done.stdout

    def _definitions(self) -> None:
        crds = [o for o in self.objects if o["kind"] == CRD]
        self.admin.apply(*crds, force=True)
        for crd in crds:
            self.admin.wait(f"crd/{crd['metadata']['name']}", "condition=Established")

    def _ready(self) -> None:
        if self.hooks:
            self.admin.apply(*self.hooks, force=True)
        token = self.admin.run("create", "token", ACCOUNT, "--duration", "2h").strip()
        self.config = kubeconfig(self.bed, token, self.folder / "operator.kubeconfig")
        self.token = token

    def start(
        self, *more: str, config: Path | None = None, program: Sequence[str] = ("-m", "ome.cli")
    ) -> Replica:
        """``config`` and ``program`` for one that goes another way, or is not quite the usual."""
        self._count += 1
        name = f"replica-{self._count}"
        balancer = self.balancer if self.hooks else None
        replica = Replica(
            self.folder, name, config or self.config, balancer, *more, program=program
        )
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
        if self._helm is not None:
            self._release("uninstall", "ome")
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
        there = self.admin.in_namespace(name)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        there.apply(space)
        there.apply(*[o for o in objects if o["kind"] != "Namespace"])
        runtime = next(o for o in objects if o["kind"] == "ClusterServingRuntime")
        self.report(name, _read_by_a_node(runtime))
        return there

    def report(self, model: str, config: Object | None = None) -> None:
        """What the agents say once a model is on every node; ``config`` is read in its files."""
        manager = f"--field-manager=agent-{model}"
        entry = json.dumps({"name": model, "status": "Ready", "config": config or {}})
        for number in range(NODES):
            node = f"node-{number}"
            report = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": node,
                    "namespace": "ome",
                    "labels": {c.L_MODEL_STATUS: "true", "node": node},
                    "annotations": {"models.ome.io/node-name": node},
                },
                "data": {names.model_config_map_key("", model): entry},
            }
            self.admin.run("apply", "--server-side", manager, "-f", "-", stdin=json.dumps(report))
        label = names.model_label("", model)
        self.admin.run("label", "node", "--all", f"{label}=Ready", "--overwrite")

    def forget(self, model: str) -> None:
        """What the agents do when a model is being deleted."""
        patch = json.dumps({"data": {names.model_config_map_key("", model): None}})
        for number in range(NODES):
            self.admin.run("patch", "configmap", f"node-{number}", "--type=merge", "-p", patch)
        self.admin.run("label", "node", "--all", f"{names.model_label('', model)}-")

    def replica(self) -> Replica:
        """One that leads: that which does, or a new one."""
        for running in self.replicas:
            if running.process.poll() is None and running.webhook_port in self.balancer.backends:
                break
        else:
            running = self.start()
        running.until_ready()
        running.until_leads()
        return running


SCALERS_SPEAK = 16.0
"""Kubernetes looks at each autoscaler every 15 s, for the first time that long after it was made;
what keeps it from its work is then told in the service's status."""


def quiet(home: Home, *, rest: float = 2.0) -> None:
    """Waits until the operator has written nothing for two renewals of its Lease, and ``rest``
    seconds: Leases of tests may be short."""

    def renewed() -> str:
        lease = home.admin.get("lease", "ome-controller-manager-leader-lock")
        return str(lease["spec"]["renewTime"])

    for _ in range(10):
        count, began = len(writes(audited(home.bed, ACCOUNT))), time.monotonic()
        renewals = 0
        while renewals < 3 or time.monotonic() < began + rest:
            last = renewed()
            until("the Lease is renewed", lambda last=last: renewed() != last)  # type: ignore[misc]
            renewals += 1
        if len(writes(audited(home.bed, ACCOUNT))) == count:
            return
    raise AssertionError("the operator does not come to rest")
