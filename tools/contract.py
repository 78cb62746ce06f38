"""Prints the contract's ledger: how many fields are proven, and which are still open.

    make contract

For every field of every kind, at every place where it appears: is its effect proven by a test, is
it refused with a reason, deprecated with a warning, or open, and for want of which feature? The
answer is worked out of the cases in ``tests/contract``. With a path or part of one as argument, the
lines of these places with their tests are printed instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from tests.contract.ledger import COMMITTED, Line, ledger, open_lines, report  # noqa: E402


def main(wanted: list[str]) -> None:
    if wanted:
        for line in ledger():
            if any(part in line.place.id for part in wanted):
                print(_described(line))
        return
    for text in report():
        print(text)
    print()
    print(
        f"open: {len(open_lines())}; committed in {COMMITTED.name}: {COMMITTED.read_text().strip()}"
    )


def _described(line: Line) -> str:
    why = f" ({line.why})" if line.why else ""
    return f"{line.place.id}: {line.state}{why}\n    {line.proof}"


if __name__ == "__main__":
    main(sys.argv[1:])
