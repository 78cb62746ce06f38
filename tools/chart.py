"""Writes charts/ome from the manifests in src/ome/cli/install.

python tools/chart.py           # writes
python tools/chart.py --check   # fails where what is committed is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

from ome.cli.install import chart

CHART = Path(__file__).parents[1] / "charts" / chart.NAME


def main(arguments: list[str]) -> int:
    wanted = chart.files()
    present = {str(p.relative_to(CHART)): p for p in CHART.rglob("*") if p.is_file()}
    wrong = sorted(
        {path for path, text in wanted.items() if not _same(present.get(path), text)}
        | (set(present) - set(wanted))
    )
    if "--check" in arguments:
        for path in wrong:
            print(f"error: charts/ome/{path} is out of date: run python tools/chart.py")
        return 1 if wrong else 0
    for path in wrong:
        target = CHART / path
        if path not in wanted:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(wanted[path], encoding="utf-8")
        print(f"wrote charts/ome/{path}")
    return 0


def _same(path: Path | None, text: str) -> bool:
    return path is not None and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
