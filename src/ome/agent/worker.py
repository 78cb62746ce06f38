"""``python -m ome.agent.worker``: bring or inspect one model, then end.

The heavy work (hubs' libraries, hashing, headers) happens here, so that the process that stays
stays small. The task comes as one JSON line on stdin; progress and the result go out as JSON lines
on stdout; everything else goes to stderr. The worker ends by itself when stdin ends (the agent is
gone), and leaves what it has fetched for the next one.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ome.agent.describing import config_of
from ome.agent.entries import timestamp
from ome.agent.messages import Done, Failure, Message, Task, encode
from ome.artifacts import ArtifactError, NoModelFound, adapter, inspect
from ome.storage import Progress, StorageError, open_source, rot
from ome.storage.engine import Options
from ome.storage.errors import redact
from ome.storage.local import check_local
from ome.storage.manifest import Manifest
from ome.storage.transfer import download

_TELL_SECONDS = 0.5
_MOST_DAMAGE = 20


class _Inspector:
    """Looks at the files before they are published, and remembers what it saw."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._name = task.spec.container if task.spec.scheme == "hf" else ""
        self.config: dict[str, object] | None = None
        self.warnings: tuple[str, ...] = ()

    def __call__(self, folder: Path) -> None:
        if self._task.weights is not None:
            self._adapter(folder, self._task.weights)
            return
        if self._task.skip_parsing:
            return
        try:
            found = inspect(folder, name=self._name or Path(self._task.destination).name)
        except NoModelFound as error:
            # Files that OME can't describe may still serve: the model's own spec then says it.
            self.warnings = (str(error),)
            return
        self.config = config_of(found)
        self.warnings = found.notes

    def _adapter(self, folder: Path, given: Mapping[str, Any]) -> None:
        """What does not fit its base model is not published."""
        found = adapter.read_adapter(folder)
        base = Path(given["base"]) if given.get("base") else None
        self.warnings = adapter.check(found, base, given)
        self.config = {"adapter": found.to_json()} if found.to_json() else None


async def run(task: Task) -> Message:
    """The result of the task; errors come back as :class:`Failure`."""
    try:
        if task.how == "local":
            return await asyncio.to_thread(_local, task)
        if task.how == "verify":
            return await asyncio.to_thread(_verify, task)
        return await _download(task)
    except StorageError as error:
        return Failure(
            error.reason,
            redact(error.message),
            redact(error.remedy),
            error.retryable,
            error.retry_after,
        )
    except ArtifactError as error:
        return Failure(error.reason, error.message, error.remedy)
    except OSError as error:
        return _disk_failure(error)


def _disk_failure(error: OSError) -> Failure:
    """What the disk says, in words that help."""
    if error.errno == errno.EROFS:
        return Failure(
            "ReadOnlyDisk",
            f"the disk of {error.filename} is read-only",
            "mount it writable (a disk that failed is often mounted read-only: look at the "
            "machine's log), or choose another spec.storage.path; OME tries again by itself",
            retryable=True,
        )
    if isinstance(error, PermissionError):
        return Failure(
            "PermissionDenied",
            f"no permission for {error.filename}",
            "give the user that runs OME write access, or choose another spec.storage.path",
        )
    remedy = "check the disk; OME tries again by itself"
    return Failure("DiskError", redact(str(error)), remedy, retryable=True)


async def _download(task: Task) -> Message:
    inspector = _Inspector(task)
    source = open_source(task.spec)
    try:
        published = await download(
            source,
            Path(task.destination),
            options=Options(include=task.include, exclude=task.exclude, **task.options),
            report=_send,
            inspect=inspector,
            reuse=[Path(p) for p in task.reuse],
            keep_replaced=task.keep_replaced,
        )
    finally:
        await source.close()
    if inspector.config is None and not inspector.warnings:
        await asyncio.to_thread(inspector, Path(task.destination))  # it was there already
    return _done(task, published, inspector)


def _local(task: Task) -> Message:
    folder = check_local(Path(task.destination), task.spec.uri)
    inspector = _Inspector(task)
    inspector(folder)
    return _done(task, None, inspector)


def _verify(task: Task) -> Message:
    """Read every byte again; what is damaged is taken out of the manifest."""
    folder = Path(task.destination)
    told = 0.0

    def tell(done: int, total: int, name: str) -> None:
        nonlocal told
        if time.time() - told > _TELL_SECONDS:
            told = time.time()
            _send(Progress("verifying", total, done, current_file=name, updated=told))

    found = rot.check(folder, tell)
    if found is None:
        return Failure("NothingToVerify", f"{folder} has no manifest", "delete the folder")
    rot.forget_damaged(folder, found)
    damaged = [{"path": path, "why": why} for path, why in found.damaged[:_MOST_DAMAGE]]
    result = {
        "at": timestamp(time.time()),
        "files": found.files,
        "bytes": found.size,
        **({"damaged": damaged} if damaged else {}),
    }
    return Done(verified=result)


def _done(task: Task, published: Manifest | None, inspector: _Inspector) -> Done:
    revision = published.revision if published else ""
    config = dict(inspector.config or {})
    if config or published:
        config["artifact"] = {
            "sha": revision,
            "parentPath": {task.data_key: task.destination},
            "childrenPaths": None,
        }
    size = published.size if published else 0
    return Done(revision, size, config or None, inspector.warnings)


def _send(message: Message) -> None:
    sys.stdout.buffer.write(encode(message))
    sys.stdout.buffer.flush()


async def _main() -> int:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    task = Task.decode(await reader.readline())
    work = asyncio.create_task(run(task))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    watch = asyncio.create_task(_until_end(reader, work))
    try:
        result = await work
    except asyncio.CancelledError:
        return 3
    finally:
        watch.cancel()
    _send(result)
    return 0


async def _until_end(reader: asyncio.StreamReader, work: asyncio.Task[Message]) -> None:
    """Cancel the work when the agent's end of stdin is closed."""
    while await reader.read(4096):
        pass
    work.cancel()


async def _run_and_leave() -> None:
    """Leave at once afterwards: a thread that still waits for a hub must not hold us up."""
    code = await _main()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    asyncio.run(_run_and_leave())
