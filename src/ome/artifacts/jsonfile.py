"""Reading the small JSON files of a model, leniently but within limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ome.artifacts.errors import CorruptModelFile

_LARGEST = 32 * 1024 * 1024


def read_object(path: Path) -> dict[str, Any]:
    """The object in the file. Infinity and NaN are accepted, as Python's own writers make them."""
    if path.stat().st_size > _LARGEST:
        raise _bad(path, "it is too large")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _bad(path, str(error) or "it is nested too deeply") from error
    if not isinstance(data, dict):
        raise _bad(path, "it does not hold an object")
    return data


def read_optional(path: Path) -> dict[str, Any]:
    """Like :func:`read_object`; empty where the file is absent or broken (it is only a hint)."""
    try:
        return read_object(path)
    except (OSError, CorruptModelFile):
        return {}


def _bad(path: Path, why: str) -> CorruptModelFile:
    return CorruptModelFile(
        f"{path.name} is not valid JSON: {why}", remedy="download it again, or correct it"
    )
