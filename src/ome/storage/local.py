"""``local://``: a folder that is on the node already. Nothing is copied and nothing is deleted."""

from __future__ import annotations

import os
from pathlib import Path

from ome.storage.errors import AccessDenied, InvalidLocation, SourceNotFound


def check_local(path: Path, uri: str) -> Path:
    """The existing folder. Raises a ``StorageError`` that says what is wrong with it."""
    if ".." in path.parts:
        raise InvalidLocation(f"{uri} contains '..'", remedy="write the path out")
    if not path.exists():
        raise SourceNotFound(
            f"{path} does not exist on this machine (from {uri})",
            remedy="create it there, or correct the storage URI",
        )
    if not path.is_dir():
        raise InvalidLocation(
            f"{path} is a file (from {uri})",
            remedy=f"name the folder that holds it: {path.parent}",
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise AccessDenied(
            f"{path} can't be read by this user", remedy="give the user that runs OME access"
        )
    if not any(path.iterdir()):
        raise SourceNotFound(f"{path} is empty", remedy="put the model's files there")
    return path
