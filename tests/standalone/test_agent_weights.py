"""Fine-tuned weights on a node: beside their base model, compared with it, never confused."""

from __future__ import annotations

from typing import Any

from tests.fakes import tensors
from tests.fakes.hub import Repository
from tests.standalone.agentworld import World, until, world

from ome.api.resources import CLUSTER_BASE_MODELS, FINE_TUNED_WEIGHTS
from ome.apimachinery.objects import Object

__all__ = ["world"]


async def weights(world: World, name: str, uri: str, base: str = "base", **spec: Any) -> Object:
    obj: Object = {
        "apiVersion": FINE_TUNED_WEIGHTS.api_version,
        "kind": "FineTunedWeight",
        "metadata": {"name": name},
        "spec": {
            "baseModelRef": {"name": base},
            "modelType": "LoRA",
            "hyperParameters": {"strategy": "lora", "rank": 8},
            "storage": {"storageUri": uri},
            **spec,
        },
    }
    return await world.client.create(FINE_TUNED_WEIGHTS, obj)


async def test_weights_come_after_their_base_and_beside_it(world: World) -> None:
    world.hub.repositories["org/base"] = Repository(tensors.base())
    world.hub.repositories["org/lora"] = Repository(tensors.lora(), commit="1" * 40)
    await weights(world, "tuned", "hf://org/lora")
    await world.start()
    # No base model wants this node: nothing is fetched, nothing is said.
    await world.model("other", "hf://org/base", path="/raid/models/other")
    await world.reaches("clusterbasemodel.other", "Ready")
    assert await world.entry("finetunedweight.tuned") is None
    # The model of the same name is another thing.
    await world.model("tuned", "hf://org/base", path="/raid/models/tuned")
    await world.model("base", "hf://org/base", path="/raid/models/base")
    entry = await world.reaches("finetunedweight.tuned", "Ready")
    assert entry["config"]["adapter"]["rank"] == 8
    await world.reaches("clusterbasemodel.tuned", "Ready")
    folder = world.root / "finetunedweight" / "tuned"
    assert (folder / "adapter_config.json").exists()
    await world.client.delete(CLUSTER_BASE_MODELS, "tuned")
    await world.gone("clusterbasemodel.tuned")
    assert await world.label("finetunedweight.tuned") == "Ready"
    assert folder.exists()
    await world.client.delete(FINE_TUNED_WEIGHTS, "tuned")
    await world.gone("finetunedweight.tuned")
    assert not folder.exists()
    assert (world.root / "base" / "config.json").exists()


async def test_weights_that_do_not_fit_are_failed_and_not_published(world: World) -> None:
    world.hub.repositories["org/base"] = Repository(tensors.base())
    world.hub.repositories["org/wide"] = Repository(tensors.lora(hidden=128))
    await world.model("base", "hf://org/base")
    await weights(world, "wide", "hf://org/wide")
    await world.start()
    entry = await world.reaches("finetunedweight.wide", "Failed")
    assert entry["error"]["reason"] == "WeightsMismatch"
    assert "128 x 128 matrix, in the base model it is 64 x 64" in entry["error"]["message"]
    assert "spec.baseModelRef" in entry["error"]["remedy"]
    assert not (world.root / "finetunedweight").exists()


async def test_weights_wait_for_a_base_that_is_still_coming_and_say_so(world: World) -> None:
    world.hub.repositories["org/base"] = Repository(
        {**tensors.base(), "more.bin": bytes(4_000_000)}
    )
    world.hub.repositories["org/lora"] = Repository(tensors.lora())
    world.hub.seconds_per_piece = 0.05
    await world.model("base", "hf://org/base")
    await weights(world, "tuned", "hf://org/lora")
    await world.start()

    async def waiting() -> bool:
        entry = await world.entry("finetunedweight.tuned") or {}
        return "ClusterBaseModel base, its base model" in entry.get("waitingFor", "")

    await until(waiting)
    world.hub.seconds_per_piece = 0
    await world.reaches("finetunedweight.tuned", "Ready")


async def test_a_model_that_services_use_is_kept_while_it_is_being_deleted(world: World) -> None:
    meta = {"finalizers": ["clusterbasemodels.ome.io/finalizer"]}
    await world.model("m", "hf://org/model", path="/raid/models/m", meta=meta)
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    await world.client.delete(CLUSTER_BASE_MODELS, "m")
    condition = {"type": "InUse", "status": "True", "reason": "UsedByServices"}
    status = {"status": {"conditions": [condition]}}
    await world.client.patch(CLUSTER_BASE_MODELS, "m", status, subresource="status")
    await world.model("n", "hf://org/model", path="/raid/models/n")
    await world.reaches("clusterbasemodel.n", "Ready")
    assert await world.label("clusterbasemodel.m") == "Ready"
    assert (world.root / "m" / "config.json").exists()
    status = {"status": {"conditions": [{**condition, "status": "False"}]}}
    await world.client.patch(CLUSTER_BASE_MODELS, "m", status, subresource="status")
    await world.gone("clusterbasemodel.m")
    assert not (world.root / "m").exists()
