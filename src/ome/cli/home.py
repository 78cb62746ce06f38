"""The data folder of ``ome up``, and whether one is running on it.

``run/lock`` is held (flock) for as long as a control process lives, so a killed one is never taken
for a running one. ``run/ome.json`` says what it is and where it answers.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ome.cli.errors import CliError

API_PORT = 11443
GATEWAY_PORT = 11435
"""Where ``ome up`` listens, or at the next free port, where nothing else was asked for."""
_SOCKET_LIMIT = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
_LOCK_TRIES = 5


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under one data folder."""

    root: Path

    @staticmethod
    def find(given: str | None = None) -> Home:
        """``--data``, else ``$OME_DATA``, else ``~/.local/share/ome``."""
        chosen = given or os.environ.get("OME_DATA")
        if chosen:
            return Home(Path(chosen).expanduser().absolute())
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Home(Path(base).expanduser() / "ome")

    @property
    def socket(self) -> Path:
        """In the data folder; for a path too long for a socket, under the temporary folder."""
        near = self.root / "run" / "api.sock"
        if len(os.fsencode(near)) <= _SOCKET_LIMIT:
            return near
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"ome-{os.getuid()}-{digest}" / "api.sock"

    @property
    def lock(self) -> Path:
        return self.root / "run" / "lock"

    @property
    def state(self) -> Path:
        return self.root / "run" / "ome.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def log(self) -> Path:
        return self.root / "logs" / "ome.log"

    @property
    def store(self) -> Path:
        return self.root / "state" / "ome.db"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def node(self) -> Path:
        return self.root / "node"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def bench(self) -> Path:
        """genai-bench's own environment, and results of benchmarks."""
        return self.root / "bench"

    @property
    def bench_environment(self) -> Path:
        return self.bench / "venv"

    @property
    def bench_python(self) -> Path:
        return self.bench_environment / "bin" / "python"

    def make(self) -> None:
        """Creates the folders, closed to other users."""
        try:
            for folder in (self.root, self.lock.parent, self.log.parent, self.store.parent):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.pki, self.node, self.models):
                folder.mkdir(exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
            self.socket.parent.mkdir(exist_ok=True, mode=0o700)
            if self.socket.parent.stat().st_uid != os.getuid():
                raise PermissionError(errno.EPERM, "it belongs to another user", self.socket.parent)
        except OSError as error:
            raise CliError(
                f"can't make the data folder: {error.strerror}",
                where=str(error.filename or self.root),
                remedy="Choose another with --data DIR",
            ) from error

    def take(self) -> BinaryIO:
        """The lock, for the life of the file that is returned. Raises where it is taken."""
        handle = self.lock.open("ab+")
        # Others look at the lock by taking it for an instant, hence more than one try.
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                return handle
        handle.close()
        raise CliError(
            _already(self.read_state()),
            where=str(self.root),
            remedy="Use it as it is, stop it with 'ome down', or start another with --data DIR",
        )

    def keep(self) -> None:
        """Takes the lock until this process has ended, for which ``ome down`` waits.

        It then says whose it is, and nothing is told of an earlier process any more."""
        with self.take() as lock:
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n".encode())
            lock.flush()
            self.state.unlink(missing_ok=True)
            os.dup(lock.fileno())  # holds it too, and nobody closes it

    def is_running(self) -> bool:
        """Whether a control process holds the lock."""
        try:
            with self.lock.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except BlockingIOError:
            return True
        except PermissionError as error:
            raise CliError(
                "the data folder can't be read by this user",
                where=str(self.root),
                remedy="Choose another with --data DIR",
            ) from error
        return False

    def read_state(self) -> dict[str, Any]:
        """What the control process last wrote about itself; empty where there is nothing."""
        try:
            state = json.loads(self.state.read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write_state(self, state: dict[str, Any]) -> None:
        replace(self.state, json.dumps(state, indent=2).encode() + b"\n")


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file so that others see the old content or the new, never half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)


def _already(state: dict[str, Any]) -> str:
    known = f"pid {state['pid']}" if "pid" in state else "just starting"
    gateway = f", gateway {state['gateway']}" if state.get("gateway") else ""
    return f"OME is already running here ({known}{gateway})"
