"""The one small interface between the transfer engine and the places where models lie.

A :class:`Source` can list its files with sizes and hashes, and read a range of one of them. That
is all the engine knows about a hub, a bucket or a package index. ``list`` pins what it saw: a
branch that moves during the download does not mix two versions, because reads go to
:attr:`Source.revision`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from ome.storage.errors import UnsafeName


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A storage URI in pieces, as the caller's parser split it.

    ``container`` is the hub's repository, the bucket, or the vendor; ``path`` what follows it:
    a folder in the repository, a key prefix, ``<distribution>/<member>``, or a local path.
    ``parameters`` are the model's ``storage.parameters``. ``credentials`` never leave this object
    except towards the source itself.
    """

    scheme: str
    uri: str
    container: str = ""
    path: str = ""
    revision: str = ""
    region: str = ""
    account: str = ""
    namespace: str = ""
    mounted: str = ""
    """Where a claim is mounted on this machine; said by the caller, never by a model."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a source. ``path`` is relative, with forward slashes. An empty hash is unknown.

    ``git_sha1`` is git's hash of the blob, which hubs give for small files instead of a sha256;
    ``md5`` (in hex) what object storages know. The strongest one that is known is not enough: all
    that are given are checked.
    ``version`` is whatever lets the source notice that the file changed (an ETag for example).
    """

    path: str
    size: int
    sha256: str = ""
    git_sha1: str = ""
    version: str = ""
    md5: str = ""


@runtime_checkable
class Source(Protocol):
    """Where a model lies. One task may call ``list`` once; then many may ``read`` at once."""

    uri: str
    ranged: bool
    """False where a file can only be read from its first byte to its last."""

    @property
    def revision(self) -> str:
        """What ``list`` pinned: a commit, a version; empty where the place has none."""
        ...

    async def list(self) -> Sequence[FileEntry]:
        """All files. Raises a :class:`StorageError`."""
        ...

    def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` (exclusive), in order, in pieces of any size.

        Raises a :class:`StorageError`. Ending early without one is possible: the engine counts.
        """
        ...

    async def close(self) -> None: ...


class Stage(Protocol):
    """What a source that must fetch something before it can list may use."""

    scratch: Path

    def need(self, size: int) -> None:
        """Raises ``NotEnoughDisk`` where ``size`` more bytes do not fit."""
        ...

    def progress(self, completed: int, total: int, current: str) -> None: ...


@runtime_checkable
class Staged(Protocol):
    """A source that first brings something (a package) into the scratch folder."""

    async def prepare(self, stage: Stage) -> None: ...


def safe_relative(path: str) -> str:
    """The path, if it stays inside the folder that it is relative to. Raises ``UnsafeName``."""
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or "\\" in path
        or "\0" in path
        or any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode()) > 255 for part in parts)
        or parts[0] == MANIFEST_NAME
    ):
        raise UnsafeName(
            f"the source names a file {path!r}, which would leave the model's folder",
            remedy="do not use this source; report it to whoever publishes it",
        )
    return path


MANIFEST_NAME = ".ome-manifest.json"
