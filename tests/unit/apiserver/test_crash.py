"""An acknowledged write survives ``kill -9``: a child process writes and says what was
acknowledged, is killed in the middle, and the parent looks for every one of those writes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ome.standalone.apiserver import Store

_CHILD = """
import asyncio, sys
from pathlib import Path
from ome.standalone.apiserver import Store
from ome.standalone.apiserver.store import Entry

async def worker(store, number):
    rv = 0
    for turn in range(100000):
        data = f"{number} {turn}".encode()
        entry = Entry.of("ns", f"w{number}", store.next_revision(), data)
        done = await store.write("g/things", entry, expected=rv)
        rv = done.rv
        sys.stdout.write(f"{number} {turn} {rv}\\n")
        sys.stdout.flush()

async def main():
    store = Store.open(Path(sys.argv[1]))
    await asyncio.gather(*(worker(store, n) for n in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(5))
def test_acknowledged_writes_survive_a_kill(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "db"
    random_ = random.Random(seed)
    for _ in range(2):
        acknowledged = _write_until_killed(path, random_.randint(30, 400))
        store = Store.open(path)
        try:
            newest = max(rv for _, rv in acknowledged.values())
            assert store.revision >= newest
            for number, (turn, rv) in acknowledged.items():
                entry = store.get("g/things", "ns", f"w{number}")
                assert entry is not None
                assert entry.rv >= rv
                assert int(entry.data.split()[1]) >= turn
        finally:
            store.close()
        path.unlink()  # the child starts from nothing each time


def _write_until_killed(path: Path, after: int) -> dict[int, tuple[int, int]]:
    """The newest acknowledged turn and revision of each worker."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    assert child.stdout is not None
    seen: dict[int, tuple[int, int]] = {}
    with child.stdout as output:
        for count, line in enumerate(output):
            if not line.endswith(b"\n"):
                break
            number, turn, rv = map(int, line.split())
            seen[number] = (turn, rv)
            if count == after:
                child.send_signal(signal.SIGKILL)  # what is still in the pipe was acknowledged
    child.wait(10)
    assert seen, "the child wrote nothing"
    return seen
