"""genai-bench in an environment of its own, made once and kept with the tests' downloads.

About 130 packages and 1.5 GB: a minute or two from a near index. ``OME_BENCH_VENV`` names one that
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
def folder() -> Path:
    """The environment. Fails loudly where it can't be made."""
    given = os.environ.get("OME_BENCH_VENV")
    if given:
        assert benchenv.version(Path(given) / "bin" / "python"), f"{given} has no genai-bench"
        return Path(given)
    found = cache() / "genai-bench"
    if not benchenv.is_complete(found):
        base = benchenv.base_python()
        assert base, "THE TIER OF BENCHMARKS DID NOT RUN: genai-bench needs Python 3.11 or 3.12"
        for command in benchenv.commands(found, base):
            subprocess.run(command, check=True, timeout=900)
        benchenv.finish(found)
    return found


def python() -> Path:
    return folder() / "bin" / "python"
