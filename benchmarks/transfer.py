"""How fast a model comes to disk, against plain copying of the same bytes over HTTP.

Run: ``make bench-transfer``, or ``PYTHONPATH=src:. python benchmarks/transfer.py [MiB] [rounds]``.
Prints JSON; with ``--write`` it also goes to ``benchmarks/results/transfer.json``.

A server in a process of its own speaks the hub's API and sends files with ``sendfile`` over
loopback. Per round, each in a fresh process, one after the other: ``plain`` (aiohttp: one GET a
file, written to disk, sha256 taken on the way), ``curl`` (where there is one: curl to a file, then
sha256 of it) and ``ome`` (``storage.transfer.download`` of a HubSource: listed, reserved, fetched
in ranges, journalled, verified, synced to disk, published). All must end with the right sha256 and
with their files on disk (``fsync``), because OME's do. The ratio is the median of OME's rates over
the median of the faster of the two others; on a machine that others use too, the best round of each
says more, so that ratio is there as well. ``memory`` is the process's highest resident size.
Targets: 90 %, 200 MB.

``large`` is one sparse file of 100 GB of which the server sends zeros; nothing is written or
hashed there: the engine's own bookkeeping (ranges, journal, meter) is what is measured, with a
null sink in place of the disk and of the verifier. ``small`` is 10,000 files of 2 KB, for real.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "transfer.json"
MIB = 1024 * 1024
COMMIT = "c0ffee" * 6 + "c0ff"
NAME = "org/model"
SMALL_FILES = 10_000
LARGE = 100 * 1000**3
PIECE = 256 * 1024


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The server.


def serve(folder: Path) -> None:
    """The hub's API over a folder, until standard input ends. Prints its URL."""
    from aiohttp import web

    known = json.loads((folder.parent / "digests.json").read_text())

    async def info(request: web.Request) -> web.Response:
        return web.json_response({"id": NAME, "sha": COMMIT, "siblings": []})

    async def tree(request: web.Request) -> web.Response:
        items: list[dict[str, Any]] = []
        for path in sorted(folder.iterdir()):
            size = path.stat().st_size
            lfs = {"oid": known[path.name], "size": size, "pointerSize": 134}
            items.append({"type": "file", "path": path.name, "size": size, "oid": "", "lfs": lfs})
        return web.json_response(items)

    async def content(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / request.match_info["path"], chunk_size=MIB)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/api/models/{org}/{name}/revision/{rev}", info)
        app.router.add_get("/api/models/{org}/{name}/tree/{rest:.+}", tree)
        app.router.add_get("/{org}/{name}/resolve/{rev}/{path}", content)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sockets = site._server.sockets  # type: ignore[union-attr]
        print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()

    asyncio.run(run())


# The contenders. Each prints {"seconds": ..., "memory": ...}.


async def plain(url: str, target: Path, names: Sequence[str]) -> None:
    import aiohttp

    known = json.loads((target.parent / "digests.json").read_text())
    target.mkdir()
    async with aiohttp.ClientSession(read_bufsize=MIB, auto_decompress=False) as session:
        for name in names:
            digest = hashlib.sha256()
            async with session.get(f"{url}/{NAME}/resolve/{COMMIT}/{name}") as response:
                with (target / name).open("wb", buffering=0) as file:
                    async for piece in response.content.iter_chunked(PIECE):
                        file.write(piece)
                        digest.update(piece)
                    os.fsync(file.fileno())
            assert digest.hexdigest() == known[name], name


