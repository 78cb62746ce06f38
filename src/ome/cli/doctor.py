"""What this machine needs for ``ome up``, looked at one by one.

A check never changes anything that is not its own, ends by itself, and says in one line what it
found. ``PROBLEM`` is what OME can't work with; ``NOTE`` is what some services will miss.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from ome.cli.home import API_PORT, GATEWAY_PORT, Home
from ome.cli.output import size

_LEAST_DISK = 1_000_000_000
_SMALL_DISK = 10_000_000_000
_SMALL_MEMORY = 2_000_000_000
_POD_ADDRESS = "127.64.0.1"
ENGINE_SECONDS = 60.0
INDEX_SECONDS = 45.0


class State(StrEnum):
    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to. ``remedy`` is empty where nothing is to be done."""

    check: str
    state: State
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def ok(check: str, found: str) -> Finding:
    return Finding(check, State.OK, found)


def examine(home: Home) -> list[Finding]:
    """All findings, in the order in which a start would meet the problems."""
    checks: tuple[Callable[[Home], Finding], ...] = (
        check_python,
        check_system,
        check_data,
        check_disk,
        check_memory,
        check_ports,
        check_addresses,
        check_engine,
        check_index,
        check_containers,
        check_gpus,
    )
    return [check(home) for check in checks]


def check_python(_home: Home) -> Finding:
    return ok("python", f"{platform.python_version()} ({sys.executable})")


def check_system(_home: Home, system: str = "") -> Finding:
    system = system or platform.system()
    found = f"{system} {platform.release()}, {platform.machine()}"
    if system == "Linux":
        return ok("system", found)
    if system == "Darwin":
        return Finding(
            "system",
            State.NOTE,
            f"{found}: not tested",
            "Expect gaps: pods share 127.0.0.1, so two engines can't have the same port",
        )
    return Finding("system", State.PROBLEM, f"{found}: not supported", "Use Linux")


def check_data(home: Home) -> Finding:
    """The folder itself; where it doesn't exist yet, the nearest one that does."""
    nearest = _nearest(home.root)
    if not nearest.is_dir():
        return Finding(
            "data folder",
            State.PROBLEM,
            f"{nearest} is not a folder",
            "Choose another with --data DIR",
        )
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Finding(
            "data folder",
            State.PROBLEM,
            f"{nearest} can't be written to: {error.strerror}",
            "Choose another with --data DIR",
        )
    if nearest != home.root:
        return ok("data folder", f"{home.root} (will be made)")
    if home.root.stat().st_mode & 0o077:
        return Finding(
            "data folder",
            State.NOTE,
            f"{home.root} is open to other users",
            "The next 'ome up' closes it",
        )
    running = home.is_running()
    return ok(
        "data folder", f"{home.root} ({'OME is running' if running else 'OME is not running'})"
    )


def check_disk(home: Home) -> Finding:
    free = shutil.disk_usage(_nearest(home.root)).free
    found = f"{size(free)} free for models"
    if free < _LEAST_DISK:
        remedy = "Free some, or choose a folder on another disk with --data DIR"
        return Finding("disk", State.PROBLEM, found, remedy)
    if free < _SMALL_DISK:
        return Finding("disk", State.NOTE, found, "Enough for small models only")
    return ok("disk", found)


def check_memory(_home: Home) -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{size(free)} available, {os.cpu_count()} CPUs"
    if free < _SMALL_MEMORY:
        return Finding("memory", State.NOTE, found, "Enough for very small models only")
    return ok("memory", found)


def check_ports(home: Home) -> Finding:
    if home.is_running():
        state = home.read_state()
        return ok("ports", f"in use by this OME: {state.get('gateway')}, {state.get('api')}")
    taken = [port for port in (GATEWAY_PORT, API_PORT) if not _free("127.0.0.1", port)]
    if not taken:
        return ok("ports", f"{GATEWAY_PORT} (OpenAI) and {API_PORT} (kubectl) are free")
    return Finding(
        "ports",
        State.NOTE,
        f"in use by something else: {', '.join(map(str, taken))}",
        "'ome up' takes the next free ones; --gateway-port and --port choose others",
    )


def check_addresses(_home: Home) -> Finding:
    if sys.platform != "linux":
        return Finding("pod addresses", State.NOTE, "pods share 127.0.0.1", "")
    if _free(_POD_ADDRESS, 0):
        return ok("pod addresses", "each pod gets an address of its own in 127.64.0.0/11")
    return Finding(
        "pod addresses",
        State.PROBLEM,
        f"can't listen on {_POD_ADDRESS}",
        "Is the loopback interface up, with the whole of 127.0.0.0/8? Look at: ip addr show lo",
    )


def check_engine(_home: Home) -> Finding:
    """In a process of its own: a library built for another CPU ends the process that loads it."""
    code = "import xllamacpp, importlib.metadata as m; print(m.version('xllamacpp'))"
    status, said = _run([sys.executable, "-c", code], ENGINE_SECONDS)
    if status == 0:
        return ok("engine", f"llama.cpp (xllamacpp {said.strip()})")
    if "No module named 'xllamacpp'" in said:
        return Finding(
            "engine",
            State.PROBLEM,
            "llama.cpp is not installed, so no model can run without an image",
            "pip install 'open-model-engine[local]'",
        )
    if status < 0:
        why = f"loading it ended by signal {-status}"
        remedy = "This build of xllamacpp is not for this CPU: install another version of it"
    else:
        why = _last_line(said)
        remedy = "Install it anew: pip install --force-reinstall xllamacpp"
    return Finding("engine", State.PROBLEM, f"llama.cpp can't be loaded: {why}", remedy)


def check_index(_home: Home) -> Finding:
    """Whether pip, as it is configured, can read an index; what it says may hold credentials."""
    from ome.storage.errors import redact

    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "index"]
    argv += ["versions", "--retries", "1", "--timeout", "10", "pip"]
    status, said = _run(argv, INDEX_SECONDS)
    if status == 0:
        return ok("package index", "pip can read it (vendor://pypi models)")
    if "No module named pip" in said:
        return Finding(
            "package index",
            State.NOTE,
            "this Python has no pip, so vendor://pypi models can't be fetched",
            "python -m ensurepip, or make the environment anew with pip in it",
        )
    return Finding(
        "package index",
        State.NOTE,
        f"pip can't read it: {redact(_last_line(said))}",
        "vendor://pypi models need it: check the network, or point pip to a mirror (pip config)",
    )


def check_containers(_home: Home) -> Finding:
    from ome.standalone.node.images import detect

    detection = asyncio.run(detect())
    if detection.runtime is not None:
        return ok("containers", f"{detection.runtime.kind} ({detection.runtime.path})")
    return Finding(
        "containers",
        State.NOTE,
        detection.problem,
        "Only runtimes made for the host run here (llama-cpp); images need podman or docker",
    )


def check_gpus(_home: Home) -> Finding:
    from ome.standalone.node.machine import detect_gpus

    count = len(detect_gpus())
    return ok("GPUs", f"{count} NVIDIA" if count else "none found; models run on the CPU")


def _nearest(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _run(argv: Sequence[str], seconds: float) -> tuple[int, str]:
    """Exit status (negative: the signal that ended it) and everything said."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return 1, f"no answer within {seconds:.0f} s"
    return process.returncode, output.decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
