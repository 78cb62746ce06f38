"""Where a model lies on this node: the path of the API, mapped to a real folder.

Any clean absolute path is accepted. Known prefixes (by default ``/raid/models``) are mapped to
where this installation keeps models; the operator and the pods know only the unmapped path. Refused
are paths with ``..`` and paths that a symbolic link leads out of the mapped folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ome.storage.errors import InvalidLocation

_CLEAN = re.compile(r"/[^\0]*")


class PathMap:
    """``prefixes``: absolute path of the API -> real folder. The longest match wins."""

    def __init__(self, prefixes: Mapping[str, Path]) -> None:
        self._prefixes = sorted(
            ((PurePosixPath(prefix), Path(folder)) for prefix, folder in prefixes.items()),
            key=lambda pair: -len(pair[0].parts),
        )

    @property
    def roots(self) -> list[Path]:
        """The real folders that prefixes are mapped to."""
        return [folder for _, folder in self._prefixes]

    def real(self, path: str) -> Path:
        """Raises ``InvalidLocation``."""
        if not _CLEAN.fullmatch(path) or ".." in PurePosixPath(path).parts:
            raise InvalidLocation(
                f"spec.storage.path {path!r} is not a clean absolute path",
                remedy="write an absolute path without '..', for example /raid/models/my-model",
            )
        given = PurePosixPath(path)
        for prefix, folder in self._prefixes:
            if given == prefix:
                raise InvalidLocation(
                    f"spec.storage.path {path!r} is the folder of all models",
                    remedy=f"write a path below it, for example {path.rstrip('/')}/my-model",
                )
            if given.is_relative_to(prefix):
                return self._inside(folder, folder / given.relative_to(prefix), path)
        if len(given.parts) < 3:
            raise InvalidLocation(
                f"spec.storage.path {path!r} is too close to the root of the filesystem",
                remedy="write a path at least two folders deep",
            )
        return Path(path)

    def existing(self, path: str) -> Path:
        """Like :meth:`real`, for a folder that is only read: no depth is asked for."""
        given = PurePosixPath(path)
        if ".." in given.parts:
            raise InvalidLocation(f"{path!r} contains '..'", remedy="write the path out")
        for prefix, folder in self._prefixes:
            if given.is_relative_to(prefix):
                return folder / given.relative_to(prefix)
        return Path(path)

    def _inside(self, folder: Path, real: Path, path: str) -> Path:
        root = folder.resolve()
        if not real.parent.resolve().is_relative_to(root):
            raise InvalidLocation(
                f"spec.storage.path {path!r} leads out of {root} through a symbolic link",
                remedy="remove the link, or choose another path",
            )
        return real
