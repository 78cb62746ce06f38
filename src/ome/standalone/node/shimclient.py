"""The node's end of a shim: starting it, talking to it, and what is known when it is gone.

A :class:`Shim` is one connection. States arrive as :class:`ContainerState` values through the
callback; the connection's end is reported once through ``on_gone``. The files under ``state/`` tell
the same story and are read when no shim answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import py_compile
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ome.standalone.node import processes

SOURCE = Path(__file__).with_name("shim.py")
START_TIMEOUT = 20.0
FIELDS = ("id", "pid", "birth", "started", "finished", "code", "signal", "oom", "reason", "message")


class ShimError(Exception):
    """A shim could not be started or did not answer."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One run of one container. Times are nanoseconds since the epoch; 0 means not yet."""

    name: str
    attempt: int
    pid: int = 0
    birth: str = ""
    started: int = 0
    finished: int = 0
    code: int = 0
    signal: int = 0
    oom: bool = False
    reason: str = ""
    message: str = ""

    @property
    def id(self) -> str:
        return f"{self.name}.{self.attempt}"

    @property
    def running(self) -> bool:
        return not self.finished

    def to_text(self) -> str:
        values = [
            self.id,
            self.pid,
            self.birth,
            self.started,
            self.finished,
            self.code,
            self.signal,
            int(self.oom),
            self.reason,
            self.message.replace("\n", " "),
        ]
        return "\n".join(f"{k}={v}" for k, v in zip(FIELDS, values, strict=True))

    @staticmethod
    def parse(fields: Sequence[str]) -> ContainerState:
        """From ``key=value`` fields. Raises ValueError where the identity is missing."""
        values = dict(f.split("=", 1) for f in fields if "=" in f)
        name, dot, attempt = values.get("id", "").rpartition(".")
        if not dot:
            raise ValueError(f"a container state without an id: {fields!r}")

        def number(key: str) -> int:
            return int(values.get(key) or 0)

        return ContainerState(
            name=name,
            attempt=int(attempt),
            pid=number("pid"),
            birth=values.get("birth", ""),
            started=number("started"),
            finished=number("finished"),
            code=number("code"),
            signal=number("signal"),
            oom=bool(number("oom")),
            reason=values.get("reason", ""),
            message=values.get("message", ""),
        )


@dataclass(frozen=True, slots=True)
class StartCommand:
    """Everything a shim needs to run one container."""

    name: str
    attempt: int
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: str
    """Path of the log file, absolute or below the pod's directory; its folder exists."""
    max_log_bytes: int = 10 * 1024 * 1024
    max_log_files: int = 3
    oom_score_adj: int | None = None

    @property
    def id(self) -> str:
        return f"{self.name}.{self.attempt}"

    def fields(self) -> list[str]:
        return [
            "start",
            f"id={self.id}",
            f"log={self.log}",
            f"max_bytes={self.max_log_bytes}",
            f"max_files={self.max_log_files}",
            f"cwd={self.cwd}",
            f"oom={'' if self.oom_score_adj is None else self.oom_score_adj}",
            *(f"arg={a}" for a in self.argv),
            *(f"env={k}={v}" for k, v in self.env.items()),
            f"env=OME_CONTAINER_ID={self.id}",
        ]


