"""Where a pod's files lie, and how paths of the pod become paths of the machine.

A host process sees the machine's file system, not one of its own. So every volume mount becomes a
link below the pod's root, and text that names a mount path (arguments, environment values) is
rewritten to name the link. A mount of a host path onto itself needs neither.

Host paths are mapped by prefix (``/raid/models`` -> the models folder). Any clean absolute path is
accepted; ``..`` is refused, and so is a mapped path that leaves its folder through a link.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BEFORE = r"(?:(?<=://)|(?<![\w.\-/~})*]))"
_AFTER = r"(?![\w.\-])"


class PathError(Exception):
    """A path in the pod that can't be used; the text says which and why."""


def clean_absolute(path: str) -> str:
    """The path without redundant slashes. Raises PathError where it isn't a clean absolute one."""
    if not path.startswith("/"):
        raise PathError(f"{path!r} is not an absolute path")
    if ".." in path.split("/"):
        raise PathError(f"{path!r} contains '..', which is not allowed")
    if "\0" in path:
        raise PathError("a path contains a NUL byte")
    return posixpath.normpath("/" + path.lstrip("/"))


def is_below(path: str, prefix: str) -> bool:
    """Whether ``path`` is ``prefix`` or lies in it, by whole segments."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def contained(base: Path, relative: str, what: str) -> Path:
    """``base/relative``, refused where it leaves ``base`` by ``..`` or through a link."""
    if relative.startswith("/") or ".." in relative.split("/"):
        raise PathError(f"{what} {relative!r} must be a relative path without '..'")
    target = base / relative
    if not target.resolve().is_relative_to(base.resolve()):
        raise PathError(f"{what} {relative!r} leaves its volume through a symbolic link")
    return target


@dataclass(frozen=True, slots=True)
class HostPathMap:
    """Prefixes of host paths and the folders that stand for them on this machine."""

    prefixes: Mapping[str, Path] = field(default_factory=dict)

    def resolve(self, path: str) -> Path:
        """Where a ``hostPath`` lies on this machine. The longest known prefix wins."""
        wanted = clean_absolute(path)
        known = [p for p in self.prefixes if is_below(wanted, clean_absolute(p))]
        if not known:
            return Path(wanted)
        prefix = max(known, key=lambda p: len(clean_absolute(p)))
        rest = wanted[len(clean_absolute(prefix).rstrip("/")) :].lstrip("/")
        folder = self.prefixes[prefix]
        return contained(folder, rest, "the host path") if rest else folder


@dataclass(frozen=True, slots=True)
class PodFiles:
    """The layout of one pod's directory."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def record(self) -> Path:
        return self.directory / "pod.json"

    def volume(self, name: str) -> Path:
        return self.directory / "volumes" / name

    def logs(self, container: str) -> Path:
        return self.directory / "logs" / container

    def log(self, container: str, attempt: int) -> Path:
        return self.logs(container) / f"{attempt}.log"


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume mount of one container, resolved: what is seen at ``path`` lies at ``source``."""

    path: str
    source: Path
    read_only: bool = False

    @property
    def identity(self) -> bool:
        return self.path == str(self.source)


@dataclass(frozen=True, slots=True)
class Rewriting:
    """How one container's text is rewritten: mount paths and where they really are."""

    places: Mapping[str, Path]

    def __call__(self, text: str) -> str:
        pattern = _pattern(tuple(self.places))
        if pattern is None or "/" not in text:
            return text
        return pattern.sub(lambda match: str(self.places[match.group(0)]), text)


def _pattern(paths: tuple[str, ...]) -> re.Pattern[str] | None:
    if not paths:
        return None
    longest_first = sorted(paths, key=len, reverse=True)
    return re.compile(_BEFORE + "(?:" + "|".join(map(re.escape, longest_first)) + ")" + _AFTER)


def plan_links(
    files: PodFiles, mounts: Mapping[str, list[Mount]]
) -> tuple[dict[Path, Path], dict[str, Rewriting]]:
    """The links to make (link -> target) and each container's rewriting.

    Containers share the root; one that mounts something else at a path already taken gets a root
    of its own. A mount inside another mount lies beside it, since a link below the outer one would
    be written into that volume.
    """
    links: dict[Path, Path] = {}
    rewritings: dict[str, Rewriting] = {}
    for container, own in mounts.items():
        wanted = [m for m in own if not m.identity]
        paths = {m.path for m in wanted}

        def place(mount: Mount, root: Path, paths: set[str] = paths) -> Path:
            outer = any(p != mount.path and is_below(mount.path, p) for p in paths)
            base = root.with_name(f"{root.name}.nested") if outer else root
            name = mount.path.strip("/").replace("/", "!") if outer else mount.path.lstrip("/")
            return base / name

        root = files.root
        if _conflicts(links, {place(m, root): m.source for m in wanted}):
            root = root.with_name(f"root.{container}")
        places: dict[str, Path] = {}
        for mount in wanted:
            if mount.path == "/":
                raise PathError("a volume can't be mounted at / of a host process")
            link = place(mount, root)
            links[link] = mount.source
            places[mount.path] = link
        rewritings[container] = Rewriting(places)
    return links, rewritings


def _conflicts(links: Mapping[Path, Path], wanted: Mapping[Path, Path]) -> bool:
    """Whether a link is taken by another target, or would lie below or above another link."""
    for link, source in wanted.items():
        if links.get(link, source) != source:
            return True
        if any(link in other.parents or other in link.parents for other in links):
            return True
    return False


def make_links(links: Mapping[Path, Path]) -> None:
    """Creates or corrects the links. Raises PathError where something else is in the way."""
    for link, target in links.items():
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if link.is_symlink():
            if str(link.readlink()) == str(target):
                continue
            link.unlink()
        elif link.exists():
            raise PathError(f"{link} exists and is not a link")
        link.symlink_to(target)
