"""What the node remembers about a pod across its own restarts: ``pod.json`` in the pod's directory.

Container states are not in here: the shim writes those.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(slots=True)
class PodRecord:
    """``crashes``: container -> [ends in a row, the attempt they were counted up to]."""

    uid: str
    namespace: str = ""
    name: str = ""
    address: str = ""
    start_time: str = ""
    devices: dict[str, list[str]] = field(default_factory=dict)
    crashes: dict[str, list[int]] = field(default_factory=dict)
    images: bool = False

    @classmethod
    def load(cls, path: Path) -> PodRecord | None:
        """None where there is no record or it is damaged."""
        try:
            data = json.loads(path.read_text("utf-8"))
            return cls(**data)
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), sort_keys=True), "utf-8")
        temporary.replace(path)
