"""What the disk does to a download, said in words that help; and nothing is left of it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub
from tests.unit.agent.conftest import hub
from tests.unit.storage.conftest import MIB, contents

from ome.agent import location
from ome.agent.messages import Done, Failure, Task
from ome.agent.worker import run
from ome.storage import engine, transfer

__all__ = ["hub"]


def task(hub: FakeHub, destination: Path) -> Task:
    spec = location.parse("hf://org/model", {"endpoint": hub.url})
    return Task(
        how="download",
        spec=replace(spec, credentials={}),
        destination=str(destination),
        data_key="clusterbasemodel.m",
        options={"chunk_size": MIB, "block_size": 65536, "highest_concurrency": 6},
    )


async def bring(hub: FakeHub, destination: Path) -> Done | Failure:
    return await run(task(hub, destination), lambda _: None)


async def test_a_disk_that_fills_up_meanwhile_is_said_and_nothing_is_left(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = engine._write_all, 0

    def full(descriptor: int, piece: bytes, position: int) -> None:
        nonlocal written
        written += len(piece)
        if written > 2 * MIB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, piece, position)

    monkeypatch.setattr(engine, "_write_all", full)
    found = await bring(hub, tmp_path / "models" / "m")
    assert isinstance(found, Failure)
    assert (found.reason, found.retryable) == ("NotEnoughDisk", True)
    assert "filled up during the download" in found.message
    assert "free some space" in found.remedy
    assert not (tmp_path / "models").exists()
    monkeypatch.setattr(engine, "_write_all", real)
    assert isinstance(await bring(hub, tmp_path / "models" / "m"), Done)
    assert contents(tmp_path / "models" / "m") == hub.repositories["org/model"].files


@pytest.mark.parametrize(
    ("number", "reason", "retryable", "words"),
    [
        (errno.EROFS, "ReadOnlyDisk", True, "is read-only"),
        (errno.EACCES, "PermissionDenied", False, "no permission for"),
        (errno.EIO, "DiskError", True, "Input/output error"),
    ],
)
async def test_what_the_disk_refuses_is_said_with_a_remedy(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    reason: str,
    retryable: bool,
    words: str,
) -> None:
    place = tmp_path / "models" / "m"

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(transfer.publish, "recover", refuse)
    found = await bring(hub, place)
    assert isinstance(found, Failure)
    assert (found.reason, found.retryable) == (reason, retryable)
    assert words in found.message
    assert found.remedy
    assert not place.exists()
    monkeypatch.undo()
    assert isinstance(await bring(hub, place), Done)
