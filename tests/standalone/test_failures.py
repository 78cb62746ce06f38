"""The failures of the cluster's list that can happen on one machine, against the embedded API.

The same cases with the same words as in tests/cluster/test_failures.py. Not here: what only a real
Kubernetes has (quotas, webhooks of others, a second node, definitions of other projects).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.cluster.failing import BEHAVIOUR, FAILURES, LAST_WORDS, runtime, service
from tests.fakes.home import Home, running_home
from tests.fakes.kubelet import crashing, running, starting, waiting
from tests.fakes.objects import model

from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource, annotations_of, condition

ONLY_ON_A_CLUSTER = {
    "bad merge",  # the embedded API does not look for two sources in one volume
    "missing CRD",
    "node lost",
    "probe never ready",
    "quota exceeded",
    "webhook denies a child",
}


def as_annotated(pod: Object) -> Object | None:
    """What the stages of the cluster's pods do."""
    annotations = annotations_of(pod)
    how = annotations.get(BEHAVIOUR, "")
    image = pod["spec"]["containers"][0]["image"]
    if how == "crash-loop":
        words = annotations.get(LAST_WORDS) or "RuntimeError: the engine gave up on purpose"
        return crashing(1, words)(pod)
    if how == "out-of-memory":
        status = crashing(137, "")(pod)
        assert status is not None
        for entry in status["containerStatuses"]:
            entry["lastState"]["terminated"]["reason"] = "OOMKilled"
        return status
    if how == "image-pull-failure":
        return waiting("ImagePullBackOff", f"Back-off pulling image {image}: not found")(pod)
    return starting(pod) if how == "never-ready" else running(pod)


class Machine:
    """The embedded home as a place for failures: one node, one namespace."""

    def __init__(self, home: Home) -> None:
        self.home = home

    async def apply(self, *objects: Object) -> None:
        for obj in objects:
            found = {**obj, "metadata": {**obj["metadata"]}}
            resource = o.by_kind(obj["kind"])
            assert resource is not None
            if resource.namespaced:
                found["metadata"]["namespace"] = "default"
            await self.home.client.apply(resource, found, field_manager="user")

    async def patch(self, resource: Resource, name: str, patch: Object) -> None:
        namespace = "default" if resource.namespaced else ""
        await self.home.client.patch(resource, name, patch, namespace=namespace)

    async def report(self, kind: str, name: str, state: str, message: str = "") -> None:
        namespace = "default" if kind == "BaseModel" else ""
        entry = {"name": name, "status": state, **({"message": message} if message else {})}
        node = self.home.kubelet.name
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": node,
                "namespace": "ome",
                "labels": {"models.ome/basemodel-status": "true"},
            },
            "data": {names.model_config_map_key(namespace, name): json.dumps(entry)},
        }
        await self.home.client.apply(r.CONFIG_MAPS, config_map, field_manager=f"agent-{name}")
        wanted = "Ready" if state == "Ready" else None
        await self.home.kubelet.label({names.model_label(namespace, name): wanted})

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"{name} can't happen on one machine")


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with running_home(probe=False) as home:
        home.kubelet.behaviour = as_annotated
        few = {"status": {"allocatable": {"cpu": "64", "memory": "64Gi", "nvidia.com/gpu": "8"}}}
        here = {"kubernetes.io/hostname": "node-0", "kubernetes.io/os": "linux"}
        node = home.kubelet.name
        await home.client.patch(r.NODES, node, {"metadata": {"labels": here}})
        await home.client.patch(r.NODES, node, few, subresource="status")
        made = Machine(home)
        await made.apply(model("failing-tiny"), runtime("rt", autoSelect=False))
        await made.report("ClusterBaseModel", "failing-tiny", "Ready")
        await home.start_operator()
        yield made


@pytest.mark.parametrize("name", [name for name in FAILURES if name not in ONLY_ON_A_CLUSTER])
async def test_a_failure_is_named_with_its_remedy_and_cured(machine: Machine, name: str) -> None:
    case = FAILURES[name]
    home = machine.home
    await machine.apply(*case.objects)
    if case.before is not None:
        await case.before(machine)
    await machine.apply(service(case))
    found = await home.until_condition("chat", "Ready", "False", case.reason)

    async def told() -> Object | None:
        nonlocal found
        found = await home.service("chat")
        message = (condition(found, "Ready") or {}).get("message") or ""
        return found if all(word in message for word in case.words) else None

    try:
        await home.until(f"all of {case.words}", told)
    except AssertionError as error:
        raise AssertionError(f"{error}; {condition(found, 'Ready')}") from None
    state = found["status"]["modelStatus"]
    assert state["transitionStatus"] == case.transition
    assert (state.get("lastFailureInfo") or {}).get("reason", "") == case.failure
    if case.cure is not None:
        await case.cure(machine)
    for resource, target, patch in case.patches:
        await machine.patch(resource, target, patch)
    cured = await home.until_condition("chat", "Ready", "True", "Serving")
    assert "lastFailureInfo" not in cured["status"]["modelStatus"]
