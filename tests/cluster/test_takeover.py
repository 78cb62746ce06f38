"""A running installation of the implementation before this one is taken over in place.

The old manager's objects are those of the corpus' recordings, live on a real API server, with their
pods. Our operator is started over them with exactly the chart's rights. No pod may notice.

The tests stand in order: each goes on from where the one before it left the world.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import corpus as where
from tests.cluster import takeover_kinds as kinds
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl, add_nodes, furnish
from tests.cluster.omehome import ACCOUNT, SCALERS_SPEAK, Home, quiet
from tests.cluster.replicas import Replica, audited, until, writes
from tests.cluster.takeover import LEASE, OLD, Name, Old, Seen, managers
from tests.cluster.wire import over_tls

from ome.api import constants as c

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(600)
ROOMY = {"cpu": "10k", "memory": "100Ti", "pods": "1000", "nvidia.com/gpu": "1000"}
PATIENCE = 240.0
OLD_LEASE = 8
TOUCHED = "example.com/touched"
STUCK = {
    # The sample's runtime has no decoderConfig: the old manager made half of its children.
    ("llama-3-3-70b-instruct", "llama-3-3-70b-instruct"): "NoContainer",
    # Recorded with a runtime that the corpus does not have.
    ("llama-3-2-11b-vision-instruct", "llama-3-2-11b-vision-instruct"): "NoRuntimeFits",
}
"""Services of which nothing can be rendered, and why: what they have keeps running untouched."""
MOVED = {
    ("Deployment", kinds.NAMESPACE, kinds.OLDER),
    ("PodDisruptionBudget", kinds.NAMESPACE, kinds.OLDER),
}
"""A predictor: it goes once the engine that it was migrated to serves."""
REPLACED = (f"{kinds.GROUPS}-engine-", f"{kinds.CLOSED}-decoder-", f"{kinds.OLDER}-")
"""Pods of what is no longer needed."""


@dataclass
class World:
    bed: ControlPlane
    old: Old
    home: Home
    before: Seen
    replica: Replica | None = None

    @property
    def leader(self) -> Replica:
        assert self.replica is not None, "the tests of this file stand in order"
        return self.replica

    def settle(self) -> None:
        """Every service has been looked at, and nothing is left to do."""
        series = 'ome_reconcile_total{controller="inferenceservice",outcome="done"}'
        count = len(self.old.services)
        until("all are looked at", lambda: self.leader.metric(series) >= count, PATIENCE)
        quiet(self.home)

    def not_serving(self) -> dict[tuple[str, str], Object]:
        """Services that are not Ready with nothing left to do, without those that can't be."""
        found = {}
        for key, live in self.old.live().items():
            ready = condition(live, "Ready")
            current = live["status"].get("observedGeneration") == live["metadata"]["generation"]
            if key not in STUCK and not (
                current and ready.get("status") == "True" and ready.get("reason") == "Serving"
            ):
                found[key] = ready
        return found


def condition(live: Object, kind: str) -> Object:
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
        await_nothing("the old installation runs", lambda: not_running(old.seen()))
        home = Home(bed, admin, folder)
        try:
            home.install()
            prober = json.dumps({"data": {"multinodeProber": json.dumps({"image": "prober:1"})}})
            name = ("configmap", c.INFERENCE_SERVICE_CONFIG)
            home.admin.run("patch", *name, "--type=merge", "-p", prober)
            yield World(bed, old, home, old.seen())
        finally:
            home.close()


def not_running(seen: Seen) -> list[str]:
    """Workloads without all of their pods, and pods that do not run, with why."""
    found = []
    for (kind, namespace, name), obj in seen.children.items():
        key = {"Deployment": "availableReplicas", "LeaderWorkerSet": "readyReplicas"}.get(kind)
        status = obj.get("status") or {}
        if key and status.get(key) != obj["spec"]["replicas"]:
            found.append(f"{kind} {namespace}/{name}: {status}")
    for (namespace, name), pod in seen.pods.items():
        if pod["status"].get("phase") != "Running":
            found.append(f"Pod {namespace}/{name}: {pod['status']}")
    return found


def await_nothing(what: str, left: Callable[[], Any]) -> None:
    """Until ``left`` gives nothing any more; looks seldom, because there is much to look at."""
    end = time.monotonic() + PATIENCE
    while found := left():
        if time.monotonic() > end:
            entries = [*found.items()] if isinstance(found, dict) else found
            shown = json.dumps(entries, indent=1, default=str)[:3000]
            raise AssertionError(f"not within {PATIENCE} s: {what}; still: {shown}")
        time.sleep(1)


def stuck(name: Name) -> bool:
    return name[1] in {namespace for namespace, _ in STUCK}


def test_two_managers_never_act_together(world: World) -> None:
    """The Lease of the old one is respected until it runs out."""
    world.old.hold_lease(OLD_LEASE)
    since = time.monotonic()
    world.replica = world.home.start()
    world.replica.until_leads(60)
    assert time.monotonic() - since > OLD_LEASE - 1
    events = audited(world.bed, ACCOUNT)
    leading = next(index for index, event in enumerate(events) if takes_lease(event))
    # Standing by, it only looks after the certificate of the webhooks.
    assert {write.split()[1] for write in writes(events[:leading])} <= {
        "secrets",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }
    assert world.home.admin.get("lease", LEASE)["spec"]["holderIdentity"] == world.leader.identity


def takes_lease(event: Object) -> bool:
    resource = (event.get("objectRef") or {}).get("resource")
    done = (event.get("responseStatus") or {}).get("code", 0) < 300
    return bool(resource == "leases" and done and event["verb"] in ("create", "update", "patch"))


