"""The model agent against the embedded API server and a hub on loopback, with real workers."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.fakes import gguf
from tests.fakes.github import FakeGitHub
from tests.fakes.hub import Repository
from tests.standalone.agentworld import MIB, NODE, World, llama, until, workers, world

from ome.api.resources import CLUSTER_BASE_MODELS, INFERENCE_SERVICES
from ome.apimachinery.objects import Key, Object
from ome.apimachinery.resources import CONFIG_MAPS, NODES, PODS, SECRETS

__all__ = ["world"]


async def test_a_model_reaches_the_node_and_the_cluster_is_told(world: World) -> None:
    await world.model("m", "hf://org/model", path="/raid/models/org/m")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Ready")
    assert (world.root / "org" / "m" / "weights.bin").stat().st_size == 4 * MIB
    config = entry["config"]
    assert config["modelArchitecture"] == "LlamaForCausalLM"
    assert config["modelCapabilities"] == ["TEXT_TO_TEXT"]
    assert config["modelFramework"] == {"name": "transformers", "version": "4.50.0"}
    assert config["maxTokens"] == 2048
    commit = world.hub.repositories["org/model"].commit
    assert config["artifact"]["sha"] == commit
    assert list(config["artifact"]["parentPath"]) == ["clusterbasemodel.m"]
    assert "progress" not in entry
    made = await world.client.get(CONFIG_MAPS, NODE, "ome")
    assert made["metadata"]["labels"] == {"models.ome/basemodel-status": "true", "node": NODE}
    assert made["metadata"]["annotations"]["models.ome.io/managed-by"] == "model-agent"


async def test_a_namespaced_model_without_a_path_goes_to_the_default_place(world: World) -> None:
    await world.model("m", "hf://org/model", "team")
    await world.start()
    await world.reaches("team.basemodel.m", "Ready")
    assert (world.root / "basemodel" / "team" / "m" / "config.json").exists()


async def test_progress_is_visible_while_it_lasts(world: World) -> None:
    world.hub.seconds_per_piece = 0.05
    await world.model("m", "hf://org/model")
    await world.start()

    async def downloading() -> Object | None:
        entry = await world.entry("clusterbasemodel.m") or {}
        progress: Object = entry.get("progress") or {}
        return entry if progress.get("completedBytes") else None

    entry = await until(downloading)
    assert entry["status"] == "Updating"
    assert entry["progress"]["totalBytes"] > 4 * MIB
    assert entry["progress"]["currentFile"]
    assert world.agent is not None and world.agent.progress()
    world.hub.seconds_per_piece = 0
    await world.reaches("clusterbasemodel.m", "Ready")


async def test_a_restart_downloads_nothing_and_takes_ready_from_nobody(world: World) -> None:
    await world.model("m", "hf://org/model")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    await world.stop()
    sent, asked = world.hub.sent, sum(world.hub.requests.values())
    before = await world.client.get(CONFIG_MAPS, NODE, "ome")
    node = await world.client.get(NODES, NODE)
    await world.hub.stop()
    await world.start()
    await until(lambda: world.agent is not None and world.agent._controller.queue.delayed)
    assert (world.hub.sent, sum(world.hub.requests.values())) == (sent, asked)
    after = await world.client.get(CONFIG_MAPS, NODE, "ome")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    again = await world.client.get(NODES, NODE)
    assert again["metadata"]["resourceVersion"] == node["metadata"]["resourceVersion"]
    await world.hub.start()


async def test_only_nodes_that_match_take_a_model_and_a_new_label_counts(world: World) -> None:
    await world.model("m", "hf://org/model", nodeSelector={"gpu": "h100"})
    await world.model("other", "hf://org/model", path="/raid/models/other")
    await world.start()
    await world.reaches("clusterbasemodel.other", "Ready")
    assert await world.entry("clusterbasemodel.m") is None
    await world.client.patch(NODES, NODE, {"metadata": {"labels": {"gpu": "h100"}}})
    await world.reaches("clusterbasemodel.m", "Ready")
    await world.client.patch(NODES, NODE, {"metadata": {"labels": {"gpu": "a10"}}})
    await world.gone("clusterbasemodel.m")
    assert not (world.root / "clusterbasemodel").exists()
    assert (world.root / "other" / "config.json").exists()


async def test_deleting_a_model_deletes_its_files_but_never_under_a_pod(world: World) -> None:
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "engine", "namespace": "team"},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "c", "image": "x"}],
            "volumes": [{"name": "model", "hostPath": {"path": "/raid/models/m"}}],
        },
    }
    await world.client.create(PODS, pod, namespace="team")
    await until(lambda: world.agent is not None and world.agent._pods.get("team", "engine"))
    await world.client.delete(CLUSTER_BASE_MODELS, "m")

    async def waiting() -> bool:
        entry = await world.entry("clusterbasemodel.m")
        return bool(entry and "engine" in entry.get("waitingFor", ""))

    await until(waiting)
    assert await world.label("clusterbasemodel.m") is None
    assert (world.root / "m" / "config.json").exists()
    await world.client.delete(PODS, "engine", "team", grace_period_seconds=0)
    await world.gone("clusterbasemodel.m")
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent"]


async def test_files_that_the_label_reserves_stay(world: World) -> None:
    reserved = {"labels": {"models.ome/reserve-model-artifact": "True"}}
    await world.model("m", "hf://org/model", path="/raid/models/m", meta=reserved)
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    await world.client.delete(CLUSTER_BASE_MODELS, "m")
    await world.gone("clusterbasemodel.m")
    assert (world.root / "m" / "config.json").exists()


async def test_what_was_deleted_while_the_agent_was_away_is_cleared_away(world: World) -> None:
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    await world.stop()
    await world.client.delete(CLUSTER_BASE_MODELS, "m")
    stale = {"data": {"clusterbasemodel.ghost": '{"name":"ghost","status":"Ready"}'}}
    await world.client.patch(CONFIG_MAPS, NODE, stale, namespace="ome")
    ghost = {"models.ome.io/clusterbasemodel.ghost": "Ready", "models.ome.io/category": "SMALL"}
    await world.client.patch(NODES, NODE, {"metadata": {"labels": ghost}})
    (world.root / ".m.partial-0123abcd" / "tree").mkdir(parents=True)
    await world.start()
    await world.gone("clusterbasemodel.m")
    await world.gone("clusterbasemodel.ghost")
    assert await world.label("category") == "SMALL"
    await until(lambda: sorted(p.name for p in world.root.iterdir()) == [".ome-agent"])


async def test_two_models_of_one_repository_share_their_bytes_when_asked_to(world: World) -> None:
    await world.model("one", "hf://org/model", path="/raid/models/one")
    await world.start()
    await world.reaches("clusterbasemodel.one", "Ready")
    sent = world.hub.sent
    await world.model(
        "two", "hf://org/model", path="/raid/models/two", downloadPolicy="ReuseIfExists"
    )
    await world.reaches("clusterbasemodel.two", "Ready")
    assert world.hub.sent == sent
    await world.client.delete(CLUSTER_BASE_MODELS, "one")
    await world.gone("clusterbasemodel.one")
    assert (world.root / "two" / "weights.bin").stat().st_size == 4 * MIB


async def test_two_models_that_want_one_folder_are_told_so(world: World) -> None:
    world.hub.repositories["org/other"] = Repository(llama(2))
    await world.model("a-first", "hf://org/model", path="/raid/models/same")
    await world.start()
    await world.reaches("clusterbasemodel.a-first", "Ready")
    await world.model("b-second", "hf://org/other", path="/raid/models/same")
    entry = await world.reaches("clusterbasemodel.b-second", "Failed")
    assert entry["error"]["reason"] == "PathConflict"
    assert "a-first" in entry["error"]["message"]
    assert await world.label("clusterbasemodel.a-first") == "Ready"


async def test_a_changed_uri_replaces_the_files(world: World) -> None:
    world.hub.repositories["org/other"] = Repository(llama(2, MIB), commit="beef" * 10)
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    patch = {"spec": {"storage": {"storageUri": "hf://org/other"}}}
    await world.client.patch(CLUSTER_BASE_MODELS, "m", patch)
    await until(lambda: (world.root / "m" / "weights.bin").stat().st_size == MIB)
    await world.reaches("clusterbasemodel.m", "Ready")


@pytest.mark.parametrize(
    ("uri", "path", "reason", "words"),
    [
        ("hf://org/absent", "", "NotFound", "no model org/absent"),
        ("ftp://org/absent", "", "InvalidStorageUri", "ftp://"),
        ("nonsense", "", "InvalidStorageUri", "no scheme that models come from"),
        ("hf://org/model", "/raid/models/../../etc", "InvalidStorageUri", "clean absolute path"),
        ("hf://org/model", "/raid/models", "InvalidStorageUri", "folder of all models"),
        ("local:///does/not/exist", "", "NotFound", "does not exist on this machine"),
    ],
)
async def test_what_can_not_be_is_failed_with_cause_and_remedy(
    world: World, uri: str, path: str, reason: str, words: str
) -> None:
    await world.model("m", uri, **({"path": path} if path else {}))
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == reason
    assert words in entry["error"]["message"]
    assert entry["error"]["remedy"]
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent"]


async def test_every_value_of_the_secret_reaches_the_storage_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    github = FakeGitHub({("org/private", "v1"): llama()}, private={"org/private"})
    await github.start()
    data = {"GITHUB_TOKEN": base64.b64encode(github.token.encode()).decode()}
    secret = {"metadata": {"name": "keys", "namespace": "ome"}, "data": data}
    await world.client.create(SECRETS, secret, namespace="ome")
    endpoint = {"endpoint": github.url}
    await world.model("m", "github://org/private", key="keys", parameters=endpoint)
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Ready")
    assert github.authorized_content == 0
    for text in (json.dumps(entry), caplog.text):
        assert github.token not in text
    await github.stop()


async def test_a_gated_model_becomes_ready_when_the_secret_appears(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome.agent.agent.SECRET_LOOK", 0.1)
    world.hub.repositories["org/gated"] = Repository(llama(), gated=True)
    await world.model("m", "hf://org/gated", key="hub-token")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "Gated"
    assert entry["error"]["retrying"] is False
    asked = world.hub.requests["info"] + world.hub.requests["tree"]
    token = base64.b64encode(world.hub.token.encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub-token", "namespace": "ome"},
        "data": {"token": token},
    }
    assert world.hub.requests["info"] + world.hub.requests["tree"] == asked
    await world.client.create(SECRETS, secret, namespace="ome")
    await world.reaches("clusterbasemodel.m", "Ready")
    written = "".join(p.read_text() for p in (world.root / ".ome-agent").glob("*"))
    assert world.hub.token not in written
    assert world.hub.token not in json.dumps(await world.client.get(CONFIG_MAPS, NODE, "ome"))


async def test_a_truncated_model_is_refused_and_leaves_nothing(world: World) -> None:
    whole = gguf.build()
    world.hub.repositories["org/cut"] = Repository({"m.gguf": whole[:-100]})
    await world.model("m", "hf://org/cut", path="/raid/models/m")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "TruncatedModelFile"
    assert f"announces {len(whole)} bytes, it has {len(whole) - 100}" in entry["error"]["message"]
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent"]


async def test_a_local_folder_is_used_where_it_is_and_never_deleted(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(gguf.build())
    await world.model("m", f"local://{folder}")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Ready")
    assert entry["config"]["modelFormat"] == {"name": "gguf", "version": "3"}
    await world.client.delete(CLUSTER_BASE_MODELS, "m")
    await world.gone("clusterbasemodel.m")
    assert [p.name for p in folder.iterdir()] == ["m.gguf"]


async def test_no_network_is_retried_until_it_is_back(world: World) -> None:
    await world.hub.stop()
    await world.model("m", "hf://org/model")
    await world.start(rng=random.Random(0))
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "Unreachable"
    assert entry["error"]["retrying"] is True
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent"]


async def test_at_most_two_at_a_time_and_what_a_service_waits_for_first(world: World) -> None:
    world.hub.seconds_per_piece = 0.02
    for number in range(5):
        world.hub.repositories[f"org/m{number}"] = Repository(llama(number, MIB))
        await world.model(f"m{number}", f"hf://org/m{number}")
    service: Object = {
        "apiVersion": INFERENCE_SERVICES.api_version,
        "kind": "InferenceService",
        "metadata": {"name": "chat", "namespace": "team"},
        "spec": {"model": {"name": "m4", "kind": "ClusterBaseModel"}},
    }
    await world.client.create(INFERENCE_SERVICES, service, namespace="team")
    await world.start()
    most, order = 0, []
    deadline = time.monotonic() + 60
    while len(order) < 5:
        assert time.monotonic() < deadline
        most = max(most, len(workers()))
        for number in range(5):
            ready = await world.label(f"clusterbasemodel.m{number}") == "Ready"
            if ready and number not in order:
                order.append(number)
        await asyncio.sleep(0.05)
    assert most == 2
    assert order.index(4) < 2


async def test_killed_workers_cost_no_more_than_a_chunk_each(world: World) -> None:
    seed = int(os.environ.get("OME_TEST_SEED", "20261124"))
    rng = random.Random(seed)
    size = 12 * MIB
    files = llama(7, size)
    world.hub.repositories["org/big"] = Repository(files)
    world.hub.seconds_per_piece = 0.02
    await world.model("m", "hf://org/big", path="/raid/models/m")
    await world.start()
    kills = 0
    for _ in range(10):
        mark = world.hub.sent + rng.randrange(64 * 1024, MIB)
        await until(lambda mark=mark: world.hub.sent >= mark or (world.root / "m").exists())
        if (world.root / "m").exists():
            break
        for process in workers():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        assert not (world.root / "m").exists()
        assert world.agent is not None
        await until(lambda: not workers())
        # Do not wait for the back-off: it has its own tests.
        await until(lambda: world.agent is not None and world.agent._failures._failed)
        world.agent._failures.forget(Key("", "m"))
        world.agent._enqueue_all()
    world.hub.seconds_per_piece = 0
    await world.reaches("clusterbasemodel.m", "Ready", 60)
    for name, data in files.items():
        assert (world.root / "m" / name).read_bytes() == data
    assert kills >= 5, f"seed {seed}"
    again = world.hub.sent - sum(len(data) for data in files.values())
    print(f"{kills} kills, {again} bytes sent again")
    assert again < kills * MIB, f"seed {seed}"
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent", "m"]
