"""``python -m ome.cli.prepare DATA``: what ``ome up`` needs and would be too heavy to keep.

A short-lived process makes certificates, generates the CRDs and reads the catalog's YAML, and
leaves plain JSON behind, so that none of these libraries stays in the control process's memory.
It is run again only when its inputs have changed (``stamp``).
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
from pathlib import Path

import msgspec

import ome
from ome._version import __version__
from ome.apimachinery.objects import Object
from ome.cli.home import Home, replace

BUNDLE = "bundle.json"
_PR_SET_PDEATHSIG = 1


class Bundle(msgspec.Struct, frozen=True):
    """What there is to install. Objects stay bytes until they are needed, one at a time."""

    stamp: str
    crds: list[msgspec.Raw]
    catalog: list[msgspec.Raw]


def catalog_dir() -> Path:
    """The catalog of the installed package, or of the source tree."""
    package = Path(ome.__file__).parent
    installed = package / "_catalog"
    return installed if installed.is_dir() else package.parent.parent / "catalog"


def stamp() -> str:
    """Changes whenever the bundle has to be made anew."""
    package = Path(ome.__file__).parent
    inputs = sorted([*package.glob("api/*.py"), *(catalog_dir() / "runtimes").rglob("*.yaml")])
    facts = [f"{__version__} {package}"]
    for path in inputs:
        stat = path.stat()
        facts.append(f"{path.name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def host_runtimes() -> list[Path]:
    return sorted((catalog_dir() / "runtimes" / "host").glob("*.yaml"))


def main(root: str) -> None:
    from ome.api.crds import all_crds
    from ome.cli import manifests, pki

    home = Home(Path(root))
    pki.ensure(home.pki)
    catalog = [m.object for m in manifests.read([str(p) for p in host_runtimes()])]
    bundle = Bundle(stamp(), _raw(all_crds()), _raw(catalog))
    replace(home.root / "state" / BUNDLE, msgspec.json.encode(bundle))


def _raw(objects: list[Object]) -> list[msgspec.Raw]:
    return [msgspec.Raw(msgspec.json.encode(obj)) for obj in objects]


def _end_with_parent() -> None:
    """A killed ``ome up`` leaves no second writer of these files behind (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()
    main(sys.argv[1])
