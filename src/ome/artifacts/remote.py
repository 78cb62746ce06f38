"""Describing a model that lies elsewhere from a few of its bytes.

:func:`describe` is a conversation without input or output of its own: it yields the parts of files
that it needs next and is sent their bytes, until it returns the :class:`ModelMetadata`. What it got
it lays into a scratch folder in which every file has its real size but only the parts that were
read (the rest are holes), so that the readers of local folders do the work and both ways can't
differ. All parts together stay below the budget: where the headers of the weights would not fit,
the parameter count is estimated from the configuration, and the result says so.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ome.artifacts import diffusers, ggufmodel, inspection, safetensors
from ome.artifacts.card import read_card
from ome.artifacts.errors import CorruptModelFile, TruncatedModelFile
from ome.artifacts.gguf import header_needs
from ome.artifacts.jsonfile import read_optional
from ome.artifacts.metadata import ModelMetadata

BUDGET = 4_500_000
"""Bytes of file contents that describing a remote model reads at most."""

_DOCUMENTS = frozenset(
    {
        "config.json",
        "model_config.json",
        "configuration.json",
        "model_index.json",
        "modules.json",
        "config_sentence_transformers.json",
        "model.safetensors.index.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer_config.json",
        "generation_config.json",
    }
)
_CARD = "README.md"
_INDEX = "index.json"
_LARGEST_DOCUMENT = 1024 * 1024
_LONGEST_CARD = 64 * 1024
_MOST_DOCUMENTS = 64
_DEEPEST = 4
_MOST_WEIGHTS = 4096
_LARGEST_FILE = 1 << 43
_FEW = 16
_FIRST_OF_FEW = 64 * 1024
_FIRST_OF_GGUF = 512 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes ``start`` to ``end`` (exclusive) of a file."""

    path: str
    start: int
    end: int


Conversation = Generator[Sequence[Part], Sequence[bytes], ModelMetadata]
_Reading = Generator[Sequence[Part], Sequence[bytes], None]


def describe(
    scratch: Path, sizes: Mapping[str, int], *, name: str = "", budget: int = BUDGET
) -> Conversation:
    """What the files with these relative paths and sizes say. Raises an ``ArtifactError``.

    ``scratch`` is an empty folder of the caller's; ``name`` as in :func:`inspection.inspect`.
    """
    return _Sketch(scratch, sizes, budget).run(name)


