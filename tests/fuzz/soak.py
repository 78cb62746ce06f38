"""Many fuzzed objects, in bounded time: ``python -m tests.fuzz.soak``.

Prints the seed; the same seed makes the same objects, and ``--only NUMBER`` one of them alone. An
interrupted run goes on where it was (``--state``). The result goes to ``--write``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.cases import case
from tests.fuzz.gates import Case, Found, Gates, gates

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "fuzz.json"
SAVE_EVERY = 1000
SLOWEST = 10
MOST_FOUND = 50


@dataclass
class Run:
    """What a run came to so far; as JSON it is the state to go on from."""

    seed: int
    next: int = 0
    seconds: float = 0.0
    accepted: int = 0
    refused: int = 0
    intact: int = 0
    intact_accepted: int = 0
    children: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    slow: int = 0
    slowest: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, done: Case) -> None:
        self.next = done.number + 1
        self.accepted += done.accepted
        self.refused += not done.accepted
        self.intact += not done.mutations
        self.intact_accepted += done.accepted and not done.mutations
        self.children += done.rendered
        kinds = Counter(self.kinds)
        kinds[done.resource.kind] += 1
        self.kinds = dict(sorted(kinds.items()))
        self.found += [asdict(f) for f in done.found]
        if done.slow:
            self.slow += 1
            known = self.slowest + [asdict(f) for f in done.slow]
            self.slowest = sorted(known, key=lambda f: -f["seconds"])[:SLOWEST]

    def describe(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "objects": self.next,
            "findings": len(self.found),
            "accepted": self.accepted,
            "refused": self.refused,
            "valid_as_generated": f"{self.intact_accepted} of {self.intact}",
            "children_rendered": self.children,
            "kinds": self.kinds,
            "stages_slower_than_50_ms": self.slow,
            "slowest": self.slowest,
            "seconds": round(self.seconds, 1),
            "objects_per_second": round(self.next / max(self.seconds, 1e-9)),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "first_findings": self.found[:MOST_FOUND],
        }


async def soak(run: Run, count: int, deadline: float, save: Path | None) -> None:
    """Goes on until ``count`` objects are through, or the time (monotonic) has come."""
    with tempfile.TemporaryDirectory() as folder:
        async with gates(Path(folder)) as found:
            await warm_up(found)
            begun, before = time.monotonic(), run.seconds
            while run.next < count and time.monotonic() < deadline:
                done = case(run.seed, run.next)
                await found.check(done)
                run.add(done)
                run.seconds = before + time.monotonic() - begun
                for wrong in done.found:
                    print(told(wrong), flush=True)
                if run.next % SAVE_EVERY == 0:
                    print(f"{run.next} objects, {len(run.found)} findings, {run.seconds:.0f} s")
                    if save is not None:
                        save.write_text(json.dumps(asdict(run)))


async def warm_up(found: Gates) -> None:
    """Schemas are made when they are first needed: not the first object's fault."""
    for number in range(60):
        await found.check(case(0, number))


def told(found: Found) -> str:
    how = "+".join(found.mutations) or "as generated"
    return f"#{found.number} {found.kind} ({how}) {found.stage}: {found.what}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--minutes", type=float, default=40.0, help="stop after that long")
    parser.add_argument("--state", type=Path, help="go on from here, and save here")
    parser.add_argument("--only", type=int, help="one object of the seed, shown")
    parser.add_argument("--write", type=Path, nargs="?", const=RESULT, help="the result's file")
    options = parser.parse_args()
    run = Run(options.seed)
    if options.state is not None and options.state.exists():
        run = Run(**json.loads(options.state.read_text()))
    print(f"seed {run.seed}, from object {run.next} to {options.count}", flush=True)
    if options.only is not None:
        return asyncio.run(_one(run.seed, options.only))
    asyncio.run(soak(run, options.count, time.monotonic() + options.minutes * 60, options.state))
    result = {"asked_for": options.count, **run.describe()}
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if options.write is not None:
        options.write.write_text(text)
    if options.state is not None:
        options.state.unlink(missing_ok=True)
    if run.next < options.count:
        print(f"TIME IS UP: {run.next} of {options.count} objects")
    return 1 if run.found else 0


async def _one(seed: int, number: int) -> int:
    done = case(seed, number)
    print(json.dumps(done.obj, indent=2))
    with tempfile.TemporaryDirectory() as folder:
        async with gates(Path(folder)) as found:
            await found.check(done)
    print("accepted" if done.accepted else "refused")
    for wrong in done.found:
        print(told(wrong))
    return 1 if done.found else 0


if __name__ == "__main__":
    sys.exit(main())
