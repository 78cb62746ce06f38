"""genai-bench's own environment: a virtual environment that holds nothing of OME.

genai-bench brings some 130 packages (1.5 GB), many of them in versions that OME does not want, so
it never shares an environment with it. Which one is installed is fixed here, because its options
and its result files change from version to version; the packages that it brings are fixed beside
this file, because what was tried is what should be installed. A note in the environment says what
it holds; it is written last, so an installation that was stopped is begun anew.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

REQUIREMENT = "genai-bench[multi-cloud]==0.0.5"
"""Also the extra ``bench`` in pyproject.toml. The clouds are those that results can be sent to."""
SIZE = "1.5 GB"
LOWEST, HIGHEST = (3, 11), (3, 13)
"""Pythons that genai-bench runs on, the second one excluded."""
_NOTE = "ome-requirement.txt"
_LOOK = "import sys; print(*sys.version_info[:2])"


def constraints() -> Path:
    """Versions of all packages, from ``make lock``."""
    return Path(str(files("ome.cli").joinpath("benchpackages.txt")))


def commands(folder: Path, python: str) -> list[list[str]]:
    """What makes it, in order. pip's own configuration decides where packages come from."""
    own = str(folder / "bin" / "python")
    # Compiling all of it to bytecode takes as long as the rest; what is used is compiled once then.
    install = [own, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    return [
        [python, "-m", "venv", "--clear", str(folder)],
        [*install, "--constraint", str(constraints()), REQUIREMENT],
    ]


def finish(folder: Path) -> None:
    """Notes that everything is there."""
    (folder / _NOTE).write_text(f"{REQUIREMENT}\n")


def is_complete(folder: Path) -> bool:
    """Whether it holds what this version of OME wants."""
    try:
        noted = (folder / _NOTE).read_text().strip()
    except OSError:
        return False
    return noted == REQUIREMENT and version(folder / "bin" / "python") is not None


def base_python(given: str = "") -> str | None:
    """A Python that genai-bench runs on: ``given``, our own, or one on PATH; None if there is
    none."""
    names = [given] if given else [sys.executable]
    if not given:
        names += [f"python3.{minor}" for minor in range(HIGHEST[1] - 1, LOWEST[1] - 1, -1)]
    for name in names:
        found = shutil.which(name)
        if found and _fits(found):
            return found
    return None


def _fits(python: str) -> bool:
    try:
        said = subprocess.run(
            [python, "-c", _LOOK], capture_output=True, text=True, timeout=60, check=False
        )
        major, minor = said.stdout.split()
        return LOWEST <= (int(major), int(minor)) < HIGHEST
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return False


def version(python: Path) -> str | None:
    """The genai-bench of that Python; None where there is none."""
    look = "import importlib.metadata as m; print(m.version('genai-bench'))"
    try:
        said = subprocess.run(
            [str(python), "-c", look], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None