class _Sketch:
    def __init__(self, folder: Path, sizes: Mapping[str, int], budget: int) -> None:
        self._folder = folder
        self._sizes = sizes
        self._left = budget
        self._known: dict[Path, int] = {}

    def run(self, name: str) -> Conversation:
        yield from self._read(self._documents())
        for path in self._weights():
            self._place(path)
        pipeline = self._folder / diffusers.INDEX
        config = inspection.find_config(self._folder)
        ggufs = ggufmodel.find(self._folder)
        if pipeline.is_file():
            return (yield from self._pipeline(pipeline, name))
        if ggufs and (config is None or not any(config.parent.glob("*.safetensors"))):
            return (yield from self._gguf(ggufs, name))
        if config is not None:
            return (yield from self._transformers(config.parent, name))
        return inspection.inspect(self._folder, name=name)

    # What to read.

    def _documents(self) -> list[Part]:
        found = sorted(
            (
                path
                for path in self._sizes
                if path.rpartition("/")[2] in _DOCUMENTS and path.count("/") <= _DEEPEST
            ),
            key=lambda path: (path.endswith(_INDEX), path.count("/"), path),
        )
        parts = []
        left = self._left // 2
        if _CARD in self._sizes:
            parts.append(Part(_CARD, 0, min(_LONGEST_CARD, self._sizes[_CARD], left)))
            left -= parts[0].end
        for path in found[:_MOST_DOCUMENTS]:
            size = self._sizes[path]
            if size <= min(left, _LARGEST_DOCUMENT):
                parts.append(Part(path, 0, size))
                left -= size
        return parts

    def _weights(self) -> list[str]:
        found = [path for path in self._sizes if path.endswith((".safetensors", ".gguf", ".bin"))]
        return sorted(found, key=lambda path: (path.count("/"), path))[:_MOST_WEIGHTS]

    def _read(self, parts: Sequence[Part]) -> _Reading:
        wanted = [part for part in parts if part.end > part.start]
        for part in parts:
            self._place(part.path)
        if not wanted:
            return
        self._left -= sum(part.end - part.start for part in wanted)
        data = yield wanted
        for part, content in zip(wanted, data, strict=True):
            if len(content) != part.end - part.start:
                raise TruncatedModelFile(
                    part.path, expected=part.end, real=part.start + len(content)
                )
            with (self._folder / part.path).open("r+b") as file:
                file.seek(part.start)
                file.write(content)

    def _place(self, path: str) -> None:
        """A file of the real size; its content is a hole."""
        target = self._folder / path
        size = self._sizes[path]
        if target.is_file():
            return
        if not 0 <= size <= _LARGEST_FILE:
            raise CorruptModelFile(
                f"{path} would have {size} bytes", remedy="check the storage that lists it"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            os.truncate(file.fileno(), size)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    # safetensors, in the layouts of transformers and of diffusers

    def _transformers(self, folder: Path, name: str) -> Conversation:
        files = safetensors.weight_files(folder)
        fits = yield from self._headers(files)
        if fits:
            return inspection.inspect(self._folder, name=name)
        return self._without_headers(files, folder.glob("*.safetensors"), name)

    def _pipeline(self, index: Path, name: str) -> Conversation:
        parts = [self._folder / part for part, _, _ in diffusers.components(read_optional(index))]
        files = [file for part in parts if part.is_dir() for file in diffusers.part_files(part)]
        fits = yield from self._headers(files)
        if fits:
            return inspection.inspect(self._folder, name=name)
        return self._without_headers(files, self._folder.glob("*/*.safetensors"), name)

    def _headers(self, files: Sequence[Path]) -> Generator[Sequence[Part], Sequence[bytes], bool]:
        """Whether the headers of all files fitted into the budget, and have been read."""
        names = [self._relative(file) for file in files]
        first = _FIRST_OF_FEW if len(names) <= _FEW else 8
        if first * len(names) > self._left:
            return False
        yield from self._read([Part(n, 0, min(first, self._sizes[n])) for n in names])
        rest = []
        for path in names:
            end = safetensors.header_end(self._folder / path)
            if first < end <= self._sizes[path]:
                rest.append(Part(path, first, end))
        if sum(part.end - part.start for part in rest) > self._left:
            return False
        yield from self._read(rest)
        return True

    def _without_headers(
        self, files: Sequence[Path], all_files: Iterable[Path], name: str
    ) -> ModelMetadata:
        size = sum(self._sizes[self._relative(file)] for file in files)
        for file in list(all_files):
            file.unlink()
        for index in self._folder.rglob("*.safetensors.index.json"):
            index.unlink()
        found = inspection.inspect(self._folder, name=name)
        note = (
            f"the headers of its {len(files)} weight files are too long to read from afar: the "
            "number of parameters is an estimate"
        )
        return replace(found, size_bytes=size, notes=(*found.notes, note))

    # GGUF

    def _gguf(self, files: Sequence[Path], name: str) -> Conversation:
        models, projectors = ggufmodel.named_groups(files)
        chosen = models[0] if models else projectors[0]
        used = [*chosen, *(projectors[0] if models and projectors else ())]
        for file in files:
            if file not in used:
                file.unlink()
        notes: tuple[str, ...] = ()
        if len(models) > 1:
            notes = (f"the source holds {len(models)} models; described is {chosen[0].name}",)
        for file in used:
            whole = yield from self._gguf_header(file)
            if not whole:
                found = self._gguf_prefix(chosen)
                return replace(found, notes=(*notes, *found.notes))
        found = inspection.inspect(self._folder, name=name)
        return replace(found, notes=(*notes, *found.notes))

    def _gguf_header(self, file: Path) -> Generator[Sequence[Part], Sequence[bytes], bool]:
        """Read on until the header is whole. False where it does not fit into the budget."""
        path = self._relative(file)
        have, size = 0, self._sizes[path]
        step = _FIRST_OF_GGUF
        while have < size:
            end = min(size, have + step, have + self._left)
            if end <= have:
                return False
            yield from self._read([Part(path, have, end)])
            have = self._known[file] = end
            needs = header_needs(file, have)
            if needs <= have:
                return True
            step = max(3 * have, needs - have)
        return True

    def _gguf_prefix(self, group: Sequence[Path]) -> ModelMetadata:
        """The first file's beginning is all there is to go by."""
        size = sum(self._sizes[self._relative(part)] for part in group)
        known = self._known.get(group[0], 0)
        found = ggufmodel.describe_prefix(group[0], known, read_card(self._folder))
        return replace(found, size_bytes=size)
