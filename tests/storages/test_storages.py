"""One table for all storages: a real model arrives whole, goes on after a stop, and what is wrong
is said without a secret."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.standalone.smollm import model_file
from tests.storages.places import Place

from ome.artifacts import inspect
from ome.storage import FileEntry, Source, errors, open_source
from ome.storage.engine import Options
from ome.storage.transfer import download

MIB = 1024 * 1024
SMALL = Options(
    chunk_size=2 * MIB,
    block_size=128 * 1024,
    concurrency=3,
    highest_concurrency=4,
    retry_base=0.01,
    retry_cap=0.05,
    attempts=3,
)


class Counting:
    """A source that counts what is read from it, and stops after so many bytes."""

    def __init__(self, source: Source, most: int | None = None) -> None:
        self._source = source
        self.uri = source.uri
        self.ranged = source.ranged
        self.read_bytes = 0
        self._most = most
        self.stop = asyncio.Event()

    @property
    def revision(self) -> str:
        return self._source.revision

    async def list(self) -> Sequence[FileEntry]:
        return await self._source.list()

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        async for piece in self._source.read(entry, start, end):
            self.read_bytes += len(piece)
            yield piece
            if self._most is not None and self.read_bytes >= self._most:
                self.stop.set()
                await asyncio.Event().wait()

    async def close(self) -> None:
        await self._source.close()


def some_files(place: Place, seed: int = 1) -> dict[str, bytes]:
    rng = random.Random(seed)
    files = {
        "config.json": b'{"model_type": "llama"}',
        "a file & more+ü.txt": b"",
        "model-00001-of-00002.safetensors": rng.randbytes(5 * MIB + 12345),
        "model-00002-of-00002.safetensors": rng.randbytes(MIB),
    }
    if place.folders:
        files["tokenizer/tokenizer.json"] = rng.randbytes(3000)
    else:
        del files["a file & more+ü.txt"]
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".ome-manifest.json"
    }


async def fetch(place: Place, target: Path, source: Source | None = None) -> Path:
    source = source or place.open()
    try:
        await download(source, target, options=SMALL)
    finally:
        await source.close()
    return target


async def test_a_real_model_arrives_with_its_hash(place: Place, tmp_path: Path) -> None:
    model = model_file()
    await place.put({model.name: model.read_bytes()})
    source = place.open()
    (entry,) = await source.list()
    assert entry.size == model.stat().st_size
    assert bool(entry.sha256 or entry.md5) is place.hashes
    await source.close()
    folder = await fetch(place, tmp_path / "models" / "m")
    with (folder / model.name).open("rb") as arrived, model.open("rb") as original:
        digests = [hashlib.file_digest(f, "sha256").hexdigest() for f in (arrived, original)]
    assert digests[0] == digests[1]
    assert inspect(folder).architecture == "LlamaForCausalLM"


async def test_all_files_arrive_under_their_names(place: Place, tmp_path: Path) -> None:
    files = some_files(place)
    await place.put(files)
    assert contents(await fetch(place, tmp_path / "models" / "m")) == files


async def test_a_stopped_download_goes_on_with_less_than_a_chunk_fetched_again(
    place: Place, tmp_path: Path
) -> None:
    files = some_files(place)
    await place.put(files)
    first = Counting(place.open(), most=4 * MIB)
    task = asyncio.create_task(fetch(place, tmp_path / "models" / "m", first))
    await asyncio.wait_for(first.stop.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not (tmp_path / "models" / "m").exists()
    second = Counting(place.open())
    folder = await fetch(place, tmp_path / "models" / "m", second)
    assert contents(folder) == files
    total = sum(map(len, files.values()))
    assert first.read_bytes + second.read_bytes < total + SMALL.chunk_size


async def test_files_that_change_between_two_readings_are_never_mixed(
    place: Place, tmp_path: Path
) -> None:
    """Either the new version is noticed, or the old one (pinned by its commit) goes on."""
    await place.put({"model.safetensors": b"old" * MIB})
    source = place.open()
    (entry,) = await source.list()
    first = b"".join([piece async for piece in source.read(entry, 0, 1000)])
    await place.put({"model.safetensors": b"new" * MIB})
    try:
        second = b"".join([piece async for piece in source.read(entry, 1000, 2000)])
    except errors.SourceChanged:
        pass
    else:
        whole = tmp_path / "m"
        if first + second != (b"old" * MIB)[:2000]:
            with pytest.raises((errors.CorruptDownload, errors.SourceChanged)):
                await download(_Pinned(source, entry), whole, options=SMALL)
            assert not whole.exists()
    await source.close()


class _Pinned(Counting):
    """Lists what was there before."""

    def __init__(self, source: Source, entry: FileEntry) -> None:
        super().__init__(source)
        self._entry = entry

    async def list(self) -> Sequence[FileEntry]:
        return [self._entry]


async def test_where_nothing_is_a_reason_and_a_remedy_are_given(
    place: Place, tmp_path: Path
) -> None:
    await place.put({"config.json": b"{}"})
    with pytest.raises(errors.StorageError) as caught:
        await fetch(place, tmp_path / "models" / "m", place.open(place.absent))
    assert caught.value.reason == "NotFound"
    assert not caught.value.retryable and caught.value.remedy
    assert not (tmp_path / "models" / "m").exists()


async def test_credentials_show_nowhere(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await place.put({"config.json": b'{"a": 1}'})
    said = [repr(place.spec()), repr(place.open())]
    folder = await fetch(place, tmp_path / "models" / "m")
    said.append((folder / ".ome-manifest.json").read_text())
    if place.wrong:
        spec = replace(place.spec(), credentials=place.wrong)
        with pytest.raises(errors.StorageError) as caught:
            await fetch(place, tmp_path / "models" / "n", open_source(spec))
        assert caught.value.reason in ("AccessDenied", "NotFound")
        assert caught.value.remedy
        said += [str(caught.value), repr(caught.value)]
    said.append(caplog.text)
    for secret in (*place.credentials.values(), *place.wrong.values()):
        for text in said:
            assert secret not in text
