"""A model appears under its name all at once, and disappears all at once.

For a model at ``<parent>/<name>`` everything temporary is a sibling on the same filesystem::

    .<name>.partial-<id>/   an unfinished download (journal, scratch, tree)
    .<name>.old-<id>/       what was published before, between two renames
    .<name>.trash-<id>/     on its way out
    .<name>.lock            held by whoever works on the name

Where the kernel can exchange two names in one step (Linux ``renameat2``), a reader never sees a
moment without the model. Elsewhere there are two renames; :func:`recover` finishes or undoes what a
crash left between them. Nothing here follows a symbolic link.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ome.storage import disk
from ome.storage.errors import Busy

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def stem(destination: Path) -> str:
    """The name that temporary siblings start with: short enough for a suffix to fit."""
    raw = destination.name.encode()
    if len(raw) <= 200:
        return f".{destination.name}"
    return f".{hashlib.sha256(raw).hexdigest()[:16]}-{destination.name[-64:]}"


def sibling(destination: Path, role: str, ident: str) -> Path:
    return destination.with_name(f"{stem(destination)}.{role}-{ident}")


def siblings(destination: Path, role: str) -> list[Path]:
    prefix = f"{stem(destination)}.{role}-"
    if not destination.parent.is_dir():
        return []
    return sorted(p for p in destination.parent.iterdir() if p.name.startswith(prefix))


def publish(tree: Path, destination: Path, *, keep_replaced: bool = False) -> None:
    """Make the finished folder ``tree`` appear as ``destination``, replacing what is there.

    A running pod may still have the replaced folder mounted. With ``keep_replaced`` it stays as
    ``.<name>.trash-<id>`` until the caller knows better.
    """
    disk.sync_tree(tree)
    if not os.path.lexists(destination):
        tree.rename(destination)
        disk.sync_directory(destination.parent)
        return
    if exchange(tree, destination):
        disk.sync_directory(destination.parent)
        discard(tree, destination, keep=keep_replaced)
        return
    old = sibling(destination, "old", uuid.uuid4().hex[:8])
    destination.rename(old)
    tree.rename(destination)
    disk.sync_directory(destination.parent)
    discard(old, destination, keep=keep_replaced)


def recover(destination: Path) -> None:
    """Bring back what a crash between two renames hid. Trash stays: see :func:`empty_trash`."""
    for old in siblings(destination, "old"):
        if os.path.lexists(destination):
            discard(old, destination, keep=True)
        else:
            old.rename(destination)


def empty_trash(destination: Path) -> None:
    for trash in siblings(destination, "trash"):
        erase(trash)


def discard(path: Path, destination: Path, *, keep: bool = False) -> None:
    """Remove ``path`` so that nobody ever sees half of it: rename first, then delete."""
    trash = sibling(destination, "trash", uuid.uuid4().hex[:8])
    try:
        path.rename(trash)
    except FileNotFoundError:
        return
    if not keep:
        erase(trash)


def erase(path: Path) -> None:
    """Delete a file, link or folder; a link is deleted, never followed."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return


def remove_published(destination: Path) -> bool:
    """Delete a published model and everything temporary beside it. False where nothing was."""
    found = os.path.lexists(destination)
    discard(destination, destination)
    for role in ("partial", "old", "trash"):
        for leftover in siblings(destination, role):
            found = True
            erase(leftover)
    destination.with_name(f"{stem(destination)}.lock").unlink(missing_ok=True)
    return found


@contextlib.contextmanager
def lock(destination: Path) -> Iterator[None]:
    """Only one process works on a name. Raises ``Busy``; a killed holder holds nothing."""
    path = destination.with_name(f"{stem(destination)}.lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise Busy(
                f"another process is working on {destination}",
                remedy="wait for it, or stop it; OME tries again by itself",
            ) from error
        if _still_there(path, descriptor):
            break
        os.close(descriptor)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _still_there(path: Path, descriptor: int) -> bool:
    """False where the previous holder unlinked the file between our open and our lock."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step. False where this system or filesystem cannot."""
    function = _renameat2()
    if function is None:
        return False
    result = function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(one))


@cache
def _renameat2() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_int
    return function
