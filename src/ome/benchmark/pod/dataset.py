"""How genai-bench is told of a dataset, from what lies there.

It reads text, CSV and JSON files by itself. For everything else (a folder of pictures or tables,
Parquet, JSON lines, a dataset at the Hugging Face hub) it needs a configuration for the library
``datasets``, which takes folders and files of this machine without asking the hub.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .said import Failure

PLAIN = (".txt", ".csv", ".json")


@dataclass(frozen=True)
class Dataset:
    """Either a ``plain`` file, or a ``source`` of genai-bench's configuration. ``here``: on this
    machine."""

    plain: str = ""
    source: dict[str, Any] = field(default_factory=dict)
    here: bool = True


def settle(given: str, task: str, part: dict[str, str]) -> Dataset:
    """``part``: which ``split`` and configuration (``name``) is meant. Raises Failure."""
    path = Path(given)
    wanted: dict[str, Any] = {"split": part.get("split") or "train"}
    if part.get("name"):
        wanted["name"] = part["name"]
    if not path.exists():
        if given.startswith("/"):
            raise Failure("DatasetUnusable", f"there is no {given}")
        return Dataset(source=_source(given, wanted), here=False)
    of_text = task.startswith("text-")
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.is_file() and not _is_hidden(p, path)]
        if not files:
            raise Failure("DatasetUnusable", f"{given} is empty")
        if len(files) > 1 or not of_text:
            return Dataset(source=_source(given, wanted))
        path = files[0]
    if of_text and path.suffix in PLAIN:
        return Dataset(plain=str(path))
    wanted["data_files"] = [path.name]
    return Dataset(source=_source(str(path.parent), wanted))


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _source(path: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"type": "huggingface", "path": path, "huggingface_kwargs": wanted}
