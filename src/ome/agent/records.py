"""What this agent has brought to this machine, remembered across restarts.

One small file per model under ``<models root>/.ome-agent/``. It lets a restart go straight to
Ready, and lets the agent find the files of a model that was deleted while nobody was looking. A
record is written after the files were published and before the status says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ome.apimachinery.objects import Key
from ome.storage import manifest

FOLDER = ".ome-agent"


@dataclass(frozen=True, slots=True)
class Record:
    """``managed``: the files are the agent's own, to be deleted when nobody wants them."""

    namespace: str
    name: str
    uid: str
    path: str
    fingerprint: str
    revision: str = ""
    managed: bool = True
    keep: bool = False
    config: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    verified: dict[str, Any] | None = None

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)

    def intact(self) -> bool:
        """Whether what was brought is still there, by names and sizes."""
        folder = Path(self.path)
        if not self.managed:
            return folder.is_dir()
        found = manifest.read(folder)
        return found is not None and manifest.matches(folder, found.files)


class Records:
    """All records of a models root. Reads once; writes are whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known: dict[Key, Record] = {}
        for path in sorted(self._folder.glob("*.json")):
            record = _load(path)
            if record is not None:
                self._known[record.key] = record

    def get(self, key: Key) -> Record | None:
        return self._known.get(key)

    def put(self, record: Record) -> None:
        path = self._file(record.key)
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        self._known[record.key] = record

    def drop(self, key: Key) -> None:
        self._file(key).unlink(missing_ok=True)
        self._known.pop(key, None)

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._known.values()))

    def _file(self, key: Key) -> Path:
        return self._folder / f"{hashlib.sha256(str(key).encode()).hexdigest()[:24]}.json"


def _load(path: Path) -> Record | None:
    """None for a file that is no record (of this version): the agent then looks for itself."""
    try:
        return Record(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