async def curl(url: str, target: Path, names: Sequence[str]) -> None:
    known = json.loads((target.parent / "digests.json").read_text())
    target.mkdir()
    for name in names:
        command = ["curl", "-sS", "-o", str(target / name), f"{url}/{NAME}/resolve/{COMMIT}/{name}"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        assert _digest(target / name) == known[name], name
        with (target / name).open("rb") as file:
            os.fsync(file.fileno())


async def engine(url: str, target: Path, names: Sequence[str]) -> None:
    from ome.storage.hf import HubSource
    from ome.storage.transfer import download

    source = HubSource(f"hf://{NAME}", NAME, endpoint=url, ambient=False)
    found = await download(source, target)
    await source.close()
    assert sorted(f.path for f in found.files) == sorted(names)


class Zeros:
    """A source of one huge file that costs nothing to read."""

    uri = "sim://large"
    revision = ""
    ranged = True

    async def list(self) -> Sequence[Any]:
        from ome.storage.source import FileEntry

        return [FileEntry("model.safetensors", LARGE)]

    async def read(self, entry: Any, start: int, end: int) -> AsyncIterator[bytes]:
        zeros = bytes(MIB)
        while start < end:
            piece = zeros[: min(MIB, end - start)]
            start += len(piece)
            yield piece
            await asyncio.sleep(0)

    async def close(self) -> None:
        return None


async def large(target: Path) -> None:
    """100 GB through the engine into nothing: see the module's text for what is simulated."""
    from ome.storage import engine as moving
    from ome.storage.transfer import download
    from ome.storage.verify import Verifier

    def drop(descriptor: int, piece: bytes, position: int) -> None:
        return None

    def skip(self: Verifier, available: int) -> None:
        self._hashed = available

    moving._write_all = drop
    Verifier._hash = skip  # type: ignore[method-assign]
    moving.disk.reserve = lambda descriptor, size, path: os.ftruncate(descriptor, size)
    from ome.storage import transfer

    transfer._Transfer.need = lambda self, size: None  # type: ignore[method-assign]
    await download(Zeros(), target)
    assert (target / "model.safetensors").stat().st_size == LARGE


def preload(kind: str) -> None:
    """What is imported is not what is measured."""
    import_module("aiohttp")
    if kind == "ome":
        import_module("huggingface_hub.hf_api")
        import_module("ome.storage.hf")
        import_module("ome.storage.transfer")


def contend(kind: str, url: str, target: Path) -> None:
    names = sorted(json.loads((target.parent / "digests.json").read_text()))
    preload(kind)
    began, used = time.perf_counter(), time.process_time()
    if kind == "large":
        asyncio.run(large(target))
    else:
        work = {"plain": plain, "curl": curl, "ome": engine}[kind]
        asyncio.run(work(url, target, names))
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - began,
                "cpu": time.process_time() - used,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


# The comparison.


def make(folder: Path, sizes: Sequence[int]) -> int:
    """Files of random bytes, and their hashes beside the folder. The number of bytes."""
    folder.mkdir()
    digests = {}
    for index, size in enumerate(sizes):
        path = folder / f"model-{index:05}.safetensors"
        with path.open("wb") as file:
            for at in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - at)))
        digests[path.name] = _digest(path)
    (folder.parent / "digests.json").write_text(json.dumps(digests))
    return sum(sizes)


def measure(kind: str, url: str, target: Path) -> dict[str, float]:
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, __file__, "--contend", kind, url, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    shutil.rmtree(target, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(sizes: Sequence[int], rounds: int, kinds: Sequence[str]) -> dict[str, Any]:
    """Rates in MiB/s, seconds and memory in MiB of each kind, over all rounds."""
    with tempfile.TemporaryDirectory(prefix="ome-bench-") as scratch:
        root = Path(scratch)
        total = make(root / "source", sizes)
        command = [sys.executable, __file__, "--serve", str(root / "source")]
        server = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
        assert server.stdin is not None and server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
            for number in range(rounds):
                turned = [*kinds[number % len(kinds) :], *kinds[: number % len(kinds)]]
                for kind in turned:
                    runs[kind].append(measure(kind, url, root / "target"))
        finally:
            server.stdin.close()
            server.wait(30)
    result: dict[str, Any] = {"bytes": total, "files": len(sizes), "rounds": rounds}
    for kind, found in runs.items():
        seconds = sorted(run["seconds"] for run in found)
        result[kind] = {
            "MiB/s": round(total / MIB / statistics.median(seconds), 1),
            "best MiB/s": round(total / MIB / seconds[0], 1),
            "seconds": [round(run["seconds"], 2) for run in found],
            "cpu seconds": round(statistics.median(run["cpu"] for run in found), 2),
            "memory MiB": round(max(run["memory"] for run in found)),
        }
    for name, rate in (("ratio", "MiB/s"), ("ratio of the best rounds", "best MiB/s")):
        other = max(result[kind][rate] for kind in kinds if kind != "ome")
        result[name] = round(result["ome"][rate] / other, 3)
    return result


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["--serve"]:
        return serve(Path(arguments[1]))
    if arguments[:1] == ["--contend"]:
        return contend(arguments[1], arguments[2], Path(arguments[3]))
    numbers = [int(a) for a in arguments if a.isdigit()]
    mebibytes = numbers[0] if numbers else 1024
    rounds = numbers[1] if len(numbers) > 1 else 5
    kinds = ["plain", *(["curl"] if shutil.which("curl") else []), "ome"]
    quarter = mebibytes * MIB // 4
    result = {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": f"PYTHONPATH=src:. python benchmarks/transfer.py {mebibytes} {rounds}",
        "machine": {
            "cpus": os.cpu_count(),
            "load before": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
        "model": compare([quarter] * 4, rounds, kinds),
    }
    if "--quick" not in arguments:
        result["small"] = compare([2048] * SMALL_FILES, 1, ["plain", "ome"])
        with tempfile.TemporaryDirectory(prefix="ome-bench-") as scratch:
            (Path(scratch) / "digests.json").write_text("{}")
            found = measure("large", "none", Path(scratch) / "target")
        result["large"] = {
            "bytes": LARGE,
            "simulated": "source of zeros, no bytes written, no hash",
            "seconds": round(found["seconds"], 1),
            "cpu seconds per GB": round(found["cpu"] / (LARGE / 1000**3), 3),
            "memory MiB": round(found["memory"]),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if "--write" in arguments:
        RESULT.write_text(text + "\n")
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
