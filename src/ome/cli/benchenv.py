"""genai-bench's own environment: a virtual environment that holds nothing of OME.

genai-bench brings some 110 packages (1.3 GB), many of them in versions that OME does not want, so
it never shares an environment with it. Which one is installed is fixed here, because its options
and its result files change from version to version.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENT = "genai-bench==0.0.5"
SIZE = "1.3 GB"
HIGHEST = (3, 13)
"""The first Python that genai-bench does not run on."""


def commands(folder: Path) -> list[list[str]]:
    """What makes it, in order. pip's own configuration decides where packages come from."""
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", REQUIREMENT]
    return [[sys.executable, "-m", "venv", "--clear", str(folder)], install]


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
