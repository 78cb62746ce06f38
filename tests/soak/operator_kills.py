"""Two hundred times kill -9 of the operator: ``python -m tests.soak.operator_kills``.

The same as the ten of tests/cluster/test_faults.py, at length, on a bed of its own. In parts: each
has its own seed and ends with the comparison of all children. A run that is broken off, or out of
``--minutes``, goes on where it was (``--state``). The result goes to
``benchmarks/results/operator-kills.json`` (``--write``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.chaos import Chaos, StormyHome, kill_again_and_again
from tests.cluster.conftest import furnished
from tests.tools import tool

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "operator-kills.json"
PART = 25
"""Kills between two comparisons."""
SETTLE_SECONDS = 90.0
"""Kept for the comparison at the end of the time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.operator_kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    state: dict[str, Any] = {"seed": given.seed, "parts": []}
    if given.state is not None and given.state.exists():
        state = json.loads(given.state.read_text())
    end = time.monotonic() + given.minutes * 60 - SETTLE_SECONDS
    left = given.kills - _kills(state)
    if left > 0:
        with (
            tempfile.TemporaryDirectory() as folder,
            ControlPlane(Path(folder) / "bed") as bed,
        ):
            home = StormyHome(bed, furnished(bed, tool("kubectl")), Path(folder))
            try:
                home.install()
                while left > 0 and time.monotonic() < end:
                    state["parts"].append(_part(home, state, min(PART, left), end))
                    left = given.kills - _kills(state)
                    if given.state is not None:
                        given.state.write_text(json.dumps(state, indent=2) + "\n")
            finally:
                home.close()
    result = _result(state, given.kills)
    print(json.dumps(result, indent=2))
    if left <= 0:
        if given.write:
            RESULT.write_text(json.dumps(result, indent=2) + "\n")
        if given.state is not None:
            given.state.unlink(missing_ok=True)
    return 0


def _kills(state: dict[str, Any]) -> int:
    return sum(sum(part["kills"].values()) for part in state["parts"])


def _part(home: StormyHome, state: dict[str, Any], kills: int, end: float) -> dict[str, Any]:
    seed = state["seed"] + len(state["parts"])
    began = time.monotonic()
    home.calm()
    chaos = Chaos(home, f"soak-{seed}", seed)
    home.stop_all()
    how = kill_again_and_again(home, chaos, kills, end)
    home.calm()
    chaos.check()
    chaos.close()
    seconds = round(time.monotonic() - began)
    print(f"seed {seed}: {dict(how)}, {dict(chaos.done)}, {seconds} s", file=sys.stderr)
    return {"seed": seed, "kills": how, "steps": chaos.done, "seconds": seconds}


def _result(state: dict[str, Any], wanted: int) -> dict[str, Any]:
    kills: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for part in state["parts"]:
        kills.update(part["kills"])
        steps.update(part["steps"])
    return {
        "what": "kill -9 of the operator on a real control plane; every part ends with exactly the "
        "children that the same services have where nobody was killed, and the services that "
        "nobody touched have their pods and their readiness",
        "command": "make soak-operator",
        "kills": kills.total(),
        "wanted": wanted,
        "killed": dict(sorted(kills.items())),
        "done_meanwhile": dict(sorted(steps.items())),
        "seconds": sum(part["seconds"] for part in state["parts"]),
        "parts": state["parts"],
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
    }


if __name__ == "__main__":
    sys.exit(main())
