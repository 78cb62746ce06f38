"""The real llama.cpp with a real model, alone and as a pod."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.standalone.nodehome import Child, api, host_pod, is_ready, main_status
from tests.standalone.smollm import model_file

pytestmark = pytest.mark.engine
MODULE = "ome.standalone.engines.llamacpp"


@pytest.fixture(scope="module")
def model() -> Path:
    return model_file()


async def launch(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", MODULE, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src"},
    )


async def outcome(*arguments: str) -> tuple[int | None, str]:
    """Exit code and the last line on stderr."""
    process = await launch(*arguments)
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode, errors.decode().strip().splitlines()[-1]


@pytest.fixture
async def engine(model: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    arguments = ("--model", str(model), "--port", "0", "--alias", "smol", "--ctx-size", "2048")
    process = await launch(*arguments)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    word, address, path = line.decode().split()
    assert (word, path) == ("ready", str(model))
    yield process, address
    if process.returncode is None:
        process.kill()
    await process.communicate()


def question(**options: Any) -> dict[str, Any]:
    text = "What is the capital of France? Answer in one sentence."
    return {"messages": [{"role": "user", "content": text}], "temperature": 0} | options


async def test_it_answers_and_shows_its_name_health_and_metrics(
    engine: tuple[asyncio.subprocess.Process, str],
) -> None:
    process, address = engine
    async with aiohttp.ClientSession(address) as session:
        async with session.get("/health") as answer:
            assert answer.status == 200
        async with session.get("/v1/models", headers={"Origin": "http://evil.example"}) as answer:
            assert (await answer.json())["data"][0]["id"] == "smol"
            assert answer.headers.get("Access-Control-Allow-Origin", "") == ""
        async with session.get("/metrics") as answer:
            assert "llamacpp:" in await answer.text()
        async with session.post("/v1/chat/completions", json=question(max_tokens=16)) as answer:
            body = await answer.json()
            assert "Paris" in body["choices"][0]["message"]["content"]
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert time.monotonic() - begin < 2


async def test_a_request_under_way_is_finished_before_it_goes(
    engine: tuple[asyncio.subprocess.Process, str],
) -> None:
    process, address = engine
    async with aiohttp.ClientSession(address) as session:
        body = question(max_tokens=60, ignore_eos=True, stream=True)
        async with session.post("/v1/chat/completions", json=body) as answer:
            chunks = [await answer.content.readline()]
            process.send_signal(signal.SIGTERM)
            async for line in answer.content:
                chunks.append(line)
        assert b"data: [DONE]\n" in chunks
        assert sum(b'"content"' in c for c in chunks) > 30
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_second_signal_does_not_wait(
    engine: tuple[asyncio.subprocess.Process, str],
) -> None:
    process, address = engine
    async with aiohttp.ClientSession(address) as session:
        body = question(max_tokens=1500, ignore_eos=True, stream=True)
        async with session.post("/v1/chat/completions", json=body) as answer:
            await answer.content.readline()
            process.send_signal(signal.SIGTERM)
            for _ in range(40):  # two signals at the same moment would be one
                await answer.content.readline()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_signal_while_it_loads_ends_it_quietly(model: Path) -> None:
    process = await launch("--model", str(model), "--port", "0")
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.readline(), 30)  # llama.cpp has begun
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("size", "words"),
    [(40_000_000, "cut off: its header promises 98,362,432 bytes"), (2000, "within its header")],
)
async def test_a_truncated_model_is_one_line_with_the_cause(
    model: Path, tmp_path: Path, size: int, words: str
) -> None:
    path = tmp_path / "cut.gguf"
    with model.open("rb") as source:
        path.write_bytes(source.read(size))
    code, line = await outcome("--model", str(path), "--port", "0")
    assert code == 1
    assert line.startswith("error: ")
    assert words in line


async def test_a_folder_without_a_model_and_a_port_in_use_are_one_line_too(
    model: Path, tmp_path: Path
) -> None:
    code, line = await outcome("--model", str(tmp_path))
    assert (code, line) == (1, f"error: {tmp_path} holds no .gguf file")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = await outcome("--model", str(model), "--port", str(port))
    expected = f"error: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert (code, line) == (1, expected)


async def test_an_engine_pod_goes_on_generating_while_ome_is_killed_and_comes_back(
    model: Path, tmp_path: Path
) -> None:
    async with api(tmp_path) as home:
        child = await Child(home.data, "node").start()
        mount = {"volumeMounts": [{"name": "m", "mountPath": "/mnt/models"}]}
        probe = {"httpGet": {"path": "/health", "port": 18095}, "periodSeconds": 1}
        command = ("python", "-m", MODULE, "--model", "/mnt/models", "--port", "18095")
        env = {"env": [{"name": "PYTHONPATH", "value": str(Path("src").resolve())}]}
        pod = host_pod(
            "engine",
            *command,
            container=mount | env | {"readinessProbe": probe},
            volumes=[{"name": "m", "hostPath": {"path": str(model.parent)}}],
        )
        await home.create(pod)
        shown = await home.pod_when("engine", is_ready, timeout=60)
        address = f"http://{shown['status']['podIP']}:18095"
        async with aiohttp.ClientSession(address) as session:
            body = question(max_tokens=120, ignore_eos=True, stream=True)
            async with session.post("/v1/chat/completions", json=body) as answer:
                await answer.content.readline()
                await child.kill()
                child = await Child(home.data, "node").start()
                lines = [line async for line in answer.content]
            assert b"data: [DONE]\n" in lines
        shown = await home.pod_when("engine", is_ready)
        assert main_status(shown)["restartCount"] == 0
        await home.delete("engine")
        await home.gone("engine")
        await child.kill()
