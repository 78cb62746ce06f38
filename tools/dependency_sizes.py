"""Prints what each installed distribution takes on disk, with its licence.

.venv/bin/python tools/dependency_sizes.py
"""

from __future__ import annotations

import importlib.metadata as metadata
from pathlib import Path


def megabytes(distribution: metadata.Distribution) -> float:
    """Size of the installed files, without compiled bytecode."""
    paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    return sum(p.stat().st_size for p in paths if p.suffix != ".pyc" and p.is_file()) / 1e6


def licence(distribution: metadata.Distribution) -> str:
    found = distribution.metadata
    if "License-Expression" in found:
        return str(found["License-Expression"])
    names = [c for c in found.get_all("Classifier") or () if c.startswith("License ::")]
    return ", ".join(name.rpartition(":: ")[2] for name in names) or "not stated"


def main() -> None:
    for found in sorted(metadata.distributions(), key=lambda d: d.name.lower()):
        print(f"{found.name:26} {found.version:16} {megabytes(found):7.1f} MB  {licence(found)}")


if __name__ == "__main__":
    main()