def test_no_pod_notices_and_every_child_stays_what_it_is(world: World) -> None:
    world.settle()
    after, gone = world.old.seen(), kinds.LEFT | MOVED
    before = world.before
    assert before.uids().keys() - after.uids().keys() == gone
    for what in (Seen.uids, Seen.templates, Seen.specs):
        was, is_ = what(before), what(after)
        changed = {name for name in was if name not in gone and was[name] != is_[name]}
        assert not changed, what.__name__
    made = after.uids().keys() - before.uids().keys()
    assert {namespace for _, namespace, _ in made} == {kinds.NAMESPACE}
    assert ("Deployment", kinds.NAMESPACE, f"{kinds.OLDER}-engine") in made
    was, is_ = before.running(), after.running()
    pods = {name for name in was if not name[1].startswith(REPLACED)}
    assert len(pods) > 100
    restarted = {name for name in pods if is_.get(name) != was[name]}
    assert not restarted


def test_fields_of_the_old_manager_are_ours(world: World) -> None:
    for name, obj in world.old.seen().children.items():
        if stuck(name):
            assert (OLD, "Update") in managers(obj)
            assert managers(obj) <= managers(world.before.children[name])
        elif name == ("Knative Service", kinds.NAMESPACE, f"{kinds.SLEEPER}-engine"):
            annotations = obj["metadata"]["annotations"]
            assert kinds.CREATOR.items() <= annotations.items()
        elif name in world.before.children:
            assert (OLD, "Update") not in managers(obj), name
            assert (c.MANAGER, "Apply") in managers(obj), name
            assert (c.MANAGER, "Update") not in managers(obj), name


def test_what_was_wrong_beside_the_templates_is_mended_at_once(world: World) -> None:
    children = world.old.seen().children
    for namespace, name in (
        ("deepseek-v3", "deepseek-v3-engine"),
        ("deepseek-v3", "deepseek-v3-decoder"),
        (kinds.NAMESPACE, f"{kinds.GROUPS}-engine"),
    ):
        selector = children[("Service", namespace, name)]["spec"]["selector"]
        assert set(selector) == {c.L_INFERENCE_SERVICE, c.L_COMPONENT, c.L_RAY_NODE_TYPE}, name


def test_statuses_become_true(world: World) -> None:
    await_nothing("all that can serve do", world.not_serving)
    for key, live in world.old.live().items():
        status = live["status"]
        assert status["observedGeneration"] == live["metadata"]["generation"]
        assert condition(live, "PredictorReady") == {}
        assert status["url"] != "http://wrong.example" or key in STUCK
        assert condition(live, "EngineReady")["status"] == "True", key
        if reason := STUCK.get(key):
            ready = condition(live, "Ready")
            assert (ready["status"], ready["reason"]) == ("False", reason)
            assert "What was applied before keeps running" in ready["message"]
        else:
            assert status["modelStatus"]["modelRevisionStates"]["activeModelState"] == "Loaded"


def test_the_next_start_writes_nothing(world: World) -> None:
    quiet(world.home, rest=SCALERS_SPEAK)
    assert world.leader.stop() == 0
    world.home.end(world.leader)
    began = len(audited(world.bed, ACCOUNT))
    before = world.old.seen()
    world.replica = world.home.start()
    world.replica.until_ready()
    world.replica.until_leads()
    world.settle()
    assert writes(audited(world.bed, ACCOUNT, began)) == []
    assert world.old.seen().running() == before.running()


def test_pending_fixes_go_out_with_the_next_change_of_each_service(world: World) -> None:
    before = world.old.seen()
    moving = [
        s
        for s in world.old.services
        if (s["metadata"]["namespace"], s["metadata"]["name"]) not in STUCK
        # Ray clusters are made anew one by one, and nothing makes their pods here.
        and s["metadata"]["name"] != kinds.RAY
    ]
    world.old.touch({"metadata": {"annotations": {TOUCHED: "yes"}}}, moving)
    await_nothing("every service has rolled", lambda: not_rolled(world))
    world.settle()
    assert not world.not_serving()
    after = world.old.seen()
    assert after.uids() == before.uids()
    for name, obj in after.children.items():
        if (text := after.templates().get(name)) is None or stuck(name):
            continue
        if name[2].startswith(kinds.RAY):
            continue
        assert TOUCHED in text, name
        assert text != before.templates()[name], name
        assert (OLD, "Update") not in managers(obj) or name[0] == "Knative Service", name
        assert f'"name": "{name[2]}"' not in text, f"{name}: a pod template needs no name"
        if name[2].endswith("-router"):
            assert not obj["spec"]["template"]["spec"].get("volumes"), name
        if name[0] == "Deployment" and name[2] != f"{kinds.OLDER}-engine":
            # One roll for everything that had waited.
            assert obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2", name
    untouched = {name: at for name, at in before.running().items() if stuck(("", *name))}
    assert untouched.items() <= after.running().items()
    quiet(world.home, rest=SCALERS_SPEAK)
    began = len(audited(world.bed, ACCOUNT))
    quiet(world.home)
    assert writes(audited(world.bed, ACCOUNT, began)) == []


def not_rolled(world: World) -> list[str]:
    """Services and workloads that have not followed the change with every pod."""
    world.old.take_up()
    found = [f"{key}: {ready}" for key, ready in world.not_serving().items()]
    for name, obj in world.old.seen().children.items():
        if name[0] not in ("Deployment", "LeaderWorkerSet") or stuck(name):
            continue
        status, wanted = obj.get("status") or {}, obj["spec"]["replicas"]
        # The controller of LeaderWorkerSets writes none.
        seen = status.get("observedGeneration", obj["metadata"]["generation"])
        seen = seen == obj["metadata"]["generation"]
        if not (seen and status.get("updatedReplicas") == status.get("replicas") == wanted):
            found.append(f"{name}: {status}")
    return found
