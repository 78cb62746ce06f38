"""Copies between storages: whole, hashed, going on after a stop, never half."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository
from tests.fakes.oci import FakeOci
from tests.storages.places import PLACES, Place
from tests.storages.test_storages import MIB, SMALL, contents, fetch, some_files

from ome.agent.remote import replicate_uri
from ome.storage import Progress, SourceSpec, errors
from ome.storage.replicate import replicate
from ome.storage.sink import in_parts, part_size
from ome.storage.source import MANIFEST_NAME

TARGETS = ("s3", "az", "oci", "local", "pvc")
BUCKETS = ("s3", "az", "oci")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[FakeHub]:
    fake = FakeHub({}, page_size=1000)
    await fake.start()
    yield fake
    await fake.stop()


def of_hub(hub: FakeHub, files: dict[str, bytes]) -> SourceSpec:
    hub.repositories["org/model"] = Repository(files)
    return SourceSpec("hf", "hf://org/model", "org/model", parameters={"endpoint": hub.url})


@pytest.mark.places(*TARGETS)
async def test_a_copy_is_whole_and_gives_its_hashes_back(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    files = some_files(place) | {"large.safetensors": bytes(range(256)) * (9 * MIB // 256)}
    seen: list[Progress] = []
    done = await replicate(of_hub(hub, files), place.spec(), options=SMALL, report=seen.append)
    assert {f.path: f.sha256 for f in done.files} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert seen[-1].completed_bytes == seen[-1].total_bytes == sum(map(len, files.values()))
    source = place.open()
    stated = {entry.path: entry.sha256 for entry in await source.list()}
    await source.close()
    if not place.uri.startswith(("local:", "pvc:")):
        assert stated == {f.path: f.sha256 for f in done.files}
    assert contents(await fetch(place, tmp_path / "models" / "m")) == files


@pytest.mark.places(*TARGETS)
async def test_a_second_copy_moves_nothing(place: Place, hub: FakeHub) -> None:
    files = {"a.safetensors": b"a" * MIB, "b.safetensors": b"b" * MIB, "config.json": b"{}"}
    source = of_hub(hub, files)
    first = await replicate(source, place.spec(), options=SMALL)
    sent = hub.sent
    assert await replicate(source, place.spec(), options=SMALL) == first
    assert hub.sent == sent


@pytest.mark.places(*TARGETS)
async def test_a_new_version_replaces_the_old_one(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    await replicate(of_hub(hub, {"a.safetensors": b"old"}), place.spec(), options=SMALL)
    source = of_hub(hub, {"a.safetensors": b"new"})
    hub.repositories["org/model"].commit = "d00d" * 10
    await replicate(source, place.spec(), options=SMALL)
    assert contents(await fetch(place, tmp_path / "models" / "m")) == {"a.safetensors": b"new"}


@pytest.mark.places(*TARGETS)
async def test_a_stopped_copy_goes_on_with_the_files_that_are_missing(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    files = {f"{number}.safetensors": bytes([number]) * MIB for number in range(12)}
    source = of_hub(hub, files)
    hub.seconds_per_piece = 0.01
    task = asyncio.create_task(replicate(source, place.spec(), options=SMALL))
    async with asyncio.timeout(30):
        while hub.sent < 6 * MIB:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    hub.seconds_per_piece = 0
    before = hub.sent
    await replicate(source, place.spec(), options=SMALL)
    assert hub.sent - before < 12 * MIB
    assert contents(await fetch(place, tmp_path / "models" / "m")) == files


@pytest.mark.places(*BUCKETS)
async def test_damaged_bytes_are_copied_again_and_never_left(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    files = {"a.safetensors": b"a" * MIB}
    source = of_hub(hub, files)
    hub.wrong_bytes = 1_000
    with pytest.raises(errors.CorruptDownload):
        await replicate(source, place.spec(), options=SMALL)
    with pytest.raises(errors.SourceNotFound):
        await fetch(place, tmp_path / "models" / "m")
    hub.wrong_bytes = 1
    await replicate(source, place.spec(), options=SMALL)
    assert contents(await fetch(place, tmp_path / "models" / "m")) == files


@pytest.mark.places(*BUCKETS)
async def test_cut_connections_go_on_where_they_stopped(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    files = {"a.safetensors": bytes(range(256)) * (10 * MIB // 256)}
    source = of_hub(hub, files)
    hub.cut_after = [200_000, 3_000_000, 0]
    await replicate(source, place.spec(), options=SMALL)
    # What stood in buffers at a cut is sent again; a copy that starts over sends 3 MB more.
    assert hub.sent < 10 * MIB + 2 * MIB
    assert contents(await fetch(place, tmp_path / "models" / "m")) == files


@pytest.mark.places("az", "oci")  # moto lets everybody in
async def test_who_may_not_write_is_told_so_without_a_secret(place: Place, hub: FakeHub) -> None:
    target = replace(place.spec(), credentials=place.wrong)
    with pytest.raises(errors.AccessDenied) as caught:
        await replicate(of_hub(hub, {"a.bin": b"a"}), target, options=SMALL)
    for secret in place.wrong.values():
        assert secret not in str(caught.value)


async def test_from_bucket_to_bucket(tmp_path: Path) -> None:
    async with PLACES["s3"](tmp_path) as s3, PLACES["oci"](tmp_path) as oci:
        files = some_files(s3)
        await s3.put(files)
        await replicate_uri(
            s3.uri,
            oci.uri,
            source_parameters=s3.parameters,
            source_credentials=s3.credentials,
            target_parameters=oci.parameters,
            target_credentials=oci.credentials,
            options=SMALL,
        )
        assert contents(await fetch(oci, tmp_path / "models" / "m")) == files


async def test_a_failed_upload_in_parts_is_given_up_at_the_other_side(
    hub: FakeHub, tmp_path: Path
) -> None:
    fake = FakeOci()
    url = await fake.start()
    spec = SourceSpec(
        "oci", "oci://x", "models", "m", namespace="tenant", parameters={"endpoint": url}
    )
    source = of_hub(hub, {"a.safetensors": b"a" * (20 * MIB)})
    hub.extra_bytes = 5
    with pytest.raises(errors.SourceChanged):
        await replicate(source, replace(spec, credentials=fake.secret), options=SMALL)
    assert fake.received > 0
    assert fake._uploads == {}
    assert MANIFEST_NAME not in {name for _, name in fake.objects}
    await fake.stop()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("hf://a/b", "hf://a/b", "onto itself"),
        ("hf://a/b", "hf://c/d", "can't write to hf://"),
        ("hf://a/b", "github://c/d", "can't write to github://"),
        ("hf://a/b", "pvc://store/x", "only a pod that mounts it"),
        ("vendor://pypi/dist/member", "s3://bucket/x", "can't be streamed"),
    ],
)
async def test_copies_that_can_not_be_are_refused(source: str, target: str, words: str) -> None:
    with pytest.raises(errors.StorageError, match=words) as caught:
        await replicate_uri(source, target)
    assert caught.value.remedy


def test_parts_are_never_too_many_nor_too_small() -> None:
    assert part_size(1) == 8 * MIB
    for size in (10**9, 10**11, 5 * 10**12):
        part = part_size(size)
        assert part % MIB == 0 and -(-size // part) <= 10_000


async def test_pieces_of_any_size_become_parts_of_one_size() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for size in (1, 10, 25, 0, 4):
            yield bytes([size]) * size

    parts = [part async for part in in_parts(pieces(), 12)]
    assert [len(part) for part in parts] == [12, 12, 12, 4]
    assert b"".join(parts) == b"".join(bytes([n]) * n for n in (1, 10, 25, 0, 4))
