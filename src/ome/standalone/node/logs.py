"""Reading container logs: the files that a shim writes, oldest rotation first.

Lines are ``time stream F|P text``. ``P`` marks a piece of a line longer than 16 KB. Following
survives rotation: a reader keeps its open file until that is exhausted, then takes the next one.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLLOW_INTERVAL = 0.2
BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    time: bytes
    stream: bytes
    complete: bool
    text: bytes

    @staticmethod
    def parse(raw: bytes) -> Line | None:
        parts = raw.rstrip(b"\n").split(b" ", 3)
        if len(parts) < 3 or parts[2] not in (b"F", b"P"):
            return None
        return Line(parts[0], parts[1], parts[2] == b"F", parts[3] if len(parts) > 3 else b"")

    def render(self, timestamps: bool) -> bytes:
        prefix = self.time + b" " if timestamps else b""
        return prefix + self.text + (b"\n" if self.complete else b"")


def segments(path: Path) -> list[Path]:
    """The log's files, oldest first."""
    rotated = sorted(
        (p for p in path.parent.glob(f"{path.name}.*") if p.suffix[1:].isdigit()),
        key=lambda p: int(p.suffix[1:]),
        reverse=True,
    )
    return [p for p in (*rotated, path) if p.exists()]


def read_lines(path: Path) -> Iterator[Line]:
    for segment in segments(path):
        with segment.open("rb") as file:
            for raw in file:
                if raw.endswith(b"\n") and (line := Line.parse(raw)):
                    yield line


def tail_lines(path: Path, count: int) -> list[Line]:
    """The last whole lines; reads from the end, so a large log costs nothing."""
    found: deque[Line] = deque()
    complete = 0
    for segment in reversed(segments(path)):
        for raw in _backwards(segment):
            line = Line.parse(raw)
            if line is None:
                continue
            if line.complete and complete >= count:
                return list(found)
            complete += line.complete
            found.appendleft(line)
    return list(found)


def _backwards(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        first = True
        while position > 0:
            size = min(BLOCK, position)
            position -= size
            file.seek(position)
            pieces = (file.read(size) + rest).split(b"\n")
            rest = pieces[0]
            for piece in reversed(pieces[1:]):
                if first:
                    first = False  # what follows the last newline is not a line yet
                    continue
                yield piece
        if rest and not first:
            yield rest


def last_text(path: Path, lines: int = 20, limit: int = 2048) -> str:
    """The end of a log for a status message, at most ``limit`` characters."""
    text = b"".join(line.render(False) for line in tail_lines(path, lines)) if lines else b""
    return text.decode("utf-8", "replace").rstrip("\n")[-limit:]


async def stream(
    path: Path,
    *,
    follow: bool = False,
    tail: int | None = None,
    since: dt.datetime | None = None,
    timestamps: bool = False,
    limit_bytes: int | None = None,
    finished: Callable[[], bool] = lambda: True,
) -> AsyncIterator[bytes]:
    """The log as ``kubectl logs`` shows it. Ends, when following, after ``finished()`` is true and
    everything was read."""
    left = limit_bytes if limit_bytes is not None else -1
    async for line in _selected(path, follow, tail, since, finished):
        data = line.render(timestamps)
        if left >= 0:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if left == 0:
            return


async def _selected(
    path: Path,
    follow: bool,
    tail: int | None,
    since: dt.datetime | None,
    finished: Callable[[], bool],
) -> AsyncIterator[Line]:
    earliest = since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S").encode() if since else b""
    cursor = _Cursor(path)
    shown = b""
    try:
        if tail is not None:
            # What arrives between the two steps may be seen by both: the stamp tells.
            cursor.to_end()
            for line in tail_lines(path, tail) if tail > 0 else ():
                shown = line.time
                if line.time >= earliest:
                    yield line
            if not follow:
                return
        while True:
            over = finished()
            count = 0
            for line in cursor.read():
                count += 1
                if line.time >= earliest and line.time > shown:
                    yield line
                if count % 512 == 0:
                    await asyncio.sleep(0)
            if count == 0 and (over or not follow):
                return
            if count == 0:
                await asyncio.sleep(FOLLOW_INTERVAL)
    finally:
        cursor.close()


class _Cursor:
    """A position in a log that rotates."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.rest = b""
        self._open_oldest()

    def _open_oldest(self) -> None:
        for candidate in segments(self.path):
            try:
                self.fd = os.open(candidate, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            return

    def to_end(self) -> None:
        self.close()
        if self.path.exists():
            self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            end = os.lseek(self.fd, 0, os.SEEK_END)
            start = max(0, end - BLOCK)
            os.lseek(self.fd, start, os.SEEK_SET)
            self.rest = os.read(self.fd, end - start).rpartition(b"\n")[2]

    def read(self) -> Iterator[Line]:
        """Lines up to the present end of the newest file."""
        while True:
            if self.fd < 0:
                self._open_oldest()
                if self.fd < 0:
                    return
            data = os.read(self.fd, BLOCK)
            if not data:
                if not self._advance():
                    return
                continue
            pieces = (self.rest + data).split(b"\n")
            self.rest = pieces.pop()
            for piece in pieces:
                if line := Line.parse(piece):
                    yield line

    def _advance(self) -> bool:
        """Moves to the file after this one, if this one was rotated away."""
        mine = os.fstat(self.fd)
        found = False
        for candidate in segments(self.path):
            try:
                info = candidate.stat()
            except FileNotFoundError:
                continue
            if found or mine.st_nlink == 0:
                # Once more: it may have grown between the last read and the rotation.
                if data := os.read(self.fd, BLOCK):
                    os.lseek(self.fd, -len(data), os.SEEK_CUR)
                    return True
                os.close(self.fd)
                self.fd = os.open(candidate, os.O_RDONLY | os.O_CLOEXEC)
                return True
            found = (info.st_ino, info.st_dev) == (mine.st_ino, mine.st_dev)
        return False

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
