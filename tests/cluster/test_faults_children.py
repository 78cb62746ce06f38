"""Children that somebody edits or deletes come back, once; objects of others are left alone.

All edits are made at the same time, each to a service of its own, so that nobody waits for them one
by one; then each is looked at by a test of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.direct import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    SCALERS,
    SERVICES,
    Direct,
    condition,
)
from tests.cluster.faults import (
    LABEL,
    all_ready,
    children,
    essence,
    life,
    prepared,
    service,
    told,
    until_ready,
)
from tests.cluster.omehome import Home, quiet
from tests.cluster.replicas import until

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(240)
WHERE = "faults-children"
OWNERS = "/metadata/ownerReferences"


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
    yield found
    Direct(home.bed).delete("api/v1/namespaces", WHERE)


# -- edits ----------------------------------------------------------------------------------------

Edit = Callable[[Direct, str], Any]
ENGINE: Object = {"minReplicas": 2}
SCALED: Object = {"minReplicas": 2, "maxReplicas": 5}
FIXED: Object = {"minReplicas": 2, "maxReplicas": 2}


@dataclass(frozen=True)
class Case:
    """``edit`` is given the name of the service. ``restarts``: the edit itself costs pods."""

    edit: Edit
    engine: Object = field(default_factory=lambda: ENGINE)
    restarts: bool = False


def _patched(kind: str, suffix: str, patch: Object) -> Edit:
    return lambda there, name: there.patch(kind, f"{name}{suffix}", patch)


def _stepped(kind: str, suffix: str, *steps: Object) -> Edit:
    return lambda there, name: there.json_patch(kind, f"{name}{suffix}", *steps)


def _deleted(kind: str, suffix: str) -> Edit:
    return lambda there, name: there.delete(kind, f"{name}{suffix}")


_UNLABELLED: Object = {"metadata": {"labels": {LABEL: None}}}


def _as_of_another(there: Direct, name: str) -> Any:
    return there.patch(
        DEPLOYMENTS, f"{name}-engine", {"metadata": {"labels": {LABEL: "deployment-image"}}}
    )


def _config_map(there: Direct, name: str) -> str:
    return next(n for kind, n in children(there, name)[name] if kind == CONFIG_MAPS)


def _container(**change: Any) -> list[Object]:
    root = "/spec/template/spec/containers/0"
    return [{"op": "replace", "path": f"{root}/{key}", "value": v} for key, v in change.items()]


_GONE = {"op": "remove", "path": OWNERS}
_NO_CONTROLLER = {"op": "replace", "path": f"{OWNERS}/0/controller", "value": False}

CASES: dict[str, Case] = {
    "deployment-image": Case(
        _stepped(DEPLOYMENTS, "-engine", *_container(image="else:9")), restarts=True
    ),
    "deployment-args": Case(_stepped(DEPLOYMENTS, "-engine", *_container(args=[])), restarts=True),
    "deployment-replicas": Case(
        _patched(DEPLOYMENTS, "-engine", {"spec": {"replicas": 5}}), FIXED, restarts=True
    ),
    "deployment-label-gone": Case(_patched(DEPLOYMENTS, "-engine", _UNLABELLED)),
    "deployment-label-of-another": Case(_as_of_another),
    "deployment-labels-all-gone": Case(
        _stepped(DEPLOYMENTS, "-engine", {"op": "remove", "path": "/metadata/labels"})
    ),
    "deployment-owner-gone": Case(_stepped(DEPLOYMENTS, "-engine", _GONE)),
    "deployment-owner-no-controller": Case(_stepped(DEPLOYMENTS, "-engine", _NO_CONTROLLER)),
    "scaled-label-gone": Case(_patched(DEPLOYMENTS, "-engine", _UNLABELLED), SCALED),
    "scaled-owner-gone": Case(_stepped(DEPLOYMENTS, "-engine", _GONE), SCALED),
    "deployment-deleted": Case(_deleted(DEPLOYMENTS, "-engine"), restarts=True),
    "service-selector": Case(
        _patched(SERVICES, "-engine", {"spec": {"selector": {"app": "nobody"}}})
    ),
    "service-ports": Case(
        _stepped(SERVICES, "-engine", {"op": "replace", "path": "/spec/ports/0/port", "value": 99})
    ),
    "service-label-gone": Case(_patched(SERVICES, "-engine", _UNLABELLED)),
    "service-owner-gone": Case(_stepped(SERVICES, "-engine", _GONE)),
    "service-deleted": Case(_deleted(SERVICES, "-engine")),
    "config-changed": Case(
        lambda there, name: there.patch(
            CONFIG_MAPS, _config_map(there, name), {"data": {"models.json": "[]"}}
        )
    ),
    "config-deleted": Case(lambda there, name: there.delete(CONFIG_MAPS, _config_map(there, name))),
    "scaler-bounds": Case(_patched(SCALERS, "-engine", {"spec": {"maxReplicas": 50}}), SCALED),
    "scaler-deleted": Case(_deleted(SCALERS, "-engine"), SCALED),
    "budget-deleted": Case(_deleted(BUDGETS, "-engine")),
}


@dataclass(frozen=True)
class Seen:
    children: dict[tuple[str, str], Object]
    life: Object
    told: Counter[str]


def _look(there: Direct) -> dict[str, Seen]:
    made, lives, events = children(there, *CASES), life(there, *CASES), told(there, *CASES)
    return {
        name: Seen(
            {key: essence(obj) for key, obj in made[name].items()}, lives[name], events[name]
        )
        for name in CASES
    }


@pytest.fixture(scope="module")
def edited(home: Home, there: Direct) -> Iterator[dict[str, tuple[Seen, Seen]]]:
    """Every service before its edit, and after OME has come to rest."""
    for name, case in CASES.items():
        there.apply(INFERENCE_SERVICES, service(name, WHERE, **case.engine))
    until_ready(there, *CASES, seconds=150)
    for name, case in CASES.items():
        if case.engine is SCALED:  # as an autoscaler would, and it stays so
            there.patch(DEPLOYMENTS, f"{name}-engine", {"spec": {"replicas": 4}}, "scale")
    until_ready(there, *CASES, seconds=150)
    until("the pods run", lambda: _all_pods(there))
    quiet(home)
    before = _look(there)
    for name, case in CASES.items():
        case.edit(there, name)
    left: list[str] = []

    def restored() -> bool:
        now = _look(there)
        left[:] = [n for n in CASES if now[n].children != before[n].children]
        return not left and all_ready(there, *CASES)

    try:
        until("all are as they were, and ready", restored, 45)
    except AssertionError:
        print("not restored:", *left)
    quiet(home)
    after = _look(there)
    yield {name: (before[name], after[name]) for name in CASES}
    for name in CASES:
        there.delete(INFERENCE_SERVICES, name)


def _all_pods(there: Direct) -> bool:
    found = life(there, *CASES)
    return all(
        len(found[name]["pods"]) == (4 if case.engine is SCALED else 2)
        for name, case in CASES.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_what_somebody_did_by_hand_is_undone_with_one_event(
    edited: dict[str, tuple[Seen, Seen]], name: str
) -> None:
    before, after = edited[name]
    assert after.children == before.children
    events = after.told - before.told
    assert sum(events.values()) == 1, events
    if not CASES[name].restarts:
        assert after.life["pods"] == before.life["pods"]
        assert after.life["ready"] == before.life["ready"]


# -- objects of others ----------------------------------------------------------------------------


def _foreign_service(name: str, **meta: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **meta},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80, "name": "http"}]},
    }


def _foreign_deployment(name: str, **meta: Any) -> Object:
    labels = {"app": "theirs"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **meta},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]},
            },
        },
    }


def _owned_by_somebody(there: Direct) -> Object:
    owner = there.apply(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap",
                                      "metadata": {"name": "somebody"}})  # fmt: skip
    return {
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": "somebody",
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ]
    }


FOREIGN: dict[str, tuple[str, Callable[[Direct, str], Object], str]] = {
    "their-service": (SERVICES, lambda _, n: _foreign_service(n), "Service their-service-engine"),
    "their-deployment": (
        DEPLOYMENTS,
        lambda _, n: _foreign_deployment(n),
        "Deployment their-deployment-engine",
    ),
    "their-copy": (
        DEPLOYMENTS,
        lambda _, n: _foreign_deployment(n, labels={LABEL: "their-copy", "component": "engine"}),
        "Deployment their-copy-engine",
    ),
    "their-owned": (
        SERVICES,
        lambda there, n: _foreign_service(n, **_owned_by_somebody(there)),
        "belongs to ConfigMap somebody",
    ),
}


def _taken(there: Direct, name: str) -> Object | None:
    ready = condition(there.get(INFERENCE_SERVICES, name), "Ready")
    return ready if ready.get("reason") == "NameTaken" else None


def test_objects_of_others_are_left_alone_and_the_status_says_so(home: Home, there: Direct) -> None:
    theirs = {}
    for name, (kind, make, _) in FOREIGN.items():
        theirs[name] = there.create(kind, make(there, f"{name}-engine"))
    for name in FOREIGN:
        there.apply(INFERENCE_SERVICES, service(name, WHERE, minReplicas=1))
    for name, (_, _, words) in FOREIGN.items():
        ready = until(f"{name} says so", lambda name=name: _taken(there, name))
        assert words in ready["message"]
        assert "rename the service, or remove that object" in ready["message"]
    # Needless children of ours go, theirs stay: as long as the service is there, and after it.
    for name in FOREIGN:
        there.patch(INFERENCE_SERVICES, name, {"spec": {"engine": {"minReplicas": 2}}})
    quiet(home)
    last = [*FOREIGN][-1]
    for name in FOREIGN:
        if name != last:
            there.delete(INFERENCE_SERVICES, name)
    until("the services are gone", lambda: len(there.list(INFERENCE_SERVICES)) <= 1 + len(CASES))
    quiet(home)
    for name, (kind, _, _) in FOREIGN.items():
        live = there.get(kind, f"{name}-engine")
        assert live["metadata"]["uid"] == theirs[name]["metadata"]["uid"]
        assert live["spec"] == theirs[name]["spec"] or kind == DEPLOYMENTS
        assert "deletionTimestamp" not in live["metadata"]
        managers = {entry["manager"] for entry in live["metadata"]["managedFields"]}
        assert not managers & {"ome", "ome-scale"}, managers
    # What was in the way goes, and the service comes by itself.
    there.delete(FOREIGN[last][0], f"{last}-engine")
    until_ready(there, last)
    there.delete(INFERENCE_SERVICES, last)


def test_what_comes_into_the_way_of_a_running_service_is_left_alone_too(
    home: Home, there: Direct
) -> None:
    """Its other children stay as they are, and its pods serve on."""
    name = "overtaken"
    there.apply(INFERENCE_SERVICES, service(name, WHERE, minReplicas=2))
    until_ready(there, name)
    before = life(there, name)[name]
    home.end(home.replica())
    there.delete(SERVICES, f"{name}-engine")
    theirs = there.create(SERVICES, _foreign_service(f"{name}-engine"))
    home.replica()
    ready = until("it says so", lambda: _taken(there, name))
    assert "What was applied before keeps running" in ready["message"]
    after = life(there, name)[name]
    assert (after["pods"], after["deployments"]) == (before["pods"], before["deployments"])
    there.delete(INFERENCE_SERVICES, name)
    until("its own are gone", lambda: not there.list(DEPLOYMENTS, f"{LABEL}={name}"))
    quiet(home)
    live = there.get(SERVICES, f"{name}-engine")
    assert live["metadata"]["uid"] == theirs["metadata"]["uid"], json.dumps(live)
