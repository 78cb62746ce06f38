"""genai-bench in an environment of its own, made once and kept with the tests' downloads.

About 110 packages and 1.3 GB: a minute or two from a near index. ``OME_BENCH_VENV`` names one that
is there already.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from tests.standalone.smollm import cache

from ome.cli import benchenv


@functools.cache
def python() -> Path:
    """Its Python. Fails loudly where it can't be made."""
    given = os.environ.get("OME_BENCH_VENV")
    folder = Path(given) if given else cache() / "genai-bench"
    found = folder / "bin" / "python"
    if benchenv.version(found) is None:
        for command in benchenv.commands(folder):
            subprocess.run(command, check=True, timeout=900)
    assert benchenv.version(found), f"{found} has no genai-bench"
    return found
