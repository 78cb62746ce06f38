"""Just enough of the GGUF layout to say why a file can't be loaded.

Only headers are read. Used after llama.cpp refused a file (its own words name a tensor, not the
remedy), so a healthy start never pays for it.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
_SPLIT = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<count>\d{5})\.gguf$")
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_BLOCKS: dict[int, tuple[int, int]] = {
    # ggml type -> (elements per block, bytes per block)
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    20: (32, 18),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    30: (1, 2),
    39: (32, 17),
}


class ModelFileError(Exception):
    """The model can't be loaded; the text says why and, where there is one, the remedy."""


def choose(path: Path) -> Path:
    """The file to load: ``path`` itself, or the only model in that folder (the first part, if it
    is split). Raises ModelFileError otherwise."""
    if not path.exists():
        raise ModelFileError(f"{path} does not exist")
    if path.is_file():
        return _complete(path)
    every = sorted(p for p in path.rglob("*.gguf") if not p.name.startswith(("mmproj", ".")))
    models = [p for p in every if (m := _SPLIT.match(p.name)) is None or int(m["part"]) == 1]
    if not models:
        raise ModelFileError(f"{path} holds no .gguf file")
    if len(models) > 1:
        names = ", ".join(str(p.relative_to(path)) for p in models[:5])
        more = f" and {len(models) - 5} more" if len(models) > 5 else ""
        raise ModelFileError(
            f"{path} holds {len(models)} .gguf models ({names}{more}): name one of them"
        )
    return _complete(models[0])


def _complete(path: Path) -> Path:
    match = _SPLIT.match(path.name)
    if match is None:
        return path
    count = int(match["count"])
    parts = [f"{match['stem']}-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1)]
    missing = [name for name in parts if not (path.parent / name).is_file()]
    if missing:
        raise ModelFileError(
            f"{path.parent} lacks {len(missing)} of {count} parts of the model, first {missing[0]}"
        )
    return path.parent / parts[0]


def quick_check(path: Path) -> None:
    """What can be told from the first bytes. Raises ModelFileError."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror}") from None
    if not start:
        raise ModelFileError(f"{path} is empty")
    if start[:4] != MAGIC:
        hint = ""
        if start.startswith((b"version ", b"<!DOC", b"<html", b"{")):
            hint = " (it looks like a Git LFS pointer, a web page or JSON, not like a model)"
        raise ModelFileError(f"{path} is not a GGUF file: it starts with {start[:4]!r}{hint}")
    if len(start) < 8 or not 2 <= struct.unpack("<I", start[4:8])[0] <= 3:
        raise ModelFileError(f"{path} is a GGUF file of an unknown version")


def diagnose(path: Path) -> str | None:
    """Why llama.cpp may have refused the file, or None where the header looks sound."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            end = _expected_size(file)
    except (struct.error, EOFError, UnicodeDecodeError, MemoryError):
        return f"{path} is cut off or damaged within its header ({size:,} bytes)"
    except ValueError as error:
        return f"{path} is damaged: {error}"
    if end > size:
        return (
            f"{path} is cut off: its header promises {end:,} bytes, the file has {size:,}; "
            "download it again"
        )
    return None


def _expected_size(file: BinaryIO) -> int:
    """The offset where the last tensor ends. Raises where the header makes no sense."""

    def take(count: int) -> bytes:
        data = file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def number(form: str) -> int:
        return int(struct.unpack(form, take(struct.calcsize(form)))[0])

    def text() -> str:
        length = number("<Q")
        if length > 1 << 26:
            raise ValueError(f"a string of {length:,} bytes")
        return take(length).decode("utf-8", "replace")

    def skip(kind: int) -> None:
        if kind in _SIZES:
            take(_SIZES[kind])
        elif kind == _STRING:
            text()
        elif kind == _ARRAY:
            inner, count = number("<I"), number("<Q")
            if inner in _SIZES:
                file.seek(_SIZES[inner] * count, 1)
            else:
                for _ in range(count):
                    skip(inner)
        else:
            raise ValueError(f"a value of unknown type {kind}")

    take(8)
    tensors, values = number("<Q"), number("<Q")
    alignment = 32
    for _ in range(values):
        name, kind = text(), number("<I")
        if name == "general.alignment" and kind == 4:
            alignment = number("<I")
        else:
            skip(kind)
    end = 0
    for _ in range(tensors):
        text()
        elements = 1
        for _ in range(number("<I")):
            elements *= number("<Q")
        kind, offset = number("<I"), number("<Q")
        per, width = _BLOCKS.get(kind, (1, 0))
        end = max(end, offset + elements // per * width)
    if alignment <= 0:
        raise ValueError(f"an alignment of {alignment}")
    return -(-file.tell() // alignment) * alignment + end
