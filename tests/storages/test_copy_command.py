"""``ome model copy``: from a hub into a bucket and back to a folder, as a user types it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository
from tests.storages.places import Place

from ome.storage.source import MANIFEST_NAME

pytestmark = pytest.mark.places("s3")
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(range(256)) * 40_000,
}
Copy = Callable[..., subprocess.CompletedProcess[str]]


def copier(hub: str, place: Place) -> Copy:
    """The command in a process of its own, with what a user would have in the environment."""
    environment = {
        **os.environ,
        **place.credentials,
        "AWS_ENDPOINT_URL": place.parameters["endpoint"],
        "AWS_REGION": "us-east-1",
        "HF_ENDPOINT": hub,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }

    def copy(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ome.cli", "model", "copy", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)

    return copy


async def test_a_model_goes_to_a_bucket_and_back_and_nothing_is_sent_twice(
    place: Place, tmp_path: Path
) -> None:
    fake = FakeHub({"org/model": Repository(dict(FILES))}, page_size=1000)
    copy = copier(await fake.start(), place)
    try:
        there = await _beside(copy, "hf://org/model", place.uri)
        assert there.returncode == 0, there.stderr
        assert there.stdout.startswith(f"{place.uri}: 2 files, ") and "verified" in there.stdout
        assert "10.2 MB of 10.2 MB (100 %)" in there.stderr
        sent = fake.sent
        again = await _beside(copy, "hf://org/model", place.uri)
        assert again.returncode == 0, again.stderr
        assert fake.sent == sent

        back = await _beside(copy, place.uri, f"local://{tmp_path}/back")
        assert back.returncode == 0, back.stderr
        found = {p.name: p.read_bytes() for p in (tmp_path / "back").iterdir()}
        found.pop(MANIFEST_NAME, None)
        assert {name: found.get(name) for name in FILES} == FILES

        one = await _beside(
            copy, "hf://org/model", f"local://{tmp_path}/one", "--include", "config.json"
        )
        assert one.returncode == 0, one.stderr
        assert "1 files" in one.stdout and not (tmp_path / "one" / "model.safetensors").exists()
    finally:
        await fake.stop()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("hf://org/absent", "s3://models/x"), 1, "hf://org/absent -> s3://models/x: "),
        (("hf://org/model", "hf://org/other"), 1, "hf://"),
        (("hf://org/model", "hf://org/model"), 1, "onto itself"),
        (("nonsense", "s3://models/x"), 1, "nonsense"),
        (("pvc://claim/x", "s3://models/x"), 2, "only be read where it is mounted"),
        (("hf://org/model", "s3://models/x", "--limit", "fast"), 2, "is not understood"),
    ],
)
async def test_what_can_not_be_copied_is_said_and_leaves_nothing(
    place: Place, arguments: tuple[str, ...], status: int, said: str
) -> None:
    fake = FakeHub({"org/model": Repository(dict(FILES))}, page_size=1000)
    copy = copier(await fake.start(), place)
    try:
        answer = await _beside(copy, *arguments)
    finally:
        await fake.stop()
    assert (answer.returncode, answer.stdout) == (status, "")
    assert "error: " in answer.stderr and said in answer.stderr
    assert "Traceback" not in answer.stderr
    for secret in place.credentials.values():
        assert secret not in answer.stderr


async def _beside(copy: Copy, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(copy, *arguments)
