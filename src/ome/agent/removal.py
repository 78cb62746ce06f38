"""Deleting files: only our own, only what nobody wants, never what a pod uses.

``blocker`` answers before anything is deleted; the deletion itself happens in one rename followed
by the slow part (:mod:`ome.storage.publish`), so a pod that starts in between sees all or nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ome.agent.paths import PathMap
from ome.apimachinery.objects import key_of, metadata
from ome.storage import publish
from ome.storage.errors import InvalidLocation
from ome.storage.manifest import read as read_manifest

_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<role>partial|trash|old)-[0-9a-f]{8}")
_FINISHED = ("Succeeded", "Failed")
_DEEPEST = 5


def host_paths(pod: Mapping[str, Any]) -> set[str]:
    """The node's folders that a pod has mounted; none for a pod that has ended."""
    if (pod.get("status") or {}).get("phase") in _FINISHED:
        return set()
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return {v["hostPath"]["path"] for v in volumes if (v.get("hostPath") or {}).get("path")}


def pod_using(
    pods: Iterable[Mapping[str, Any]], folder: Path, paths: PathMap, *, before: float | None = None
) -> str:
    """The name of a pod that has the folder (or what is above or below it) mounted; else empty.

    ``before``: only pods that were created before that time (seconds since the epoch).
    """
    for pod in pods:
        if before is not None and _created(pod) > before:
            continue
        for path in host_paths(pod):
            try:
                real = paths.existing(path)
            except InvalidLocation:
                continue
            if real == folder or folder in real.parents or _is_above(real, folder, paths):
                return str(key_of(pod))
    return ""


def _is_above(real: Path, folder: Path, paths: PathMap) -> bool:
    """A mount of a folder of models counts; one of all models, or of half the disk, does not:
    agents, exporters and backups have those."""
    if real not in folder.parents:
        return False
    return not any(real == root or real in root.parents for root in paths.roots)


def _created(pod: Mapping[str, Any]) -> float:
    text = metadata(pod).get("creationTimestamp") or ""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def erase(folder: Path, roots: Iterable[Path]) -> bool:
    """Delete a published model. False, and nothing happens, where the folder is not ours.

    Parent folders that become empty go too, but never one of the ``roots`` or what is above them.
    """
    if os.path.lexists(folder) and read_manifest(folder) is None:
        return False
    publish.remove_published(folder)
    for parent in folder.parents:
        if not any(root in parent.parents for root in roots):
            break
        try:
            parent.rmdir()
        except OSError:
            break
    return True


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something temporary, and the folder of the model that it belongs to."""

    path: Path
    role: str
    folder: Path


def leftovers(root: Path, models: Iterable[Path]) -> list[Leftover]:
    """Temporary folders below ``root``. ``models`` are known folders (long names are hashed)."""
    known = {(m.parent, publish.stem(m)): m for m in models}
    found = []
    level = [root]
    for _ in range(_DEEPEST):
        below: list[Path] = []
        for folder in level:
            for path in sorted(folder.iterdir()):
                match = _TEMPORARY.fullmatch(path.name)
                if match:
                    owner = known.get((folder, f".{match['stem']}"), folder / match["stem"])
                    found.append(Leftover(path, match["role"], owner))
                elif _may_hold_models(path):
                    below.append(path)
        level = below
    return found


def published(root: Path) -> list[Path]:
    """Folders below ``root`` that OME downloaded."""
    found = []
    level = [root]
    for _ in range(_DEEPEST):
        below: list[Path] = []
        for folder in level:
            for path in sorted(folder.iterdir()):
                if path.is_symlink() or not path.is_dir() or path.name.startswith("."):
                    continue
                if read_manifest(path) is not None:
                    found.append(path)
                else:
                    below.append(path)
        level = below
    return found


def _may_hold_models(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir() or path.name.startswith("."):
        return False
    return read_manifest(path) is None


def collect(
    root: Path, wanted: frozenset[Path], in_use: Callable[[Path, float], str]
) -> list[Path]:
    """Clear away what earlier lives left: unfinished downloads of models that nobody wants any
    more, and trash that no pod has mounted. Returns what was deleted."""
    gone = []
    for item in leftovers(root, wanted):
        if item.role in ("partial", "old") and item.folder in wanted:
            continue
        if item.role == "trash" and in_use(item.folder, item.path.lstat().st_ctime):
            continue
        publish.erase(item.path)
        gone.append(item.path)
    return gone
