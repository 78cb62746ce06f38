"""A running installation of the implementation before this one is taken over in place.

The old manager's objects are those of the corpus' recordings, live on a real API server, with their
pods. Our operator is started over them with exactly the chart's rights. No pod may notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import corpus as where
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl, add_nodes, furnish
from tests.cluster.omehome import ACCOUNT, Home, quiet
from tests.cluster.replicas import Replica, audited, until, writes
from tests.cluster.takeover import OLD, Old, Seen, managers
from tests.cluster.wire import over_tls
from tests.corpus import corpus
from tests.corpus.test_children import NOT_COMPARED

from ome.api import constants as c

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(300)
ROOMY = {"cpu": "10k", "memory": "100Ti", "pods": "1000", "nvidia.com/gpu": "1000"}
PATIENCE = 120.0


@dataclass
class World:
    bed: ControlPlane
    admin: Kubectl
    old: Old
    home: Home
    before: Seen
    replica: Replica | None = None

    def ready(self) -> dict[tuple[str, str], Object]:
        return {key: _condition(live, "Ready") for key, live in self.old.live().items()}


def _condition(live: Object, kind: str) -> Object:
    for entry in (live.get("status") or {}).get("conditions") or ():
        if entry["type"] == kind:
            return dict(entry)
    return {}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, kubectl: Path) -> Iterator[World]:
    """A bed of its own: the corpus' services have the names that other tests use, too."""
    if not (where.ROOT / "children").is_dir():
        raise where.CorpusMissing(
            f"THE TAKEOVER WAS NOT TESTED: there are no recorded children under {where.ROOT}. "
            "Set OME_CORPUS to the folder that holds children/, models/, runtimes/ and samples/."
        )
    folder = tmp_path_factory.mktemp("takeover")
    with ControlPlane(folder / "bed") as bed:
        admin = Kubectl(kubectl, bed.kubeconfig())
        furnish(bed, admin)
        nodes = [f"node-{i}" for i in range(4)]
        add_nodes(admin, nodes, ROOMY)
        old = Old(lambda: over_tls("old", bed.url, bed.tokens["admin"]), nodes)
        old.load()
        until("the old installation runs", lambda: _runs(old.seen()), PATIENCE)
        home = Home(bed, admin, folder)
        home.install()
        try:
            yield World(bed, admin, old, home, old.seen())
        finally:
            home.close()


def _runs(seen: Seen) -> bool:
    """Every workload has its pods, and they are ready."""
    for (kind, _, _), obj in seen.children.items():
        status = obj.get("status") or {}
        if kind == "Deployment" and status.get("availableReplicas") != obj["spec"]["replicas"]:
            return False
        if kind == "LeaderWorkerSet" and status.get("readyReplicas") != obj["spec"]["replicas"]:
            return False
    return all(pod["status"].get("phase") == "Running" for pod in seen.pods.values())


def test_two_managers_never_act_together(world: World) -> None:
    """The old one's Lease is respected until it runs out."""
    began = len(audited(world.bed, ACCOUNT))
    world.replica = world.home.start()
    world.replica.until_ready()
    assert not world.replica.leads
    assert writes(audited(world.bed, ACCOUNT, began)) == []
    world.replica.until_leads(60)


def test_no_pod_notices_and_every_child_is_the_same(world: World) -> None:
    assert world.replica is not None
    settled(world)
    after = world.old.seen()
    assert after.uids() == world.before.uids()
    assert after.templates() == world.before.templates()
    assert after.generations() == world.before.generations()
    assert after.running() == world.before.running()


def settled(world: World) -> None:
    """Every service has been looked at, and nothing is left to do."""
    assert world.replica is not None
    series = 'ome_reconcile_total{controller="inferenceservice",outcome="done"}'
    count = len(world.old.services)
    until("all are looked at", lambda: world.replica.metric(series) >= count, PATIENCE)  # type: ignore[union-attr]
    quiet(world.home)
