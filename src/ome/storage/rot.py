"""Has anything changed a published model since it was verified? Every byte is read again.

Disks lose bits, and people edit files. :func:`check` compares each file of a published folder with
the hash that its manifest holds. :func:`forget_damaged` takes the damaged ones out of the manifest,
so that the next download of the same model fetches those and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ome.storage import manifest
from ome.storage.source import MANIFEST_NAME, FileEntry

_PIECE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Findings:
    """``damaged``: path and what is wrong with it. ``strangers``: files that no manifest knows."""

    files: int
    size: int
    damaged: tuple[tuple[str, str], ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not self.damaged


def check(folder: Path, tell: Callable[[int, int, str], None] = lambda *_: None) -> Findings | None:
    """None for a folder without a manifest. ``tell`` gets bytes read, bytes in all and the file."""
    found = manifest.read(folder)
    if found is None:
        return None
    damaged = []
    before = 0
    for entry in found.files:
        start = before

        def progress(count: int, start: int = start, name: str = entry.path) -> None:
            tell(start + count, found.size, name)

        why = _wrong(folder / entry.path, entry, progress)
        if why:
            damaged.append((entry.path, why))
        before += entry.size
    known = {entry.path for entry in found.files} | {MANIFEST_NAME}
    return Findings(len(found.files), found.size, tuple(damaged), _strangers(folder, known))


def forget_damaged(folder: Path, findings: Findings) -> None:
    """The manifest without the damaged files: the folder does not count as complete any more."""
    found = manifest.read(folder)
    if found is None or findings.good:
        return
    bad = {path for path, _ in findings.damaged}
    kept = tuple(entry for entry in found.files if entry.path not in bad)
    manifest.write(folder, replace(found, files=kept))


def _wrong(path: Path, entry: FileEntry, tell: Callable[[int], None]) -> str:
    """What is wrong with a file; empty for nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry.size:
            return f"it has {size} bytes, not {entry.size}"
        digest = hashlib.sha256()
        read = 0
        try:
            while piece := file.read(_PIECE):
                digest.update(piece)
                read += len(piece)
                tell(read)
        except OSError as error:
            return f"it can't be read: {error.strerror}"
    if entry.sha256 and digest.hexdigest() != entry.sha256.lower():
        return f"its sha256 is {digest.hexdigest()}, not {entry.sha256.lower()}"
    return ""


def _strangers(folder: Path, known: set[str]) -> tuple[str, ...]:
    found = (str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())
    return tuple(sorted(name for name in found if name not in known))
