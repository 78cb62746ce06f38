"""Faults of the operator itself: two that want to lead, clocks that lie, one that is frozen,
webhooks that are away, and memory that runs out. What serves is not touched by any of it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.direct import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    SERVICES,
    Direct,
    Refused,
    condition,
)
from tests.cluster.faults import life, prepared, service, until_ready
from tests.cluster.omehome import Home, quiet
from tests.cluster.replicas import LEASE_SECONDS, Replica, until

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(180)
WHERE = "faults-replicas"
STEADY = ("steady-1", "steady-2")


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    home = Home(bed, cluster, tmp_path_factory.mktemp("faults"))
    try:
        home.install()
        yield home
    finally:
        home.close()


@pytest.fixture(scope="module")
def there(home: Home) -> Iterator[Direct]:
    home.replica()
    (found,) = prepared(home, WHERE)
    for name in STEADY:
        found.apply(INFERENCE_SERVICES, service(name, WHERE, minReplicas=2))
    until_ready(found, *STEADY)
    quiet(home)
    yield found
    Direct(home.bed).delete("api/v1/namespaces", WHERE)


@pytest.fixture
def untouched(there: Direct) -> Iterator[None]:
    """Whatever the test does: the steady services live on, ready without a gap."""
    before = life(there, *STEADY)
    yield
    assert life(there, *STEADY) == before


_SKEWED = """
import datetime, sys, time
real, offset = datetime.datetime, float(sys.argv.pop(1))
class Skewed(real):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(known() + offset, tz)
    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)
