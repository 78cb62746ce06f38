"""What goes wrong around the operator changes nothing about the end, and harms nothing meanwhile.

The operator is killed, answers get lost, watches are cut, the API server is killed and its history
compacted, kinds vanish: in the end there are exactly the right children, and at no time does a
service that nobody touches lose a pod or its readiness (:mod:`tests.cluster.chaos`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.chaos import OPTIONS, Chaos, StormyHome, kill_again_and_again
from tests.cluster.conftest import Kubectl
from tests.cluster.direct import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    RUNTIMES,
    Direct,
    Refused,
    condition,
)
from tests.cluster.faultproxy import STORM, Weather
from tests.cluster.faults import (
    LABEL,
    children,
    life,
    prepared,
    runtime,
    service,
    until_ready,
)
from tests.cluster.omehome import ACCOUNT, SCALERS_SPEAK, quiet
from tests.cluster.replicas import audited, until, writes

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(300)
SEED = int(os.environ.get("OME_TEST_SEED", "20261129"))


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StormyHome]:
    home = StormyHome(bed, cluster, tmp_path_factory.mktemp("storm"))
    try:
        home.install()
        yield home
    finally:
        home.close()


@pytest.fixture(scope="module")
def chaos(home: StormyHome) -> Iterator[Chaos]:
    """Shared: every test leaves its services to the next one."""
    home.calm()
    made = Chaos(home, "chaos", SEED)
    yield made
    made.close()


def test_killed_ten_times_it_leaves_exactly_the_right_children(
    home: StormyHome, chaos: Chaos, record_property: Callable[[str, object], None]
) -> None:
    home.stop_all()
    how = kill_again_and_again(home, chaos, 10)
    record_property("kills", dict(how))
    record_property("steps", dict(chaos.done))
    assert how["before"] + how["after"] >= 3, how
    home.calm()
    chaos.check()


def test_in_a_storm_of_faults_it_gets_everything_done(
    home: StormyHome, chaos: Chaos, record_property: Callable[[str, object], None]
) -> None:
    """409, 429 with Retry-After, 500, resets, lost and torn and slow answers, cut watches, 410."""
    home.stop_all()
    home.proxy.weather = Weather(STORM, SEED)
    home.proxy.done.clear()
    replica = home.start(*OPTIONS, config=home.stormy)
    end = time.monotonic() + 25
    while time.monotonic() < end:
        chaos.step()
        time.sleep(chaos.dice.random() * 0.5)
        chaos.check_steady()
    assert replica.process.poll() is None
    faults = dict(home.proxy.done)
    record_property("faults", faults)
    assert set(faults) >= {"conflict", "busy", "error", "reset", "lost", "slow", "cut"}, faults
    home.proxy.fair()  # and the same process goes on
    chaos.check()
    errors = [line for line in replica.lines() if line["level"] == "error"]
    assert errors == [], errors[:3]
    home.stop_all()


def test_api_server_killed_and_history_compacted(home: StormyHome, chaos: Chaos) -> None:
    """Watches are gone, versions are too old, answers get lost; the process lives on."""
    home.stop_all()
    replica = home.start(*OPTIONS, config=home.stormy)
    replica.until_ready()
    replica.until_leads()
    for _ in range(2):
        for _ in range(4):
            chaos.step()
        home.bed.kill("kube-apiserver")
        time.sleep(0.5)
        home.bed.start_apiserver()
        home.bed.until_ready()
        for _ in range(4):
            chaos.step()
        # What they have seen last is history now, and nobody remembers it.
        home.bed.compact()
        home.proxy.cut_watches()
        chaos.step()
    # Kubernetes' garbage collector, too, had to read everything anew. A service that went and came
    # back under its name meanwhile is the old one to it, whose children it keeps for ever.
    home.bed.kill("kube-controller-manager")
    home.bed.start_controller_manager()
    chaos.check()
    assert replica.process.poll() is None
    errors = [line for line in replica.lines() if line["level"] == "error"]
    assert errors == [], errors[:3]


def test_nothing_is_written_while_nothing_changes_whatever_breaks(
    home: StormyHome, chaos: Chaos
) -> None:
    """Cut watches, 410 and a new API server are no reason to write."""
    home.stop_all()
    replica = home.start(*OPTIONS, config=home.stormy)
    replica.until_ready()
    replica.until_leads()
    quiet(home, rest=SCALERS_SPEAK)
    before = len(audited(home.bed, ACCOUNT))
    for _ in range(3):
        home.bed.compact()
        assert home.proxy.cut_watches() > 10
        time.sleep(0.5)
    home.bed.kill("kube-apiserver")
    home.bed.start_apiserver()
    home.bed.until_ready()
    replica.until_leads()
    quiet(home)
    assert writes(audited(home.bed, ACCOUNT, before)) == []
    chaos.check_steady()


# -- children that nobody would miss ---------------------------------------------------------------


def test_what_lost_its_label_while_nobody_ran_goes_when_it_is_not_needed(home: StormyHome) -> None:
    """Its label is how a child is found. Found by a soak: a router's account stayed for ever."""
    home.calm()
    (there,) = prepared(home, "faults-labels")
    routed = runtime()
    routed["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
    there.apply(RUNTIMES, routed)
    plain = service("chat", "faults-labels", minReplicas=1)
    there.apply(INFERENCE_SERVICES, {**plain, "spec": {**plain["spec"], "router": {}}})
    until_ready(there, "chat")
    of_router = [key for key in children(there, "chat")["chat"] if key[1].startswith("chat-router")]
    assert len(of_router) >= 5
    home.stop_all()
    for kind, name in of_router:
        there.patch(kind, name, {"metadata": {"labels": {LABEL: None}}})
    there.apply(INFERENCE_SERVICES, plain)
    home.calm()
    until(
        "nothing of the router is left",
        lambda: not [name for _, name in children(there, "chat")["chat"] if "router" in name],
    )
    until_ready(there, "chat")
    Direct(home.bed).delete("api/v1/namespaces", "faults-labels")


# -- kinds that vanish ----------------------------------------------------------------------------


def _crd(home: StormyHome, name: str) -> Object:
    return next(o for o in home.objects if o["metadata"]["name"] == name)


def test_a_crd_that_goes_with_its_objects_takes_nothing_down(home: StormyHome) -> None:
    """The runtimes of all services vanish with their kind: what runs keeps running, the status
    says what is missing, and when it is back everything is as before."""
    home.calm()
    (there,) = prepared(home, "faults-crds")
    there.apply(INFERENCE_SERVICES, service("chat", "faults-crds", minReplicas=2))
    until_ready(there, "chat")
    quiet(home)
    before = life(there, "chat")["chat"]
    name = "servingruntimes.ome.io"
    home.admin.run("delete", "crd", name)
    said = until("it says so", lambda: _not_ready(there, "chat"))
    assert "rt" in said["message"] and "What was applied before keeps running" in said["message"]
    after = life(there, "chat")["chat"]
    for what in ("pods", "deployments", "services"):
        assert after[what] == before[what], what
    home.admin.apply(_crd(home, name))
    home.admin.wait(f"crd/{name}", "condition=Established")
    until("the kind is served", lambda: _applied(there))
    until_ready(there, "chat")
    quiet(home)
    after = life(there, "chat")["chat"]
    for what in ("pods", "deployments", "services"):
        assert after[what] == before[what], what
    there.delete(INFERENCE_SERVICES, "chat")
    until("its children are gone", lambda: there.list(DEPLOYMENTS) == [])
    Direct(home.bed).delete("api/v1/namespaces", "faults-crds")


def _not_ready(there: Direct, name: str) -> Object | None:
    ready = condition(there.get(INFERENCE_SERVICES, name), "Ready")
    return ready if ready.get("status") == "False" else None


def _applied(there: Direct) -> bool:
    try:
        there.apply(RUNTIMES, runtime())
    except Refused:
        return False
    return True
