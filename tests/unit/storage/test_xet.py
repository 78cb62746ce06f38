"""Large files out of Xet storage, by the real library; and over HTTP wherever that fails."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository
from tests.fakes.xet import FakeXet
from tests.unit.storage.conftest import FAST, MIB, close_sources, contents, model_files, source_of

from ome.storage.hf import HubSource
from ome.storage.transfer import download

LARGE = 12 * MIB + 777
OPTIONS = replace(FAST, chunk_size=8 * MIB)
WEIGHTS = "model-00001-of-00002.safetensors"
FILES = functools.cache(lambda: model_files(size=LARGE))


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeHub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    fake = FakeHub({"org/model": Repository(FILES())}, xet=FakeXet())
    await fake.start()
    yield fake
    await close_sources()
    await fake.stop()


def xet(hub: FakeHub) -> FakeXet:
    assert hub.xet is not None
    return hub.xet


async def bring(hub: FakeHub, folder: Path, **options: str) -> None:
    await download(source_of(hub, **options), folder, options=OPTIONS)
    assert contents(folder) == hub.repositories["org/model"].files


async def test_large_files_come_from_xet_storage_and_small_ones_over_http(
    hub: FakeHub, tmp_path: Path
) -> None:
    await bring(hub, tmp_path / "model")
    assert xet(hub).requests["token"] == 1
    assert xet(hub).sent >= LARGE
    assert hub.sent < 2 * MIB


async def test_only_the_storages_own_token_goes_there(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/model"].private = True
    await bring(hub, tmp_path / "model", token=hub.token)
    assert xet(hub).sent >= LARGE
    assert not xet(hub).hub_token_seen


@pytest.mark.parametrize(
    "fault",
    [
        {"no_token": True},
        {"away": True},
        {"place": "http://127.0.0.1:9"},
        {"place": "local:///etc"},
        {"place": "file:///etc"},
        {"token": 7},
    ],
    ids=str,
)
async def test_where_xet_storage_fails_every_byte_comes_over_http(
    hub: FakeHub, tmp_path: Path, fault: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in fault.items():
        setattr(xet(hub), name, value)
    with caplog.at_level(logging.WARNING, "ome.storage"):
        await bring(hub, tmp_path / "model")
    assert xet(hub).sent == 0
    assert hub.sent >= LARGE
    told = [r.getMessage() for r in caplog.records if "Xet" in r.getMessage()]
    assert len(told) == 1 and "over HTTP" in told[0]


async def test_a_failure_in_the_middle_goes_on_over_http_where_it_stopped(
    hub: FakeHub, tmp_path: Path
) -> None:
    xet(hub).fail_after = 1
    await bring(hub, tmp_path / "model")
    assert xet(hub).sent > 0
    assert 0 < hub.sent < LARGE


async def test_wrong_bytes_are_noticed_and_read_again_over_http(
    hub: FakeHub, tmp_path: Path
) -> None:
    xet(hub).wrong_bytes = 1
    await bring(hub, tmp_path / "model")
    assert hub.sent >= LARGE


async def test_a_part_that_is_asked_for_twice_comes_over_http(hub: FakeHub) -> None:
    source: HubSource = source_of(hub)
    entry = {f.path: f for f in await source.list()}[WEIGHTS]
    data = hub.repositories["org/model"].files[WEIGHTS]
    for expected in (0, 5 * MIB):
        got = b"".join([p async for p in source.read(entry, 1000, 1000 + 5 * MIB)])
        assert got == data[1000 : 1000 + 5 * MIB]
        assert hub.sent == expected


async def test_it_can_be_turned_off(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    await bring(hub, tmp_path / "model")
    assert not xet(hub).requests