datetime.datetime, known = Skewed, time.time
time.time = lambda: known() + offset
sys.argv[0] = "ome"
from ome.cli.main import main
main()
"""
"""The operator on a machine whose clock is wrong by so many seconds."""


def _skewed(home: Home, seconds: int) -> Replica:
    return home.start(program=("-c", _SKEWED, str(seconds)))


def _stop_all(home: Home) -> None:
    for running in home.replicas:
        home.end(running)


def _acts(there: Direct) -> None:
    """Whoever leads makes what a new service needs."""
    probe = service("probe", WHERE, minReplicas=1)
    there.apply(INFERENCE_SERVICES, probe)
    until("the leader acts", lambda: there.find(DEPLOYMENTS, "probe-engine"), 60)
    there.delete(INFERENCE_SERVICES, "probe")
    until("and takes it back", lambda: there.find(DEPLOYMENTS, "probe-engine") is None, 60)


@pytest.mark.usefixtures("untouched")
def test_two_operators_whose_clocks_are_an_hour_apart_have_one_leader(
    home: Home, there: Direct
) -> None:
    _stop_all(home)
    replicas = [_skewed(home, 1800), _skewed(home, -1800)]
    for one in replicas:
        one.until_ready()
    until("one leads", lambda: any(one.leads for one in replicas))
    end = time.monotonic() + 3 * LEASE_SECONDS
    while time.monotonic() < end:
        assert sum(one.leads for one in replicas) <= 1
        time.sleep(0.1)
    leader = until("one leads", lambda: next((one for one in replicas if one.leads), None))
    _acts(there)
    # The heir waits for as long as the Lease lasts on its own clock, whatever the Lease says.
    heir = next(one for one in replicas if one is not leader)
    leader.kill()
    home.end(leader)
    heir.until_leads()
    _acts(there)
    # And back in time.
    third = _skewed(home, -3000)
    third.until_ready()
    heir.kill()
    home.end(heir)
    third.until_leads()
    _acts(there)


@pytest.mark.usefixtures("untouched")
def test_a_leader_that_was_frozen_stands_by_when_it_wakes(home: Home, there: Direct) -> None:
    _stop_all(home)
    frozen = home.replica()
    second = home.start()
    second.until_ready()
    frozen.process.send_signal(signal.SIGSTOP)
    try:
        home.balancer.backends.remove(frozen.webhook_port)
        second.until_leads()
        # Work that the frozen one had been told of, and will find when it wakes.
        _acts(there)
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    until("it stands by", lambda: frozen.said("no longer leading, standing by"))
    for _ in range(10):
        assert not (second.leads and frozen.leads)
        time.sleep(0.1)
    quiet(home)
    assert frozen.process.poll() is None
    _stop_all(home)


@pytest.mark.usefixtures("untouched")
def test_while_our_webhooks_are_down_what_serves_serves_and_new_services_are_refused(
    home: Home, there: Direct
) -> None:
    _stop_all(home)
    new = service("late", WHERE, minReplicas=1)
    with pytest.raises(Refused, match="failed calling webhook"):
        there.apply(INFERENCE_SERVICES, new)
    # Deleting needs no webhook: the garbage collector takes the children.
    home.replica()
    there.apply(INFERENCE_SERVICES, new)
    until_ready(there, "late")
    _stop_all(home)
    there.delete(INFERENCE_SERVICES, "late")
    until("its children are gone", lambda: there.find(DEPLOYMENTS, "late-engine") is None)
    home.replica()
    quiet(home)
    assert there.find(DEPLOYMENTS, "late-engine") is None


_DEAD_HOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "faults-dead-hook"},
    "webhooks": [
        {
            "name": "policy.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": WHERE}},
            "rules": [
                {
                    "apiGroups": ["apps", ""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["deployments", "services"],
                }
            ],
        }
    ],
}


@pytest.mark.usefixtures("untouched")
def test_while_a_webhook_of_others_is_down_the_status_says_so_and_it_goes_on_by_itself(
    home: Home, there: Direct
) -> None:
    home.replica()
    hook = json.loads(json.dumps(_DEAD_HOOK))
    everywhere = Direct(home.bed)
    kind = "apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    everywhere.create(kind, hook)
    try:
        until("the API server asks it", lambda: _denied(there))
        there.apply(INFERENCE_SERVICES, service("stuck", WHERE, minReplicas=1))
        said = until("it says so", lambda: _refused(there, "stuck"))
        assert "failed calling webhook" in said["message"]
        assert "bring that webhook's server back" in said["message"]
    finally:
        everywhere.delete(kind, "faults-dead-hook")
    until_ready(there, "stuck", seconds=90)
    there.delete(INFERENCE_SERVICES, "stuck")
    quiet(home)


def _denied(there: Direct) -> bool:
    probe = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "denied"},
             "spec": {"ports": [{"port": 1}]}}  # fmt: skip
    try:
        there.call("POST", there.path(SERVICES) + "?dryRun=All", probe)
    except Refused as error:
        return "failed calling webhook" in str(error)
    return False


def _refused(there: Direct, name: str) -> Object | None:
    live = there.find(INFERENCE_SERVICES, name)
    ready = condition(live or {}, "Ready")
    return ready if ready.get("reason") == "Refused" else None


_STARVED = """
import os, resource, sys, threading, time
room, sys.argv[0] = int(sys.argv.pop(1)) << 20, "ome"
def starve():
    while not os.path.exists(gate):
        time.sleep(0.05)
    taken = int(open("/proc/self/status").read().partition("VmData:")[2].split()[0])
    limit = (taken << 10) + room
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
gate = sys.argv.pop(1)
threading.Thread(target=starve, daemon=True).start()
from ome.cli.main import main
main()
"""
"""The operator, which may only take so many MiB more than it has at the moment when a file appears:
as if it had reached the limit of its pod."""


@pytest.mark.usefixtures("untouched")
def test_out_of_memory_it_ends_and_the_next_one_goes_on(home: Home, there: Direct) -> None:
    _stop_all(home)
    gate = home.folder / "starve"
    starved = home.start(program=("-c", _STARVED, "8", str(gate)))
    starved.until_ready()
    starved.until_leads()
    gate.touch()
    # Objects that it has to keep: more than there is room for.
    names = []
    while starved.process.poll() is None and len(names) < 60:
        names.append(f"heavy-{len(names)}")
        made = service(names[-1], WHERE, minReplicas=1)
        made["metadata"]["annotations"] = {"ballast": "x" * 200_000}
        with contextlib.suppress(Refused):  # its webhooks have gone with it
            there.apply(INFERENCE_SERVICES, made)
    until("it ends", lambda: starved.process.poll() is not None)
    log = (home.folder / f"{starved.name}.log").read_text()
    # A library that does not look whether it got what it asked for may be faster.
    assert starved.process.returncode in (1, -signal.SIGSEGV), log[-3000:]
    assert "out of memory" in log or starved.process.returncode < 0, log[-3000:]
    home.end(starved)
    home.replica()
    for name in names[6:]:
        there.delete(INFERENCE_SERVICES, name)
    names = names[:6]
    for name in names:
        there.apply(INFERENCE_SERVICES, service(name, WHERE, minReplicas=1))
    until_ready(there, *names)
    for name in names:
        there.delete(INFERENCE_SERVICES, name)
    quiet(home)
