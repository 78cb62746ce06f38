"""The controllers of models and fine-tuned weights, against the embedded API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import API, model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, condition
from ome.controllers import models as controller


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home() as found:
        await found.start_operator()
        yield found


def weights(name: str = "tuned", base: str = "tiny") -> Object:
    return {
        "apiVersion": API,
        "kind": "FineTunedWeight",
        "metadata": {"name": name},
        "spec": {
            "baseModelRef": {"name": base},
            "modelType": "LoRA",
            "hyperParameters": {"strategy": "lora"},
            "storage": {"storageUri": "hf://org/lora"},
        },
    }


async def report(home: Home, node: str, **data: Object | None) -> None:
    """What the agent of a node says; a key with None is forgotten."""
    values = {
        key.replace("__", "."): None if entry is None else json.dumps({"name": "x", **entry})
        for key, entry in data.items()
    }
    config_map: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": node,
            "namespace": "ome",
            "labels": {"models.ome/basemodel-status": "true"},
            "annotations": {"models.ome.io/node-name": node},
        },
        "data": values,
    }
    if await home.names(r.CONFIG_MAPS, "ome") and node in await home.names(r.CONFIG_MAPS, "ome"):
        await home.client.patch(r.CONFIG_MAPS, node, {"data": values}, namespace="ome")
    else:
        await home.client.create(r.CONFIG_MAPS, config_map)


async def add_node(home: Home, name: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    await home.client.create(r.NODES, node)
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await home.client.patch(r.NODES, name, ready, subresource="status")


async def status(home: Home, resource: Any, name: str, **wanted: Any) -> Object:
    async def check() -> Object | None:
        found = (await home.client.get(resource, name)).get("status") or {}
        return found if all(found.get(k) == v for k, v in wanted.items()) else None

    result: Object = await home.until(f"{name}: {wanted}", check)
    return result


async def test_weights_have_a_state_and_never_that_of_a_model_of_their_name(home: Home) -> None:
    await home.apply(weights())
    waiting = await status(home, o.FINE_TUNED_WEIGHTS, "tuned", state="In_Transit")
    assert waiting["message"] == (
        "waiting for the base model: there is no ClusterBaseModel tiny (spec.baseModelRef)"
    )
    await home.apply(model(), model("tuned"))
    async with asyncio.timeout(5):  # bytes that were fetched may be told later, this not
        await status(home, o.FINE_TUNED_WEIGHTS, "tuned", message="no node has taken it up yet")
    node = home.kubelet.name
    wrong = {"status": "Failed", "message": "the adapter is too wide; name the right base"}
    await report(
        home, node, finetunedweight__tuned=wrong, clusterbasemodel__tuned={"status": "Ready"}
    )
    failed = await status(home, o.FINE_TUNED_WEIGHTS, "tuned", state="Failed")
    assert failed["nodesFailed"] == [node]
    told = condition({"status": failed}, "NodesFailed") or {}
    assert told["message"] == f"{node}: the adapter is too wide; name the right base"
    await status(home, o.CLUSTER_BASE_MODELS, "tuned", state="Ready", nodesReady=[node])
    await report(home, node, finetunedweight__tuned={"status": "Ready"})
    good = await status(home, o.FINE_TUNED_WEIGHTS, "tuned", state="Ready", nodesReady=[node])
    assert condition({"status": good}, "NodesFailed") is None
    await home.client.delete(o.FINE_TUNED_WEIGHTS, "tuned")
    await report(home, node, finetunedweight__tuned=None)

    async def gone() -> bool:
        return await home.names(o.FINE_TUNED_WEIGHTS, "") == []

    await home.until("the weights are gone", gone)


async def test_weights_that_a_service_uses_stay(home: Home) -> None:
    await home.apply(model(), weights(), runtime())
    chat = service()
    chat["spec"]["model"]["fineTunedWeights"] = ["tuned"]
    await home.apply(chat)
    await status(home, o.FINE_TUNED_WEIGHTS, "tuned", state="In_Transit")
    await home.client.delete(o.FINE_TUNED_WEIGHTS, "tuned")

    async def said() -> bool:
        found = await home.client.get(o.FINE_TUNED_WEIGHTS, "tuned")
        entry = condition(found, "InUse") or {}
        return entry.get("status") == "True" and "default/chat" in entry["message"]

    await home.until("the weights say who uses them", said)


async def test_every_node_says_why_it_failed(home: Home) -> None:
    await home.apply(model())
    for name in ("node-x", "node-y"):
        await add_node(home, name)
    gated = {"status": "Failed", "message": "org/tiny is gated; accept the conditions"}
    full = {"status": "Failed", "message": "not enough disk; free some space"}
    await report(home, "node-x", clusterbasemodel__tiny=gated)
    await report(home, "node-y", clusterbasemodel__tiny=full)
    found = await status(
        home, o.CLUSTER_BASE_MODELS, "tiny", state="Failed", nodesFailed=["node-x", "node-y"]
    )
    assert (condition({"status": found}, "NodesFailed") or {})["message"] == (
        "node-x: org/tiny is gated; accept the conditions. node-y: not enough disk; free some space"
    )


@pytest.mark.parametrize(
    ("entry", "patience"),
    [
        ({"status": "Ready"}, "SILENCE_SECONDS"),
        ({"status": "Updating", "waitingFor": "pod x"}, "LONGEST_SECONDS"),
    ],
)
async def test_a_node_whose_agent_is_silent_is_not_waited_for_for_ever(
    home: Home, monkeypatch: pytest.MonkeyPatch, entry: Object, patience: str
) -> None:
    monkeypatch.setattr("ome.controllers.models.LOOK_SECONDS", 0.1)
    await home.apply(model())
    await report(home, home.kubelet.name, clusterbasemodel__tiny=entry)
    await status(
        home,
        o.CLUSTER_BASE_MODELS,
        "tiny",
        state="Ready" if entry["status"] == "Ready" else "In_Transit",
    )
    await home.client.delete(o.CLUSTER_BASE_MODELS, "tiny")

    async def waits() -> bool:
        found = await home.client.get(o.CLUSTER_BASE_MODELS, "tiny")
        return (condition(found, "InUse") or {}).get("reason") == "RemovingFiles"

    await home.until("it waits for the node", waits)
    monkeypatch.setattr(controller, patience, 0.0)

    async def gone() -> bool:
        return await home.names(o.CLUSTER_BASE_MODELS, "") == []

    await home.until("the model is gone", gone)
