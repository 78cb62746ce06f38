"""A hub on loopback and small options, so that chunks and blocks are many in small files."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository

from ome.storage.engine import Options
from ome.storage.hf import HubSource

MIB = 1024 * 1024
FAST = Options(
    chunk_size=MIB,
    block_size=64 * 1024,
    concurrency=3,
    highest_concurrency=6,
    retry_base=0.01,
    retry_cap=0.05,
    report_every=0.02,
    attempts=4,
)


def model_files(seed: int = 1, size: int = 5 * MIB + 12345) -> dict[str, bytes]:
    rng = random.Random(seed)
    return {
        "config.json": b'{"model_type": "llama"}',
        "empty.txt": b"",
        "tokenizer/tokenizer.json": rng.randbytes(3000),
        "model-00001-of-00002.safetensors": rng.randbytes(size),
        "model-00002-of-00002.safetensors": rng.randbytes(MIB),
    }


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeHub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    fake = FakeHub({"org/model": Repository(model_files())})
    await fake.start()
    yield fake
    await close_sources()
    await fake.stop()


async def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become so in time"
        await asyncio.sleep(0.01)


_opened: list[HubSource] = []


def source_of(hub: FakeHub, name: str = "org/model", **options: str) -> HubSource:
    """Closed when the hub stops."""
    source = HubSource(f"hf://{name}", name, endpoint=hub.url, ambient=False, **options)
    _opened.append(source)
    return source


async def close_sources() -> None:
    while _opened:
        await _opened.pop().close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".ome-manifest.json"
    }


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))
