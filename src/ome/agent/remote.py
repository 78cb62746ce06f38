"""Describing a model where it lies, before anything is downloaded.

This joins two rooms that know nothing of each other: ``artifacts`` says which few bytes it needs,
``storage`` reads them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ome.agent import location
from ome.artifacts.metadata import ModelMetadata
from ome.artifacts.remote import BUDGET, Conversation, Part, describe
from ome.storage import open_source
from ome.storage.errors import SourceChanged
from ome.storage.source import FileEntry, Source, safe_relative

_AT_ONCE = 16


async def inspect_remote(source: Source, *, name: str = "", budget: int = BUDGET) -> ModelMetadata:
    """What the files of an open source say about the model, from less than ``budget`` bytes.

    Works for a source that holds nothing but a ``config.json``. ``parameters_from`` says whether
    the count is exact (``headers``) or an estimate (``configuration``). ``name`` is what the model
    is called there (``Qwen/Qwen3-0.6B``). The caller closes the source. Raises a ``StorageError``
    or an ``ArtifactError``.
    """
    entries = {safe_relative(entry.path): entry for entry in await source.list()}
    sizes = {path: entry.size for path, entry in entries.items()}
    with tempfile.TemporaryDirectory(prefix="ome-inspect-") as scratch:
        conversation = describe(Path(scratch), sizes, name=name, budget=budget)
        found = await asyncio.to_thread(_step, conversation, None)
        while not isinstance(found, ModelMetadata):
            data = await _read(source, entries, found)
            found = await asyncio.to_thread(_step, conversation, data)
        return found


def _step(
    conversation: Conversation, data: Sequence[bytes] | None
) -> Sequence[Part] | ModelMetadata:
    """What it wants next, or the end of it. (A thread can't hand over a ``StopIteration``.)"""
    try:
        return next(conversation) if data is None else conversation.send(data)
    except StopIteration as end:
        result: ModelMetadata = end.value
        return result


async def _read(
    source: Source, entries: Mapping[str, FileEntry], parts: Sequence[Part]
) -> list[bytes]:
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def read(part: Part) -> bytes:
        async with at_once:
            pieces = source.read(entries[part.path], part.start, part.end)
            data = b"".join([piece async for piece in pieces])
        if len(data) != part.end - part.start:
            raise SourceChanged(
                f"{part.path} ended after {part.start + len(data)} bytes, "
                f"listed were {entries[part.path].size}",
                remedy="try again",
            )
        return data

    tasks = [asyncio.create_task(read(part)) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def inspect_uri(
    uri: str,
    *,
    parameters: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] | None = None,
) -> ModelMetadata:
    """:func:`inspect_remote` for a storage URI as models have it."""
    spec = replace(location.parse(uri, parameters or {}), credentials=credentials or {})
    source = open_source(spec)
    try:
        return await inspect_remote(source, name=spec.container if spec.scheme == "hf" else "")
    finally:
        await source.close()
