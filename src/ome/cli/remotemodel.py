"""A model looked at where it is published: small files whole, of the weights only what is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ome.artifacts import ModelMetadata, inspect
from ome.storage import FileEntry, Source

_SMALL = 1024 * 1024
_SUFFIXES = (".json", ".md")


async def inspect_remote(
    source: Source, name: str
) -> tuple[ModelMetadata, Sequence[FileEntry]]:
    listed = await source.list()
    with tempfile.TemporaryDirectory(prefix="ome-look-") as made:
        for entry in listed:
            if entry.size > _SMALL or not entry.path.endswith(_SUFFIXES):
                continue
            target = Path(made) / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            pieces = [piece async for piece in source.read(entry, 0, entry.size)]
            target.write_bytes(b"".join(pieces))
        return inspect(made, name=name), listed
