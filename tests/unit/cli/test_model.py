"""``ome model`` against a hub on loopback and a real API server; nobody acts on what it writes."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes.hub import FakeHub, Repository
from tests.unit.cli.conftest import Ome, Server
from tests.unit.storage.conftest import model_files

from ome.api import resources as ours
from ome.apimachinery.resources import CONFIG_MAPS, PODS
from ome.cli.commands.model import COMMANDS
from ome.cli.commands.model.list import COLUMNS
from ome.cli.home import Home
from ome.storage import manifest
from ome.storage.manifest import Manifest
from ome.storage.source import FileEntry

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0",
}


def safetensors(count: int) -> bytes:
    """One tensor of so many half-precision zeros."""
    entry = {"w": {"dtype": "BF16", "shape": [count], "data_offsets": [0, 2 * count]}}
    header = json.dumps(entry).encode()
    return struct.pack("<Q", len(header)) + header + bytes(2 * count)


class Hub:
    """A hub with a loop and a thread of its own, because commands have their own loop."""

    def __init__(self, hub: FakeHub) -> None:
        self.fake = hub
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Hub:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.fake.start(), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {
        "config.json": json.dumps(LLAMA).encode(),
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "model.safetensors": safetensors(500_000),
    }
    fake = FakeHub(
        {
            "Acme/Tiny-0.5B_Chat": Repository(files),
            "acme/gated": Repository(files, gated=True),
            "acme/big": Repository(model_files()),
        }
    )
    with Hub(fake):
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake


@pytest.mark.parametrize("name", COMMANDS)
def test_every_model_command_explains_itself_with_an_example(ome: Ome, name: str) -> None:
    answer = ome("model", name, "--help")
    assert answer.status == 0
    assert answer.out.startswith(f"Usage: ome model {name}")
    assert f"For example: ome model {name}" in answer.out


def test_a_wrong_word_gets_a_hint(ome: Ome) -> None:
    answer = ome("model", "ad")
    assert answer.status == 2
    assert "Did you mean 'add'?" in answer.err


def test_inspecting_a_repository_reads_little_and_says_the_fields(ome: Ome, hub: FakeHub) -> None:
    answer = ome("model", "inspect", "hf://Acme/Tiny-0.5B_Chat", "-o", "json")
    assert answer.status == 0, answer.err
    seen = json.loads(answer.out)
    assert seen["modelArchitecture"] == "LlamaForCausalLM"
    assert seen["modelType"] == "llama"
    assert seen["maxTokens"] == 2048
    assert seen["modelCapabilities"] == ["TEXT_TO_TEXT"]
    assert seen["modelFramework"] == {"name": "transformers", "version": "4.50.0"}
    assert seen["parameterCount"] == 500_000
    assert seen["parameterCountExact"] is True
    assert seen["license"] == "apache-2.0"
    assert seen["source"]["revision"] == hub.repositories["Acme/Tiny-0.5B_Chat"].commit
    assert seen["source"]["files"] == 3
    assert hub.sent < 100_000


def test_a_folder_with_nothing_but_a_configuration_is_estimated(ome: Ome, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    seen = json.loads(ome("model", "inspect", tmp_path, "-o", "json").out)
    assert isinstance(seen["parameterCount"], int)
    assert seen["parameterCountExact"] is False
    text = ome("model", "inspect", tmp_path).out
    assert f"{seen['parameterCount']:,}" in text
    assert "an estimate" in text


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("hf://acme/absent", "has no model acme/absent"),
        ("hf://acme/gated", "is gated and no token was given"),
        ("hf://acme/big@gone", "has no revision 'gone'"),
        ("ftp://acme", "has no scheme that models come from"),
        ("/nowhere/at/all", "is not a folder"),
        ("pvc://claim/model", "only be looked at where it is mounted"),
    ],
)
def test_what_can_not_be_inspected_is_one_line(
    ome: Ome, hub: FakeHub, place: str, said: str
) -> None:
    answer = ome("model", "inspect", place)
    assert answer.status == 1
    assert answer.out == ""
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_adding_prints_or_makes_the_object(ome: Ome, hub: FakeHub, server: Server) -> None:
    shown = ome("model", "add", "hf://Acme/Tiny-0.5B_Chat", "--dry-run", "-o", "yaml")
    assert shown.status == 0, shown.err
    made = yaml.safe_load(shown.out)
    assert made["kind"] == "ClusterBaseModel"
    assert made["metadata"] == {"name": "tiny-0-5b-chat"}
    assert made["spec"]["storage"] == {"storageUri": "hf://Acme/Tiny-0.5B_Chat"}
    assert made["spec"]["modelArchitecture"] == "LlamaForCausalLM"
    assert made["spec"]["vendor"] == "acme"
    assert made["spec"]["additionalMetadata"] == {"license": "apache-2.0"}
    assert ome("model", "list", "-o", "name").out == ""

    added = ome("model", "add", "hf://Acme/Tiny-0.5B_Chat", "--secret", "hub")
    assert added.out == "ClusterBaseModel tiny-0-5b-chat is there\n", added.err
    found = json.loads(ome("get", "cbm", "tiny-0-5b-chat", "-o", "json").out)
    assert found["spec"]["storage"]["key"] == "hub"
    assert found["spec"]["maxTokens"] == 2048

    other = ome("model", "add", "hf://acme/big", "--name", "tiny-0-5b-chat", "--no-inspect")
    assert other.status == 1
    assert "already, from hf://Acme/Tiny-0.5B_Chat" in other.err


def test_one_name_in_both_scopes_must_be_said(ome: Ome, hub: FakeHub, server: Server) -> None:
    for where in ((), ("-n", "default")):
        line = ("model", "add", "hf://acme/big", "--no-inspect", *where)
        assert ome(*line).status == 0
    answer = ome("model", "describe", "big")
    assert answer.status == 1
    assert "both a BaseModel 'big' in namespace default and a ClusterBaseModel" in answer.err
    assert ome("model", "describe", "big", "--cluster").out.startswith("ClusterBaseModel big\n")
    assert ome("model", "describe", "default/big").out.startswith("BaseModel default/big\n")


def report(server: Server, name: str, entry: dict[str, Any]) -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "node-1",
            "namespace": "ome",
            "labels": {"models.ome/basemodel-status": "true"},
        },
        "data": {f"clusterbasemodel.{name}": json.dumps({"name": name, **entry})},
    }
    server.create(CONFIG_MAPS, obj)


def test_list_and_describe_say_where_it_stands(ome: Ome, hub: FakeHub, server: Server) -> None:
    ome("model", "add", "hf://acme/big", "--no-inspect")
    progress = {"phase": "downloading", "completedBytes": 25_000_000, "totalBytes": 100_000_000}
    report(
        server,
        "big",
        {"status": "Updating", "progress": {**progress, "stalledSince": "2026-01-01T00:00:00Z"}},
    )
    status = {
        "state": "In_Transit",
        "nodesReady": ["a"],
        "nodesPending": ["node-1"],
        "progress": {**progress, "percent": 25},
    }
    server.set_status(ours.CLUSTER_BASE_MODELS, "big", status, "")
    listed = ome("model", "list").out.splitlines()
    assert tuple(listed[0].split()) == COLUMNS
    assert "In_Transit" in listed[1]
    assert "1 of 2" in listed[1]
    assert "25.0 MB of 100.0 MB (25 %)" in listed[1]
    told = ome("model", "describe", "big").out
    assert "hf://acme/big" in told
    assert "25.0 MB of 100.0 MB (25 %), no byte for" in told


def test_download_verifies_resumes_and_is_verified_again(
    ome: Ome, hub: FakeHub, tmp_path: Path
) -> None:
    there = tmp_path / "big"
    hub.fail_with = [(404, {"X-Error-Code": "EntryNotFound"})]
    failed = ome("model", "download", "hf://acme/big", there)
    assert failed.status == 1
    assert "hf://acme/big: " in failed.err
    assert not there.exists()
    hub.seconds_per_piece = 0.02
    answer = ome("model", "download", "hf://acme/big", there)
    assert answer.status == 0, answer.err
    assert "5 files" in answer.out
    assert "downloading" in answer.err
    for name, data in model_files().items():
        assert (there / name).read_bytes() == data
    sent = hub.sent
    assert ome("model", "download", "hf://acme/big", there).status == 0
    assert hub.sent == sent

    assert "all as they should be" in ome("model", "verify", there).out
    weights = there / "model-00002-of-00002.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    (there / "note.txt").write_text("mine")
    rotten = ome("model", "verify", there)
    assert rotten.status == 1
    assert f"{weights}: its sha256 is " in rotten.err
    assert "note.txt is no file of the model" in rotten.err
    assert "1 of 5 files are damaged" in rotten.err
    weights.unlink()
    assert f"{weights}: it is missing" in ome("model", "verify", there).err


def test_a_folder_without_hashes_can_not_be_verified(ome: Ome, tmp_path: Path) -> None:
    answer = ome("model", "verify", tmp_path)
    assert answer.status == 1
    assert "it has no manifest" in answer.err


@pytest.mark.parametrize("rate", ["fast", "-3M", "0"])
def test_a_rate_that_is_none_is_refused(ome: Ome, tmp_path: Path, rate: str) -> None:
    answer = ome("model", "download", "hf://acme/big", tmp_path / "x", f"--limit={rate}")
    assert answer.status == 2
    assert "is not understood" in answer.err


def published(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"x" * 1000)
    manifest.write(
        folder, Manifest(f"hf://acme/{folder.name}", "c0ffee", (FileEntry("weights", 1000),))
    )
    return folder


def test_prune_deletes_what_no_model_wants_and_no_pod_uses(
    ome: Ome, hub: FakeHub, home: Home, server: Server
) -> None:
    wanted = published(home.models / "wanted")
    default = published(home.models / "clusterbasemodel" / "default-place")
    orphan = published(home.models / "deep" / "orphan")
    used = published(home.models / "used")
    foreign = home.models / "foreign"
    foreign.mkdir()
    ome("model", "add", "hf://acme/big", "--no-inspect", "--path", "/raid/models/wanted")
    ome("model", "add", "hf://acme/big", "--no-inspect", "--name", "default-place")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "engine", "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", "image": "x"}],
            "volumes": [{"name": "m", "hostPath": {"path": "/raid/models/used"}}],
        },
    }
    server.create(PODS, pod)
    said = ome("model", "prune", "--dry-run")
    assert str(orphan) in said.out
    assert f"{used}   1.0 kB   hf://acme/used, kept: pod default/engine uses it" in said.out
    assert str(wanted) not in said.out
    assert orphan.exists()
    answer = ome("model", "prune", "--yes")
    assert answer.status == 0, answer.err
    assert "deleted 1 folder(s), 1.0 kB" in answer.err
    assert not orphan.parent.exists()
    assert wanted.exists()
    assert default.exists()
    assert used.exists()
    assert foreign.exists()
    assert "nothing to delete" in ome("model", "prune", "--yes").err
