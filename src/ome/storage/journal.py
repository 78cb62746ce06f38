"""What is already on disk of an unfinished download, in a file that survives ``kill -9``.

The first line names what is being fetched; every further line is one fact: ``[file, start, end]``
(on disk), ``[file]`` (nothing of it counts), ``[n, n]`` (the first n facts are durable). A block is
recorded after its bytes were written, so a killed process loses at most the blocks in flight, and
the files themselves are still in the page cache. A power cut is different: data that was written
may be gone while the journal has it. Therefore the journal remembers the boot it was written under,
and marks points at which the data was flushed; under another boot only what lies before the last
such point counts. A torn last line is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ome.storage.ranges import Ranges
from ome.storage.source import FileEntry

_VERSION = 1


def boot_id() -> str:
    """Something that changes with every start of the machine; empty where unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identity(uri: str, revision: str, files: Sequence[FileEntry]) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "uri": uri,
        "revision": revision,
        "files": [[f.path, f.size, f.sha256, f.git_sha1, f.version, f.md5] for f in files],
    }


class Journal:
    """The journal of one download. Not safe for two processes: the caller holds a lock."""

    def __init__(self, path: Path, header: dict[str, Any], count: int) -> None:
        self._path = path
        self._header = header
        self.done = [Ranges() for _ in range(count)]
        self.resumed = self._load()
        """True where an earlier attempt at exactly the same files was found."""
        self._facts = 0
        self._file = self._open()

    def record(self, index: int, start: int, end: int) -> None:
        """These bytes of file ``index`` have been written."""
        self.done[index].add(start, end)
        self._write([index, start, end])

    def reset(self, index: int) -> None:
        """Nothing of file ``index`` counts any more."""
        self.done[index].clear()
        self._write([index])

    def mark(self) -> int:
        """A point in time; see :meth:`flushed`."""
        return self._facts

    def flushed(self, mark: int) -> None:
        """Everything recorded before ``mark`` was taken has reached the disk."""
        self._write([mark, mark])
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _write(self, fact: list[int]) -> None:
        self._facts += 1
        self._file.write(json.dumps(fact) + "\n")
        self._file.flush()

    def _open(self) -> IO[str]:
        """Start a fresh, compact journal that holds what the old one proved."""
        temporary = self._path.with_name(self._path.name + ".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps({**self._header, "boot": boot_id()}) + "\n")
            for index, ranges in enumerate(self.done):
                for start, end in ranges:
                    file.write(json.dumps([index, start, end]) + "\n")
                    self._facts += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        return self._path.open("a", encoding="utf-8")

    def _load(self) -> bool:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        complete, _, _ = text.rpartition("\n")
        lines = complete.split("\n")
        try:
            header = json.loads(lines[0])
            facts = [json.loads(line) for line in lines[1:]]
        except ValueError:
            return False
        if not isinstance(header, dict):
            return False
        same_boot = header.pop("boot", "") == boot_id() != ""
        if header != self._header:
            return False
        if not same_boot:
            marks = [fact[0] for fact in facts if len(fact) == 2]
            facts = facts[: marks[-1]] if marks else []
        for fact in facts:
            if len(fact) == 3:
                self.done[fact[0]].add(fact[1], fact[2])
            elif len(fact) == 1:
                self.done[fact[0]].clear()
        return True
