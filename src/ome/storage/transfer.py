"""Bringing a model to disk: listed, reserved, fetched, verified, inspected, published.

:func:`download` is the whole life of one transfer. What it guarantees:

* Whoever looks at the destination sees a complete, verified model or what was there before.
* Space is checked and reserved before the first byte.
* Killed at any moment, the next call with the same source goes on; nothing but
  ``.<name>.partial-*`` is left beside the destination, and nothing at all after a failure that
  trying again can't cure.
* Files that another published folder holds with the same sha256 are linked, not fetched.
* A folder that OME did not make is never replaced, unless most of what it should hold is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome.storage import disk, manifest, publish
from ome.storage.engine import Engine, Options
from ome.storage.errors import (
    DestinationOccupied,
    NotEnoughDisk,
    RateLimited,
    ServerFailed,
    SourceNotFound,
    StorageError,
    Unreachable,
    redact,
)
from ome.storage.journal import Journal, identity
from ome.storage.manifest import Manifest
from ome.storage.meter import Meter, Progress
from ome.storage.pace import Backoff
from ome.storage.source import MANIFEST_NAME, FileEntry, Source, Staged, safe_relative
from ome.storage.verify import file_matches

_KEEP_FREE = 256 * 1024 * 1024
_LIST_ATTEMPTS = 3


async def download(
    source: Source,
    destination: Path,
    *,
    options: Options | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    inspect: Callable[[Path], None] = lambda _: None,
    reuse: Sequence[Path] = (),
    keep_replaced: bool = False,
    clock: Callable[[], float] = time.time,
    rng: random.Random | None = None,
) -> Manifest:
    """Make ``destination`` hold exactly the source's files. Raises a :class:`StorageError`.

    ``inspect`` looks at the complete folder before it is published, in a thread; what it raises
    ends the transfer. ``reuse`` are published folders whose files may be linked instead of fetched.
    ``report`` is called from the event loop, every ``options.report_every`` seconds.
    """
    with _parents(destination), publish.lock(destination):
        publish.recover(destination)
        if not keep_replaced:
            publish.empty_trash(destination)
        work = _Transfer(
            source,
            destination,
            options or Options(),
            inspect=inspect,
            reuse=reuse,
            keep_replaced=keep_replaced,
            clock=clock,
            rng=rng or random.Random(),
        )
        reporter = asyncio.create_task(work.report(report))
        try:
            return await work.run()
        finally:
            reporter.cancel()
            await asyncio.gather(reporter, return_exceptions=True)
            report(work.meter.snapshot())


@contextlib.contextmanager
def _parents(destination: Path) -> Iterator[None]:
    """The folders above the destination; those made here go again if they stay empty."""
    made = [folder for folder in destination.parents if not folder.exists()]
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


class _Transfer:
    def __init__(
        self,
        source: Source,
        destination: Path,
        options: Options,
        *,
        inspect: Callable[[Path], None],
        reuse: Sequence[Path],
        keep_replaced: bool,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._source = source
        self._destination = destination
        self._options = options
        self._inspect = inspect
        self._reuse = reuse
        self._keep_replaced = keep_replaced
        self._clock = clock
        self._rng = rng
        self._selection = (options.include, options.exclude)
        name = json.dumps([source.uri, self._selection])
        ident = hashlib.sha256(name.encode()).hexdigest()[:8]
        self._partial = publish.sibling(destination, "partial", ident)
        self.scratch = self._partial / "scratch"
        self._tree = self._partial / "tree"
        self.meter = Meter(clock)
        self._digests: dict[str, str] = {}

    async def run(self) -> Manifest:
        """One attempt. After a failure only what the next attempt can use is kept."""
        for stale in publish.siblings(self._destination, "partial"):
            if stale != self._partial:
                publish.erase(stale)
        kept = False
        try:
            result = await self._attempt()
        except asyncio.CancelledError:
            kept = True
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NotEnoughDisk(
                    f"the disk of {self._destination.parent} filled up during the download",
                    remedy="free some space there; OME tries again by itself",
                ) from error
            raise
        except StorageError as error:
            kept = error.retryable and not isinstance(error, NotEnoughDisk) and self._has_bytes()
            raise
        finally:
            if not kept:
                publish.erase(self._partial)
        return result

    async def report(self, report: Callable[[Progress], None]) -> None:
        while True:
            report(self.meter.snapshot())
            await asyncio.sleep(self._options.report_every)

    # What a source that must fetch a package first may use (storage.source.Stage).

    def need(self, size: int) -> None:
        disk.require_space(
            self._destination.parent,
            size,
            what=self._source.uri,
            keep_free=self._keep_free(),
        )

    def progress(self, completed: int, total: int, current: str) -> None:
        if self.meter.phase != "downloading":
            self.meter.begin("downloading")
        self.meter.total_bytes = total
        self.meter.current_file = current
        if completed > self.meter.completed_bytes:
            self.meter.arrived(completed - self.meter.completed_bytes)

    async def _attempt(self) -> Manifest:
        self.scratch.mkdir(parents=True, exist_ok=True)
        present = manifest.read(self._destination)
        try:
            files = select(await self._listed(), *self._selection, self._source.uri)
        except Unreachable:
            if present is not None and self._still_good(present):
                return present
            raise
        wanted = Manifest(self._source.uri, self._source.revision, tuple(files), self._selection)
        if present is not None and self._same(present, wanted):
            return present
        await asyncio.to_thread(self._check_destination, files, present)
        return await self._bring(wanted)

    async def _listed(self) -> Sequence[FileEntry]:
        """The source's files; short trouble is waited out here, long trouble is the caller's."""
        backoff = Backoff(self._options.retry_base, self._options.retry_cap, self._rng)
        while True:
            try:
                if isinstance(self._source, Staged):
                    await self._source.prepare(self)
                return await self._source.list()
            except (Unreachable, ServerFailed, RateLimited) as error:
                wait = backoff.next(error.retry_after)
                if backoff.attempt >= _LIST_ATTEMPTS or wait > self._options.retry_cap:
                    raise
            await asyncio.sleep(wait)

    async def _bring(self, wanted: Manifest) -> Manifest:
        header = identity(wanted.uri, wanted.revision, wanted.files)
        journal = Journal(self._partial / "journal", header, len(wanted.files))
        try:
            if not journal.resumed:
                publish.erase(self._tree)
            self._tree.mkdir(exist_ok=True)
            await self._link_known(wanted.files, journal)
            if (adopted := await self._adopt(wanted)) is not None:
                return adopted
            staged = isinstance(self._source, Staged) and self.meter.total_bytes > 0
            self._begin(wanted, keep_counts=staged)
            meter = Meter(self._clock) if staged else self.meter
            self._require_space(wanted.files)
            engine = Engine(
                self._source,
                wanted.files,
                self._tree,
                journal,
                meter,
                self._options,
                clock=self._clock,
                rng=self._rng,
            )
            files = await engine.run()
        finally:
            journal.close()
        self.meter.begin("finalizing")
        self.meter.completed_files = len(files)
        await asyncio.to_thread(self._inspect, self._tree)
        result = replace(wanted, files=tuple(files))
        manifest.write(self._tree, result)
        await asyncio.to_thread(
            publish.publish, self._tree, self._destination, keep_replaced=self._keep_replaced
        )
        return result

    def _begin(self, wanted: Manifest, *, keep_counts: bool) -> None:
        """Set the totals. What a staged source has told of is here already; the rest is local."""
        self.meter.total_files = len(wanted.files)
        if keep_counts:
            self.meter.total_bytes = max(self.meter.total_bytes, self.meter.completed_bytes)
            self.meter.completed_bytes = self.meter.total_bytes
            self.meter.begin("finalizing")
            return
        self.meter.total_bytes = wanted.size
        self.meter.begin("downloading")

    def _same(self, present: Manifest, wanted: Manifest) -> bool:
        if (present.uri, present.selection) != (redact(wanted.uri), wanted.selection):
            return False
        if present.revision != wanted.revision:
            return False
        have = {f.path: f for f in present.files}
        if len(have) != len(wanted.files):
            return False
        for entry in wanted.files:
            other = have.get(entry.path)
            if other is None or other.size != entry.size:
                return False
            if entry.sha256 and other.sha256 != entry.sha256.lower():
                return False
        return manifest.matches(self._destination, wanted.files)

    def _still_good(self, present: Manifest) -> bool:
        """What is published came from here and is whole: good enough while there is no network."""
        return (
            present.uri == redact(self._source.uri)
            and present.selection == self._selection
            and manifest.matches(self._destination, present.files)
        )

    def _check_destination(self, files: Sequence[FileEntry], present: Manifest | None) -> None:
        for parent in self._destination.parents:
            if (parent / MANIFEST_NAME).is_file():
                raise DestinationOccupied(
                    f"{self._destination} lies inside {parent}, which holds another model",
                    remedy="give one of the two models another spec.storage.path",
                )
        if present is not None or not self._destination.is_dir():
            if present is None and os.path.lexists(self._destination):
                if self._destination.is_symlink():
                    return
                raise DestinationOccupied(
                    f"{self._destination} exists and is not a folder",
                    remedy="move it away, or give the model another spec.storage.path",
                )
            return
        if not any(self._destination.iterdir()):
            return
        for nested in self._destination.rglob(MANIFEST_NAME):
            raise DestinationOccupied(
                f"{self._destination} contains {nested.parent}, which holds another model",
                remedy="give one of the two models another spec.storage.path",
            )
        same = sum(f.size for f in files if _has_size(self._destination / f.path, f.size))
        if same * 2 <= sum(f.size for f in files):
            raise DestinationOccupied(
                f"{self._destination} exists and holds files that OME did not download",
                remedy="move it away, use local://, or give the model another spec.storage.path",
            )

    async def _link_known(self, files: Sequence[FileEntry], journal: Journal) -> None:
        """Hard-link files that are on this disk already. They are verified like all others."""
        known = _known_files([self._destination, *self._reuse])
        for index, entry in enumerate(files):
            if journal.done[index].total():
                continue
            found = known.get(_content(entry)) if entry.size else None
            if found is None:
                own = self._destination / entry.path
                digest = None if own.is_symlink() else await file_matches(entry, own)
                if digest is None:
                    continue
                self._digests[entry.path] = digest
                found = own
            if not entry.size:
                continue
            target = self._tree / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
                os.link(found, target, follow_symlinks=False)
                journal.record(index, 0, entry.size)

    async def _adopt(self, wanted: Manifest) -> Manifest | None:
        """A folder without manifest that holds exactly these files becomes ours as it stands.

        It is not exchanged, because pods that run may have it mounted.
        """
        if set(self._digests) != {entry.path for entry in wanted.files}:
            return None
        if self._destination.is_symlink() or manifest.read(self._destination) is not None:
            return None
        await asyncio.to_thread(self._inspect, self._destination)
        files = tuple(replace(f, sha256=self._digests[f.path]) for f in wanted.files)
        adopted = replace(wanted, files=files)
        manifest.write(self._destination, adopted)
        return adopted

    def _require_space(self, files: Iterable[FileEntry]) -> None:
        missing = 0
        for entry in files:
            try:
                allocated = (self._tree / entry.path).stat().st_blocks * 512
            except OSError:
                allocated = 0
            missing += max(0, entry.size - allocated)
        self.need(missing)

    def _keep_free(self) -> int:
        stats = os.statvfs(self._destination.parent)
        return min(_KEEP_FREE, stats.f_blocks * stats.f_frsize // 100)

    def _has_bytes(self) -> bool:
        """Whether the next attempt could use anything of this one."""
        try:
            lines = (self._partial / "journal").read_bytes().count(b"\n")
        except OSError:
            lines = 0
        return lines > 1 or (self.scratch.is_dir() and any(self.scratch.iterdir()))


def select(
    files: Sequence[FileEntry], include: tuple[str, ...], exclude: tuple[str, ...], uri: str
) -> list[FileEntry]:
    """The files that the patterns leave. Raises ``UnsafeName`` and ``SourceNotFound``."""
    chosen: dict[str, FileEntry] = {}
    for entry in files:
        safe_relative(entry.path)
        if include and not _matches(entry.path, include):
            continue
        if not _matches(entry.path, exclude):
            chosen[entry.path] = entry
    if not chosen:
        raise SourceNotFound(
            f"{uri} holds no files"
            + (" that the include and exclude patterns leave" if include or exclude else ""),
            remedy="check the storage URI" + (" and the patterns" if include else ""),
        )
    # Small files first: a wrong or gated repository shows at once.
    return sorted(chosen.values(), key=lambda f: (f.size > 1024 * 1024, f.path))


def _matches(path: str, patterns: Iterable[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(
        fnmatch.fnmatchcase(path, p)
        or fnmatch.fnmatchcase(name, p)
        or (p.endswith("/") and path.startswith(p))
        for p in patterns
    )


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _content(entry: FileEntry) -> tuple[str, int]:
    """What names a file's content: its sha256, or git's hash where the source gives only that."""
    return entry.sha256.lower() or f"git:{entry.git_sha1.lower()}", entry.size


def _known_files(folders: Iterable[Path]) -> dict[tuple[str, int], Path]:
    known: dict[tuple[str, int], Path] = {}
    for folder in folders:
        found = manifest.read(folder)
        for entry in found.files if found else ():
            path = folder / entry.path
            if path.is_symlink() or not _has_size(path, entry.size):
                continue
            if entry.sha256:
                known.setdefault(_content(entry), path)
            if entry.git_sha1:
                known.setdefault(_content(replace(entry, sha256="")), path)
    return known


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The manifest of a published folder as JSON, for people and reports."""
    found = manifest.read(folder)
    return found.to_json() if found else None
