"""GGUF headers: key-values and tensor shapes, never the tensors.

Versions 2 and 3, little and big endian. The file is hostile until proven otherwise: every count is
checked against what is left of the file before anything is read or kept, long arrays are skipped,
and nesting is limited. A file that ends before its last tensor is :class:`TruncatedModelFile`.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ome.artifacts.errors import CorruptModelFile, TruncatedModelFile
from ome.artifacts.ggml import FILE_TYPES, TENSOR_TYPES

Scalar = int | float | bool | str
_MOST_TENSORS = 1_000_000
_MOST_KEYS = 100_000
_LONGEST_KEY = 65_535
_LONGEST_STRING = 64 * 1024 * 1024
_LONGEST_KEPT_ARRAY = 4096
_DEEPEST_ARRAY = 4
_MOST_DIMENSIONS = 8

_SCALARS: Final = {
    0: ("B", 1),
    1: ("b", 1),
    2: ("H", 2),
    3: ("h", 2),
    4: ("I", 4),
    5: ("i", 4),
    6: ("f", 4),
    7: ("?", 1),
    10: ("Q", 8),
    11: ("q", 8),
    12: ("d", 8),
}
_STRING = 8
_ARRAY = 9


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """``values`` holds scalars and short numeric arrays; ``lengths`` how long every array is."""

    name: str
    version: int
    values: dict[str, Scalar | tuple[Scalar, ...]]
    lengths: dict[str, int]
    parameters: int
    tensors: int
    bytes_by_type: dict[str, int] = field(default_factory=dict)
    tensor_names: frozenset[str] = frozenset()

    def text(self, key: str) -> str:
        value = self.values.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        value = self.values.get(key)
        if isinstance(value, tuple):
            value = max((v for v in value if isinstance(v, int)), default=0)
        return int(value) if isinstance(value, int | float) else 0

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    @property
    def quantization(self) -> str:
        """``Q4_1``, ``F16`` …: what the file says, else the type that most bytes have."""
        stated = self.values.get("general.file_type")
        if isinstance(stated, int) and (stated & ~1024) in FILE_TYPES:
            return FILE_TYPES[stated & ~1024]
        if not self.bytes_by_type:
            return ""
        return max(self.bytes_by_type, key=lambda name: self.bytes_by_type[name])


def read(path: Path) -> GGUFHeader:
    """Read and check the header. Raises ``CorruptModelFile`` or ``TruncatedModelFile``."""
    with path.open("rb") as file:
        return _Reader(file, path.name, path.stat().st_size).header()


def header_needs(path: Path, have: int) -> int:
    """How many bytes of the file must be there to go on reading its header, ``have`` being there.

    At most ``have`` where the header is whole (or wrong, which reading it will say).
    """
    reader = _Reader(_beginning(path, have), path.name, path.stat().st_size)
    try:
        reader.header()
    except TruncatedModelFile as error:
        return error.expected if error.expected <= error.real else have
    except CorruptModelFile:
        return have
    return have


def read_prefix(path: Path, have: int) -> GGUFHeader:
    """What the first ``have`` bytes say: the values that came so far, and no tensors."""
    reader = _Reader(_beginning(path, have), path.name, path.stat().st_size)
    try:
        return reader.header()
    except TruncatedModelFile:
        return reader.partial()


def _beginning(path: Path, have: int) -> BinaryIO:
    with path.open("rb") as file:
        return io.BytesIO(file.read(have))


class _Reader:
    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self._file = file
        self._name = name
        self._size = size
        self._at = 0
        self._order = "<"
        self._version = 0
        self._values: dict[str, Scalar | tuple[Scalar, ...]] = {}
        self._lengths: dict[str, int] = {}

    def partial(self) -> GGUFHeader:
        """What has been read so far."""
        return GGUFHeader(self._name, self._version, self._values, self._lengths, 0, 0)

    def header(self) -> GGUFHeader:
        version = self._version = self._begin()
        tensors, keys = self._count("Q", _MOST_TENSORS), self._count("Q", _MOST_KEYS)
        values = self._values
        for _ in range(keys):
            key = self._text(_LONGEST_KEY)
            self._value(key, values)
        parameters, end, by_type, names = self._tensors(tensors)
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
            raise self._corrupt(f"its alignment is {alignment!r}")
        expected = -(-self._at // alignment) * alignment + end
        if tensors and expected > self._size:
            raise TruncatedModelFile(self._name, expected=expected, real=self._size)
        return GGUFHeader(
            self._name,
            version,
            values,
            self._lengths,
            parameters,
            tensors,
            by_type,
            frozenset(names),
        )

    def _begin(self) -> int:
        magic = self._take(4)
        if magic != b"GGUF":
            raise self._corrupt(f"it begins with {magic!r}, not with 'GGUF'")
        raw = self._take(4)
        version = int.from_bytes(raw, "little")
        if version > 0xFFFF:
            self._order = ">"
            version = int.from_bytes(raw, "big")
        if version not in (2, 3):
            raise CorruptModelFile(
                f"{self._name} is GGUF version {version}; OME reads versions 2 and 3",
                remedy="convert the model again with a current llama.cpp",
            )
        return version

    def _tensors(self, count: int) -> tuple[int, int, dict[str, int], list[str]]:
        parameters = end = 0
        by_type: dict[str, int] = {}
        names = []
        for _ in range(count):
            name = self._text(_LONGEST_KEY)
            dimensions = self._count("I", _MOST_DIMENSIONS)
            elements = 1
            for _ in range(dimensions):
                elements *= self._number("Q")
            kind, offset = self._number("I"), self._number("Q")
            if elements > 1 << 50:
                raise self._corrupt(f"tensor {name!r} has {elements} elements")
            names.append(name)
            if not name.startswith("rope_freqs"):  # computed from the configuration, not learned
                parameters += elements
            known = TENSOR_TYPES.get(kind)
            if known is None:
                end = max(end, offset)
                continue
            label, block, size = known
            length = -(-elements // block) * size
            by_type[label] = by_type.get(label, 0) + length
            end = max(end, offset + length)
        return parameters, end, by_type, names

    def _value(
        self,
        key: str,
        values: dict[str, Scalar | tuple[Scalar, ...]],
    ) -> None:
        kind = self._number("I")
        if kind == _ARRAY:
            kept = self._array(key, 0)
            if kept is not None:
                values[key] = kept
        elif kind == _STRING:
            values[key] = self._text(_LONGEST_STRING)
        else:
            values[key] = self._scalar(kind)

    def _array(self, key: str, depth: int) -> tuple[Scalar, ...] | None:
        if depth >= _DEEPEST_ARRAY:
            raise self._corrupt("its arrays are nested too deeply")
        kind, length = self._number("I"), self._number("Q")
        if not depth:
            self._lengths[key] = length
        known = _SCALARS.get(kind)
        if known is not None:
            letter, width = known
            self._require(length * width)
            if length <= _LONGEST_KEPT_ARRAY:
                return self._unpack(f"{length}{letter}", length * width)
            self._skip(length * width)
            return None
        self._require(length * 8)
        for _ in range(length):
            if kind == _STRING:
                self._skip(self._count("Q", _LONGEST_STRING))
            elif kind == _ARRAY:
                self._array(key, depth + 1)
            else:
                raise self._corrupt(f"it has a value of unknown type {kind}")
        return None

    def _scalar(self, kind: int) -> Scalar:
        known = _SCALARS.get(kind)
        if known is None:
            raise self._corrupt(f"it has a value of unknown type {kind}")
        value: Scalar = self._unpack(*known)[0]
        return value

    def _number(self, letter: str) -> int:
        value = self._unpack(letter, 4 if letter == "I" else 8)[0]
        return int(value)

    def _count(self, letter: str, most: int) -> int:
        value = self._number(letter)
        if value > most:
            raise self._corrupt(f"it claims {value} entries where at most {most} make sense")
        return value

    def _text(self, longest: int) -> str:
        return self._take(self._count("Q", longest)).decode("utf-8", errors="replace")

    def _unpack(self, letters: str, size: int) -> tuple[Scalar, ...]:
        return struct.unpack(self._order + letters, self._take(size))

    def _take(self, size: int) -> bytes:
        self._require(size)
        data = self._file.read(size)
        self._at += size
        if len(data) != size:
            raise TruncatedModelFile(self._name, expected=self._at, real=self._size)
        return data

    def _skip(self, size: int) -> None:
        self._require(size)
        self._file.seek(size, 1)
        self._at += size

    def _require(self, size: int) -> None:
        if self._at + size > self._size:
            raise TruncatedModelFile(self._name, expected=self._at + size, real=self._size)

    def _corrupt(self, why: str) -> CorruptModelFile:
        return CorruptModelFile(
            f"{self._name} is not a valid GGUF file: {why}",
            remedy="download it again; if that does not help, the publisher's file is broken",
        )
