"""Processes by identity, not by number.

A *birth* names one process for good: the machine's boot and the process's start time. A number
alone may belong to somebody else after a crash or a reboot, so nothing is signalled by number
without its birth. On systems without ``/proc`` the start time comes from psutil.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil

LINUX = sys.platform == "linux"
PROC = Path("/proc")


def now_ns() -> int:
    return time.time_ns()


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text[text.rfind(")") + 2 :].split()


def birth_of(pid: int) -> str:
    """Empty where no such process lives (a zombie does not)."""
    if not LINUX:
        try:
            return f"/{psutil.Process(pid).create_time()}"
        except psutil.Error:
            return ""
    fields = _stat(pid)
    if len(fields) < 20 or fields[0] == "Z":
        return ""
    boot = (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot}/{fields[19]}"


def alive(pid: int, birth: str) -> bool:
    return bool(pid and birth) and birth_of(pid) == birth


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_session(leader: int, birth: str) -> int:
    """Kills the session that ``leader`` leads or led, and its descendants; returns how many.

    Where the leader is dead, its number may have a new owner, so members count only if they are
    younger than the leader was and the number is not in use by another session leader.
    """
    if not LINUX:
        if alive(leader, birth):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)
                return 1
        return 0
    boot, _, started = birth.partition("/")
    if not started or boot != (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip():
        return 0
    current = birth_of(leader)
    if current and current != birth:
        return 0
    killed = 0
    for _ in range(20):
        members = _session_members(leader, int(started))
        if not members:
            break
        for pid in members:
            kill(pid)
            killed += 1
    return killed


def _session_members(session: int, not_before: int) -> set[int]:
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        fields = _stat(pid)
        if len(fields) < 20 or fields[0] == "Z":
            continue
        parents[pid] = int(fields[1])
        if int(fields[3]) == session and int(fields[19]) >= not_before:
            found.add(pid)
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found