def compiled_script(folder: Path) -> Path:
    """The shim as bytecode below ``folder``, named by its content; its source where that can't be
    written. Compiling in every shim would leave 2 MB of garbage resident in each."""
    code = SOURCE.read_bytes()
    tag = f"{sys.implementation.cache_tag}-{hashlib.sha256(code).hexdigest()[:12]}"
    target = folder / f"shim-{tag}.pyc"
    if target.exists():
        return target
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        py_compile.compile(
            str(SOURCE),
            cfile=str(target),
            doraise=True,
            optimize=2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except (OSError, py_compile.PyCompileError):
        return SOURCE
    return target


def saved_states(pod_dir: Path) -> list[ContainerState]:
    """What the files say; damaged ones (a disk that was full) are left out."""
    states: list[ContainerState] = []
    folder = pod_dir / "state"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".tmp":
            continue
        try:
            states.append(ContainerState.parse(path.read_text("utf-8").split("\n")))
        except (OSError, ValueError):
            continue
    return states


def save_state(pod_dir: Path, state: ContainerState) -> None:
    """Only for when no shim is there to do it."""
    folder = pod_dir / "state"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = folder / f"{state.id}.tmp"
    temporary.write_text(state.to_text(), "utf-8")
    temporary.replace(folder / state.id)


class Shim:
    """An open connection to a pod's shim."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_state: Callable[[ContainerState], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._on_state, self._on_gone = on_state, on_gone
        self._ready = asyncio.Event()
        self.pid = 0
        self._closed = False
        self._task = asyncio.create_task(self._read(), name="shim")

    @classmethod
    async def connect(
        cls,
        pod_dir: Path,
        on_state: Callable[[ContainerState], None],
        on_gone: Callable[[], None],
    ) -> Shim | None:
        """The pod's living shim with all states reported, or None where there is none."""
        try:
            reader, writer = await _open(pod_dir)
        except (ConnectionError, FileNotFoundError):
            return None
        shim = cls(reader, writer, on_state, on_gone)
        shim._send(["hello"])
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await shim._ready.wait()
        except TimeoutError:
            await shim.close()
            raise ShimError(f"the shim of {pod_dir.name} does not answer") from None
        if not shim.pid:
            await shim.close()
            return None
        return shim

    @classmethod
    async def start(
        cls,
        script: Path,
        pod_dir: Path,
        on_state: Callable[[ContainerState], None],
        on_gone: Callable[[], None],
    ) -> Shim:
        """Starts a shim and connects to it. Raises ShimError with the cause."""
        keep = {k: os.environ[k] for k in ("LD_LIBRARY_PATH",) if k in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-E", str(script), str(pod_dir)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=keep,
        )
        _, errors = await process.communicate()
        if process.returncode:
            raise ShimError(
                f"the shim of {pod_dir.name} did not start: "
                f"{errors.decode('utf-8', 'replace').strip()[-500:]}"
            )
        shim = await cls.connect(pod_dir, on_state, on_gone)
        if shim is None:
            raise ShimError(f"the shim of {pod_dir.name} ended at once; see {pod_dir}/shim.log")
        return shim

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readuntil(b"\n")
                frame = await self._reader.readexactly(int(head))
                verb, *fields = frame.decode("utf-8", "surrogateescape").split("\0")
                if verb == "state":
                    self._on_state(ContainerState.parse(fields))
                elif verb == "hello":
                    self.pid = int(dict(f.split("=", 1) for f in fields)["pid"])
                elif verb == "ready":
                    self._ready.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self._ready.set()
        finally:
            self._writer.close()
            if not self._closed:
                self._closed = True
                self._on_gone()

    def _send(self, fields: Sequence[str]) -> None:
        payload = "\0".join(fields).encode("utf-8", "surrogateescape")
        self._writer.write(b"%d\n" % len(payload) + payload)

    def start_container(self, command: StartCommand) -> None:
        """Raises ValueError where an argument or variable contains a NUL byte."""
        fields = command.fields()
        if not command.argv:
            raise ValueError("the container has no command")
        if any("\0" in f for f in fields):
            raise ValueError("an argument or environment variable contains a NUL byte")
        self._send(fields)

    def stop_container(self, id_: str, signal: int, grace: float) -> None:
        self._send(["stop", f"id={id_}", f"signal={signal}", f"grace_ms={int(grace * 1000)}"])

    def forget(self, id_: str) -> None:
        self._send(["forget", f"id={id_}"])

    def exit(self) -> None:
        """Kills what runs and ends the shim; ``on_gone`` follows."""
        self._send(["exit"])

    async def ended(self, timeout: float = 10.0) -> None:
        """Waits for the end after :meth:`exit`. Raises ShimError when it does not come."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._task)
        except TimeoutError:
            raise ShimError(f"the shim with pid {self.pid} does not end") from None

    async def close(self) -> None:
        """Leaves the shim and its containers running."""
        self._closed = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def _open(pod_dir: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects to ``shim.sock``, whose path may be longer than a socket address can hold."""
    path = pod_dir / "shim.sock"
    if len(os.fsencode(path)) <= 100 or sys.platform != "linux":
        return await asyncio.open_unix_connection(str(path))
    fd = os.open(pod_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{fd}/shim.sock")
    finally:
        os.close(fd)


def kill_leftovers(pod_dir: Path) -> list[ContainerState]:
    """For a pod whose shim is gone: kills what it left, and gives the runs that have no recorded
    end one (137), on disk too. Processes are killed only if they are provably that pod's."""
    _kill_hung_shim(pod_dir)
    ended: list[ContainerState] = []
    for state in saved_states(pod_dir):
        if state.running:
            processes.kill_session(state.pid, state.birth)
            closed = ContainerState(
                **{f: getattr(state, f) for f in ("name", "attempt", "pid", "birth", "started")},
                finished=processes.now_ns(),
                code=137,
                reason="ContainerStatusUnknown",
                message="the process that owned this container ended without telling its exit code",
            )
            save_state(pod_dir, closed)
            ended.append(closed)
    return ended


def _kill_hung_shim(pod_dir: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        text = (pod_dir / "shim.pid").read_text("utf-8")
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        pid = int(values["pid"])
        if values.get("birth") and processes.birth_of(pid) == values["birth"]:
            processes.kill(pid)
