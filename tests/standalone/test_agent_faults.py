"""What goes wrong between a hub and a disk: said with cause and remedy, and over by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository
from tests.standalone.agentworld import MIB, NODE, SMALL, World, llama, until, world

from ome.api.resources import CLUSTER_BASE_MODELS
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import CONFIG_MAPS

__all__ = ["world"]
HASTY = {**SMALL, "attempts": 2}
_MANY = 10_000


@dataclass(frozen=True)
class Fault:
    """``begin`` and ``end`` do and undo it; ``reason`` is what the model says meanwhile."""

    name: str
    reason: str
    begin: Callable[[FakeHub], object]
    end: Callable[[FakeHub], object]
    words: str = ""
    files: dict[str, bytes] = field(default_factory=llama)

    def __str__(self) -> str:
        return self.name


def answers(status: int, **headers: str) -> Callable[[FakeHub], object]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda hub: hub.fail_with.extend([(status, named)] * _MANY)


def well(hub: FakeHub) -> None:
    hub.fail_with.clear()
    hub.cut_after.clear()
    hub.wrong_bytes = hub.extra_bytes = 0
    hub.listed_sizes.clear()
    hub.redirect_loop = False


def change(**values: object) -> Callable[[FakeHub], object]:
    return lambda hub: [setattr(hub, name, value) for name, value in values.items()]


def repository(**values: object) -> Callable[[FakeHub], object]:
    return lambda hub: [setattr(hub.repositories["org/m"], n, v) for n, v in values.items()]


FAULTS = [
    Fault("gated", "Gated", repository(gated=True), repository(gated=False), "is gated"),
    Fault("private", "NotFound", repository(private=True), repository(private=False), "visible"),
    Fault("403 in the middle", "NotFound", answers(403), well, "visible without a token"),
    Fault("404 in the middle", "NotFound", answers(404), well, "no"),
    Fault("429 without end", "RateLimited", answers(429, Retry_After="0"), well, "429"),
    Fault("503 without end", "ServerFailed", answers(503), well, "503"),
    Fault(
        "connections that break",
        "Unreachable",
        lambda hub: hub.cut_after.extend([0] * _MANY),
        well,
        "not completed",
    ),
    Fault("damaged bytes", "CorruptDownload", change(wrong_bytes=_MANY), well, "damaged"),
    Fault("too many bytes", "SourceChanged", change(extra_bytes=7), well, "sent more"),
    Fault(
        "more bytes than the disk has",
        "NotEnoughDisk",
        lambda hub: hub.listed_sizes.update({"weights.bin": 10**16}),
        well,
        "not enough disk",
    ),
    Fault(
        "fewer bytes than were listed",
        "SourceChanged",
        lambda hub: hub.listed_sizes.update({"weights.bin": 5 * MIB}),
        well,
        "weights.bin",
    ),
    Fault("redirects in circles", "ServerFailed", change(redirect_loop=True), well, "circles"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_fault_is_said_with_its_remedy_and_is_over_when_its_cause_is(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("ome.agent.failures._BASE", 0.2)
    monkeypatch.setattr("ome.agent.failures.SLOW_BASE", 0.2)
    files = fault.files
    world.hub.repositories["org/m"] = Repository(files)
    fault.begin(world.hub)
    await world.model("m", "hf://org/m", path="/raid/models/m")
    await world.start(transfer_options=HASTY)
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    error = entry["error"]
    assert error["reason"] == fault.reason, error
    assert fault.words in error["message"]
    assert error["remedy"]
    assert error["since"]
    assert not (world.root / "m").exists()
    fault.end(world.hub)
    await world.reaches("clusterbasemodel.m", "Ready")
    for name, data in files.items():
        assert (world.root / "m" / name).read_bytes() == data


@pytest.mark.parametrize(
    "name", ["../../escape.txt", "/etc/passwd", "a/../../b", ".ome-manifest.json"]
)
async def test_a_hub_that_names_files_outside_of_the_folder_gets_nothing(
    world: World, name: str
) -> None:
    world.hub.repositories["org/m"] = Repository({**llama(), name: b"evil"})
    await world.model("m", "hf://org/m", path="/raid/models/deep/m")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "UnsafeFileName"
    assert repr(name)[1:-1] in entry["error"]["message"]
    assert sorted(p.name for p in world.root.iterdir()) == [".ome-agent"]


async def test_a_revision_that_is_gone_is_named(world: World) -> None:
    await world.model("m", "hf://org/model@v9")
    await world.start()
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "NotFound"
    assert "no revision 'v9'" in entry["error"]["message"]
    patch = {"spec": {"storage": {"storageUri": "hf://org/model"}}}
    await world.client.patch(CLUSTER_BASE_MODELS, "m", patch)
    await world.reaches("clusterbasemodel.m", "Ready")


async def test_a_model_that_changes_upstream_meanwhile_is_never_mixed(world: World) -> None:
    """Reads go to the commit that was listed; what is published is that one, whole."""
    old, new = llama(1), llama(2)
    world.hub.repositories["org/m"] = Repository(old)
    world.hub.seconds_per_piece = 0.05
    await world.model("m", "hf://org/m", path="/raid/models/m")
    await world.start(transfer_options=HASTY)
    await until(lambda: world.hub.sent > MIB)
    world.hub.repositories["org/m"] = Repository(new, commit="beef" * 10)
    world.hub.seconds_per_piece = 0
    await world.reaches("clusterbasemodel.m", "Ready")
    assert (world.root / "m" / "weights.bin").read_bytes() == new["weights.bin"]


async def test_the_api_server_may_be_away_while_a_model_comes(world: World) -> None:
    world.hub.seconds_per_piece = 0.05
    await world.model("m", "hf://org/model", path="/raid/models/m")
    await world.start()
    await until(lambda: world.hub.sent > MIB // 2)
    await world.stop_api()
    world.hub.seconds_per_piece = 0
    await until(lambda: (world.root / "m").exists())
    sent = world.hub.sent
    await asyncio.sleep(0)
    await world.start_api()
    await world.reaches("clusterbasemodel.m", "Ready")
    assert world.hub.sent == sent


async def test_two_models_of_one_source_may_have_one_path(world: World) -> None:
    await world.model("a", "hf://org/model", path="/raid/models/same")
    await world.model("b", "hf://org/model", "team", path="/raid/models/same")
    await world.start()
    await world.reaches("clusterbasemodel.a", "Ready")
    await world.reaches("team.basemodel.b", "Ready")
    assert world.hub.sent < 5 * MIB
    await world.client.delete(CLUSTER_BASE_MODELS, "a")
    await world.gone("clusterbasemodel.a")
    assert (world.root / "same" / "weights.bin").exists()
    assert await world.label("team.basemodel.b") == "Ready"


async def test_bit_rot_is_found_when_asked_and_only_the_damage_is_fetched_again(
    world: World,
) -> None:
    files = {**llama(), "second.bin": b"s" * MIB}
    world.hub.repositories["org/m"] = Repository(files)
    await world.model("m", "hf://org/m", path="/raid/models/m")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready")
    sent = world.hub.sent

    async def ask(value: str) -> Object:
        patch = {"metadata": {"annotations": {"models.ome.io/verify": value}}}
        await world.client.patch(CLUSTER_BASE_MODELS, "m", patch)

        async def answered() -> Object | None:
            entry = await world.entry("clusterbasemodel.m") or {}
            found: Object = entry.get("verified") or {}
            return found if found.get("asked") == value else None

        return await until(answered)

    good = await ask("1")
    assert good["files"] == 3
    assert "damaged" not in good
    assert world.hub.sent == sent
    rotten = world.root / "m" / "second.bin"
    rotten.write_bytes(b"s" * 1000 + b"x" + b"s" * (MIB - 1001))
    found = await ask("2")
    assert [item["path"] for item in found["damaged"]] == ["second.bin"]
    assert "sha256" in found["damaged"][0]["why"]
    await until(lambda: rotten.read_bytes() == files["second.bin"])
    await world.reaches("clusterbasemodel.m", "Ready")
    assert world.hub.sent - sent <= MIB + 64 * 1024
    assert world.agent is not None
    assert sorted(world.agent.stats.verifications.values()) == [1, 1]


async def test_a_record_that_the_disk_does_not_take_is_a_failure_that_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files may be here; but a node that can't remember it must not claim it."""
    monkeypatch.setattr("ome.agent.failures._BASE", 0.2)
    await world.model("m", "hf://org/model", path="/raid/models/m")
    world.hub.seconds_per_piece = 0.05
    await world.start()
    await until(lambda: world.hub.sent > 0)
    records = world.root / ".ome-agent"
    records.rename(world.root / ".away")
    records.write_text("in the way")
    world.hub.seconds_per_piece = 0
    entry = await world.reaches("clusterbasemodel.m", "Failed")
    assert entry["error"]["reason"] == "DiskError"
    records.unlink()
    (world.root / ".away").rename(records)
    await world.reaches("clusterbasemodel.m", "Ready")


async def test_thousands_of_small_files_arrive(world: World) -> None:
    count = 2000
    files = {f"d{n % 50}/f{n}.json": json.dumps(n).encode() for n in range(count)}
    world.hub.repositories["org/m"] = Repository(files)
    world.hub.page_size = 500
    await world.model("m", "hf://org/m", path="/raid/models/m")
    await world.start()
    await world.reaches("clusterbasemodel.m", "Ready", 60)
    assert sum(1 for p in Path(world.root / "m").rglob("f*.json")) == count
    report = await world.client.get(CONFIG_MAPS, NODE, "ome")
    assert len(report["data"]["clusterbasemodel.m"]) < 10_000
