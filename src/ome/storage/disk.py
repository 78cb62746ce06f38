"""Space on disk: checked and reserved before the first byte, and made durable at the end."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ome.storage.errors import NotEnoughDisk, human_bytes


def free_bytes(path: Path) -> int:
    """What an ordinary process may still write on the filesystem of ``path``."""
    stats = os.statvfs(path)
    return stats.f_bavail * stats.f_frsize


def require_space(path: Path, size: int, *, what: str, keep_free: int = 0) -> None:
    """Raises ``NotEnoughDisk`` where ``size`` bytes do not fit and leave ``keep_free``."""
    free = free_bytes(path)
    if size + keep_free <= free:
        return
    margin = f" and {human_bytes(keep_free)} that must stay free" if keep_free else ""
    raise NotEnoughDisk(
        f"not enough disk for {what}: needs {human_bytes(size)}{margin}, "
        f"free {human_bytes(free)} on {path}",
        remedy="free some space there, or set the model's spec.storage.path (or the models root) "
        "to a larger disk; OME tries again by itself",
    )


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    return function


def reserve(descriptor: int, size: int, path: Path) -> None:
    """Give the open file its full size, with its blocks where the filesystem can do that.

    ``os.posix_fallocate`` is not used: where the filesystem has no such call, the C library writes
    every block instead, which for a large model takes as long as downloading it.
    """
    if size <= 0 or os.fstat(descriptor).st_size == size:
        return
    allocate = _fallocate()
    if allocate is not None and allocate(descriptor, 0, 0, size) != 0:
        code = ctypes.get_errno()
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughDisk(
                f"not enough disk: {human_bytes(size)} could not be reserved on {path.parent} "
                f"({human_bytes(free_bytes(path.parent))} free)",
                remedy="free some space there; OME tries again by itself",
            )
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), str(path))
    os.ftruncate(descriptor, size)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Every file and folder below ``root``, and ``root``, reach the disk."""
    for folder, _, files in os.walk(root):
        for name in files:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(folder))
