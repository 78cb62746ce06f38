"""Accelerator classes against nodes that come, fill up, are cordoned and go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, condition

H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"}
L40S = {"nvidia.com/gpu.product": "NVIDIA-L40S", "nvidia.com/gpu.memory": "46068"}


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home(probe=False) as found:
        await found.start_operator()
        yield found


def node(name: str, labels: dict[str, str], **resources: str) -> Object:
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", **resources}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def accelerator(name: str, labels: dict[str, str], memory: str, **spec: Any) -> Object:
    selector = {key: value for key, value in labels.items() if key.endswith("product")}
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {
            "discovery": {"nodeSelector": selector},
            "capabilities": {"memoryGB": memory},
            "resources": [{"name": "nvidia.com/gpu", "quantity": "1"}],
            **spec,
        },
    }


async def add(home: Home, *nodes: Object) -> None:
    for obj in nodes:
        await home.client.create(r.NODES, obj)
        await home.client.patch(
            r.NODES, obj["metadata"]["name"], {"status": obj["status"]}, subresource="status"
        )


async def status_when(home: Home, name: str, **expected: Any) -> Object:
    async def look() -> Object | None:
        found = await home.client.get(o.ACCELERATOR_CLASSES, name)
        status: Object = found.get("status") or {}
        return status if all(status.get(k) == v for k, v in expected.items()) else None

    found: Object = await home.until(f"{name}: {expected}", look)
    return found


async def test_nodes_are_found_counted_and_forgotten(home: Home) -> None:
    await add(
        home,
        node("gpu-b", H100, **{"nvidia.com/gpu": "8"}),
        node("gpu-a", H100, **{"nvidia.com/gpu": "8"}),
        node("gpu-c", L40S, **{"nvidia.com/gpu": "4"}),
        node("plain", {}),
    )
    await home.apply(accelerator("h100", H100, "80Gi"))
    status = await status_when(
        home, "h100", nodes=["gpu-a", "gpu-b"], availableNodes=2, totalAccelerators=16,
        availableAccelerators=16,
    )  # fmt: skip
    assert (condition({"status": status}, "Available") or {})["reason"] == "NodesFound"
    # Cordoned: it has them still, and nobody gets them.
    await home.client.patch(r.NODES, "gpu-a", {"spec": {"unschedulable": True}})
    await status_when(
        home, "h100", nodes=["gpu-a", "gpu-b"], availableNodes=1, totalAccelerators=16,
        availableAccelerators=8,
    )  # fmt: skip
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    await home.client.patch(r.NODES, "gpu-b", not_ready, subresource="status")
    status = await status_when(home, "h100", availableNodes=0, availableAccelerators=0)
    assert (condition({"status": status}, "Available") or {})["reason"] == "NoUsableNode"
    for name in ("gpu-a", "gpu-b"):
        await home.client.delete(r.NODES, name)
    status = await status_when(home, "h100", nodes=[], totalAccelerators=0)
    assert (condition({"status": status}, "Available") or {})["reason"] == "NoNodes"


async def test_a_class_without_resources_counts_every_accelerator(home: Home) -> None:
    amd = {"gpu": "mi300x"}
    await add(home, node("amd", amd, **{"amd.com/gpu": "8"}))
    made = accelerator("mi300x", {}, "192Gi", resources=[])
    made["spec"]["discovery"] = {"nodeSelector": amd}
    await home.apply(made)
    await status_when(home, "mi300x", nodes=["amd"], totalAccelerators=8, availableAccelerators=8)


async def test_a_service_gets_what_is_available_and_says_so(home: Home) -> None:
    await add(home, node("gpu", L40S, **{"nvidia.com/gpu": "2"}))
    await home.apply(accelerator("h100", H100, "80Gi"), accelerator("l40s", L40S, "48Gi"))
    await status_when(home, "l40s", availableAccelerators=2)
    await status_when(home, "h100", availableNodes=0)
    engine = runtime()
    engine["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["h100", "l40s"]}
    chat = service(acceleratorSelector={"policy": "FirstAvailable"})
    await home.apply(model(modelParameterSize="8B"), engine, chat)
    await home.until_condition("chat", "RuntimeSelected", "True")

    async def selected() -> Object | None:
        components = ((await home.service("chat")).get("status") or {}).get("components") or {}
        found: Object | None = (components.get("engine") or {}).get("selectedAccelerator")
        return found

    chosen = await home.until("a class is chosen", selected)
    assert chosen["acceleratorClass"] == "l40s"
    assert "needs at least 16 GiB, has 48 GiB" in chosen["reason"]
    live = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    pod = live["spec"]["template"]["spec"]
    assert pod["nodeSelector"]["nvidia.com/gpu.product"] == "NVIDIA-L40S"
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    # A pod on that node takes one of the two.
    await home.client.patch(
        r.NODES, "gpu", {"metadata": {"labels": {"models.ome.io/clusterbasemodel.tiny": "Ready"}}}
    )
    await status_when(home, "l40s", availableAccelerators=1)


async def test_a_model_that_no_class_holds_is_told_what_would_help(home: Home) -> None:
    await home.apply(accelerator("l40s", L40S, "48Gi"))
    engine = runtime()
    engine["spec"]["acceleratorRequirements"] = {"acceleratorClasses": ["l40s"]}
    engine["spec"]["engineConfig"]["runner"]["args"] = ["vllm", "serve", "--max-model-len=4096"]
    engine["spec"]["engineConfig"]["runner"]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    await home.apply(model(modelParameterSize="70B"), engine, service())
    found = await home.until_condition("chat", "Ready", "False", "NoRuntimeFits")
    message = (condition(found, "Ready") or {})["message"]
    assert "l40s needs at least 131 GiB, has 48 GiB" in message
    assert "would fit with tensor-parallel-size 4" in message
