"""One worker process: started, listened to, stopped for certain.

The worker leads a process group of its own, so that whatever it started (pip) ends with it. Its
last words on stderr are kept for the case that it dies without a result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import ome
from ome.agent.messages import Done, Failure, Task, decode
from ome.storage import Progress
from ome.storage.errors import redact

_LONGEST_LINE = 4 * 1024 * 1024
_GRACE = 10.0


async def run_worker(task: Task, on_progress: Callable[[Progress], None]) -> Done | Failure:
    """The worker's result. A worker that dies without one is a retryable failure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ome.agent.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    last_words = asyncio.create_task(_tail(process.stderr))
    result: Done | Failure | None = None
    try:
        process.stdin.write(task.encode())
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        async for line in process.stdout:
            message = decode(line)
            if isinstance(message, Progress):
                on_progress(message)
            elif message is not None:
                result = message
        await process.wait()
    except asyncio.CancelledError:
        await _stop(process)
        raise
    finally:
        _kill_group(process.pid)
        if process.returncode is None:
            await process.wait()
        words = await last_words
    if result is not None:
        return result
    code = process.returncode
    ending = f"was killed by signal {-code}" if code and code < 0 else f"ended with code {code}"
    return Failure(
        "WorkerDied",
        f"the process that fetches the model {ending}" + (f": {redact(words)}" if words else ""),
        "OME starts it again; if this repeats, look at the memory of this machine",
        retryable=True,
    )


def _environment() -> dict[str, str]:
    """The worker must find the same ``ome`` that runs here."""
    here = str(Path(ome.__file__).parent.parent)
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last line that says something; everything is read, so that the worker never blocks."""
    kept = b""
    while piece := await stream.read(65536):
        kept = (kept + piece)[-4096:]
    lines = [line.strip() for line in kept.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:300]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask, wait, insist."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _GRACE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
