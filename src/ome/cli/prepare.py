"""``python -m ome.cli.prepare DATA``: what ``ome up`` needs and would be too heavy to keep.

A short-lived process makes certificates, generates the CRDs and reads the catalog's YAML, and
leaves plain JSON behind, so that none of these libraries stays in the control process's memory.
It is run again only when its inputs have changed (``stamp``), and beside the imports of the control
process (``begin``, ``finish``), which take as long.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

import ome
from ome._version import __version__
from ome.apimachinery.objects import Object
from ome.cli.errors import CliError
from ome.cli.home import Home, replace

BUNDLE = "bundle.json"
_PR_SET_PDEATHSIG = 1
_CERTIFICATE_SECONDS = 300 * 86400


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


def begin(home: Home) -> subprocess.Popen[bytes] | None:
    """Starts the process, unless all is there and up to date. The lock of ``home`` is held."""
    if _is_fresh(home):
        return None
    # Python's own allocator is the faster one for what lives half a second (ome.cli.frugal).
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"}
    return subprocess.Popen(
        [sys.executable, "-m", "ome.cli.prepare", str(home.root)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the control process
        env=environment,
    )


def finish(process: subprocess.Popen[bytes] | None, home: Home) -> None:
    """Waits until all is there. Raises CliError with the reason where it could not be made."""
    if process is None:
        return
    try:
        _, said = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CliError(f"preparing certificates and CRDs failed: {lines[-1]}", where=str(home.root))


def _is_fresh(home: Home) -> bool:
    bundle = home.root / "state" / BUNDLE
    made = [bundle, *(home.pki / name for name in ("ca.crt", "server.crt", "server.key", "token"))]
    if not all(path.exists() for path in made):
        return False
    age = time.time() - (home.pki / "server.crt").stat().st_mtime
    return age < _CERTIFICATE_SECONDS and stamp().encode() in bundle.read_bytes()[:64]


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
