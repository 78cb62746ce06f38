"""An agent that is a process of its own and is killed again and again: what must never happen.

Used with few kills by the ordinary tests, and with many by the soak.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from tests.fakes.hub import Repository
from tests.standalone.agentworld import MIB, NODE, SMALL, World, llama, until

import ome

_AGENT = f"""
import asyncio, sys
from pathlib import Path
from ome.agent import NodeModelAgent
from ome.kube import Client

async def main():
    async with Client.unix(Path(sys.argv[1])) as client:
        agent = NodeModelAgent(
            client, {NODE!r}, Path(sys.argv[2]), progress_every=0.05, transfer_options={SMALL!r}
        )
        await agent.run()

asyncio.run(main())
"""


class Agent:
    """Starts at once."""

    def __init__(self, world: World) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AGENT, str(world.socket), str(world.root)],
            env={**os.environ, "PYTHONPATH": str(Path(ome.__file__).parent.parent)},
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> list[psutil.Process]:
        """Kills it, as the kernel would. Its workers, which end by themselves."""
        workers = psutil.Process(self._process.pid).children(recursive=True)
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return workers


async def survive(world: World, *, kills: int, seed: int) -> dict[str, Any]:
    """Kills the agent at random moments while models come. What it came to, in figures."""
    began = time.monotonic()
    rng = random.Random(seed)
    contents: dict[str, dict[str, bytes]] = {}
    size = 3 * MIB
    world.hub.seconds_per_piece = 0.01
    done, number = 0, 0
    while done < kills:
        name = f"m{number}"
        files = llama(seed + number, size)
        contents[name] = files
        world.hub.repositories[f"org/{name}"] = Repository(files, commit=f"{number:040x}")
        await world.model(name, f"hf://org/{name}", path=f"/raid/models/{name}")
        number += 1
        while done < kills and not (world.root / name).exists():
            agent = Agent(world)
            mark = world.hub.sent + rng.randrange(0, MIB)
            seen = (world.root / name).exists
            await until(lambda mark=mark, seen=seen: world.hub.sent >= mark or seen(), 60)
            await asyncio.sleep(rng.random() * 0.05)
            workers = agent.kill()
            done += 1
            await until(lambda workers=workers: not any(map(_alive, workers)))
            _check_all(world, contents, seed)
    agent = Agent(world)
    try:
        for name in contents:
            await world.reaches(f"clusterbasemodel.{name}", "Ready", 90)
    finally:
        agent.kill()
    _check_all(world, contents, seed)
    total = number * (size + 1024)
    again = world.hub.sent - total
    print(f"{done} kills, {number} models, {again} bytes sent again, seed {seed}")
    # What was on the wire when it was killed is sent again: less than a chunk a kill.
    assert again < done * MIB, f"seed {seed}"
    assert {p.name for p in world.root.iterdir()} == {".ome-agent", *contents}, f"seed {seed}"
    return {
        "seed": seed,
        "kills": done,
        "models": number,
        "bytes_of_the_models": total,
        "bytes_sent_again": again,
        "wrong_bytes_published": 0,
        "models_lost": 0,
        "chunk_bytes": SMALL["chunk_size"],
        "seconds": round(time.monotonic() - began, 1),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _check_all(world: World, contents: dict[str, dict[str, bytes]], seed: int) -> None:
    """What is published is whole and right, at every moment."""
    for name, files in contents.items():
        folder = world.root / name
        if not folder.exists():
            continue
        found = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}
        assert found == files, f"{name} is published with wrong bytes, seed {seed}"
