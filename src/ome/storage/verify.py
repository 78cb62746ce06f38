"""Hashes of a file, taken while it is still arriving.

The engine fetches a file roughly in order, so the part without gaps at its beginning grows all the
time. A :class:`Verifier` hashes that part in a thread as it grows, from the page cache; when the
last byte is there, little is left to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

from ome.storage.errors import CorruptDownload
from ome.storage.source import FileEntry

_PIECE = 4 * 1024 * 1024
STEP = 64 * 1024 * 1024
"""How much must have arrived before it is worth a thread's while."""


class Verifier:
    """Hashes one file. ``advance`` and ``finish`` must not run at the same time."""

    def __init__(self, entry: FileEntry, path: Path) -> None:
        self._entry = entry
        self._path = path
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(usedforsecurity=False) if entry.git_sha1 else None
        if self._git is not None:
            self._git.update(b"blob %d\0" % entry.size)
        self._md5 = hashlib.md5(usedforsecurity=False) if entry.md5 else None
        self._hashed = 0

    @property
    def hashed(self) -> int:
        return self._hashed

    async def advance(self, available: int) -> None:
        """Hash up to ``available``."""
        if available > self._hashed:
            await asyncio.to_thread(self._hash, available)

    async def finish(self) -> str:
        """The sha256 of the whole file. Raises ``CorruptDownload`` where a hash differs."""
        await self.advance(self._entry.size)
        digest = self._sha256.hexdigest()
        if self._entry.sha256 and digest != self._entry.sha256.lower():
            raise _corrupt(self._entry.path, "sha256", self._entry.sha256, digest)
        if self._git is not None and self._git.hexdigest() != self._entry.git_sha1.lower():
            raise _corrupt(
                self._entry.path, "git hash", self._entry.git_sha1, self._git.hexdigest()
            )
        if self._md5 is not None and self._md5.hexdigest() != self._entry.md5.lower():
            raise _corrupt(self._entry.path, "md5", self._entry.md5, self._md5.hexdigest())
        return digest

    def _hash(self, available: int) -> None:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            while self._hashed < available:
                want = min(_PIECE, available - self._hashed)
                piece = os.pread(descriptor, want, self._hashed)
                if not piece:
                    raise CorruptDownload(
                        f"{self._entry.path} ends after {self._hashed} bytes, "
                        f"expected {self._entry.size}",
                        remedy="OME fetches it again",
                    )
                self._sha256.update(piece)
                if self._git is not None:
                    self._git.update(piece)
                if self._md5 is not None:
                    self._md5.update(piece)
                self._hashed += len(piece)
        finally:
            os.close(descriptor)


def _corrupt(name: str, what: str, expected: str, real: str) -> CorruptDownload:
    return CorruptDownload(
        f"{name} arrived damaged: its {what} is {real}, the source says {expected}",
        remedy="OME fetches it again; if this repeats, a proxy or the source is at fault",
    )


async def file_matches(entry: FileEntry, path: Path) -> str | None:
    """The sha256 of an existing file if it is exactly ``entry``; None otherwise.

    A file of which the source gives no hash never matches: a size proves nothing.
    """
    if not (entry.sha256 or entry.git_sha1) or not path.is_file():
        return None
    if path.stat().st_size != entry.size:
        return None
    try:
        return await Verifier(entry, path).finish()
    except CorruptDownload:
        return None
