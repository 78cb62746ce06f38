"""What a published folder holds, written inside it, so that a restart recognises its own work.

``.ome-manifest.json`` names the source, the pinned revision and every file with size and hash. A
folder with a manifest was published whole: the manifest is the last file written before the
rename. :func:`matches` decides in one ``stat`` a file whether the folder is still what it says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ome.storage.errors import redact
from ome.storage.source import MANIFEST_NAME, FileEntry

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """``uri`` and ``revision`` say where the files came from; ``selection`` which were taken."""

    uri: str
    revision: str
    files: tuple[FileEntry, ...]
    selection: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "source": {"uri": redact(self.uri), "revision": self.revision},
            "include": list(self.selection[0]),
            "exclude": list(self.selection[1]),
            "files": [
                {
                    "path": f.path,
                    "size": f.size,
                    **({"sha256": f.sha256} if f.sha256 else {}),
                    **({"gitSha1": f.git_sha1} if f.git_sha1 else {}),
                }
                for f in self.files
            ],
            **self.extra,
        }


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none, or none that can be understood."""
    try:
        return parse(json.loads((folder / MANIFEST_NAME).read_bytes()))
    except (OSError, ValueError):
        return None


def parse(data: Any) -> Manifest:
    """A manifest from its JSON. Raises ``ValueError`` for what is none."""
    try:
        if data["version"] != _VERSION:
            raise ValueError(f"version {data['version']!r}")
        files = tuple(
            FileEntry(f["path"], int(f["size"]), f.get("sha256", ""), f.get("gitSha1", ""))
            for f in data["files"]
        )
        source = data["source"]
        selection = (tuple(data.get("include", ())), tuple(data.get("exclude", ())))
        return Manifest(source["uri"], source["revision"], files, selection)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no {error}") from error


def write(folder: Path, manifest: Manifest) -> None:
    """Write it whole or not at all, and durably."""
    temporary = folder / (MANIFEST_NAME + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(manifest.to_json(), file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / MANIFEST_NAME)


def matches(folder: Path, files: Sequence[FileEntry]) -> bool:
    """Every file is there, regular, and has its size. Contents are not read again."""
    for entry in files:
        try:
            status = (folder / entry.path).lstat()
        except OSError:
            return False
        if not _is_regular(status.st_mode) or status.st_size != entry.size:
            return False
    return True


def _is_regular(mode: int) -> bool:
    return (mode & 0o170000) == 0o100000
