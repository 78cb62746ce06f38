"""``local://`` and ``pvc://`` as sources: a folder of this machine, read like any other storage.

A claim is a folder only where a pod mounts it; whoever runs there says where
(:attr:`SourceSpec.mounted`). Links are followed as long as they end inside the folder: a claim may
have been filled by somebody else, and must not show this machine's own files. For ``local://``
the folder's owner is the machine's, and links may lead anywhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from ome.storage.errors import InvalidLocation, SourceChanged, SourceNotFound, UnsafeName
from ome.storage.local import check_local
from ome.storage.source import MANIFEST_NAME, FileEntry, SourceSpec

_PIECE = 1024 * 1024
_MOST_FILES = 1_000_000


class FolderSource:
    """The regular files below ``root``. ``confined``: links must not leave it."""

    ranged = True
    revision = ""

    def __init__(self, uri: str, root: Path, *, confined: bool) -> None:
        self.uri = uri
        self._root = root
        self._confined = confined

    async def list(self) -> Sequence[FileEntry]:
        return await asyncio.to_thread(self._list)

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        descriptor = await asyncio.to_thread(self._open, entry)
        try:
            while start < end:
                piece = await asyncio.to_thread(
                    os.pread, descriptor, min(_PIECE, end - start), start
                )
                if not piece:
                    raise _changed(entry)
                start += len(piece)
                yield piece
        finally:
            os.close(descriptor)

    async def close(self) -> None:
        return None

    def _open(self, entry: FileEntry) -> int:
        path = self._inside(self._root / entry.path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _changed(entry) from error
        if _version(os.fstat(descriptor)) != entry.version:
            os.close(descriptor)
            raise _changed(entry)
        return descriptor

    def _list(self) -> Sequence[FileEntry]:
        root = check_local(self._root, self.uri)
        found = []
        for path in _files(root):
            status = self._inside(path).stat()
            name = path.relative_to(root).as_posix()
            if name != MANIFEST_NAME:
                found.append(FileEntry(name, status.st_size, version=_version(status)))
            if len(found) > _MOST_FILES:
                raise InvalidLocation(
                    f"{root} holds more than {_MOST_FILES} files", remedy="name a model's folder"
                )
        if not found:
            raise SourceNotFound(f"{root} holds no files", remedy="put the model's files there")
        return found

    def _inside(self, path: Path) -> Path:
        if not self._confined:
            return path
        real = path.resolve()
        if not real.is_relative_to(self._root.resolve()):
            raise UnsafeName(
                f"{path.relative_to(self._root)} in {self.uri} is a link that leaves the folder",
                remedy="replace it with the file itself",
            )
        return real


def open_local(spec: SourceSpec) -> FolderSource:
    path = Path(spec.path)
    if not path.is_absolute():
        raise InvalidLocation(
            f"{spec.uri} is relative, and nobody knows to what", remedy="write local:///PATH"
        )
    return FolderSource(spec.uri, path, confined=False)


def open_claim(spec: SourceSpec) -> FolderSource:
    if not spec.mounted:
        raise InvalidLocation(
            f"{spec.uri} is a claim, which only a pod that mounts it can read",
            remedy="run this in such a pod and say where the claim is mounted",
        )
    return FolderSource(spec.uri, Path(spec.mounted) / spec.path, confined=True)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_file():
                yield path


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _changed(entry: FileEntry) -> SourceChanged:
    return SourceChanged(
        f"{entry.path} changed while it was read", remedy="OME lists the folder again"
    )
