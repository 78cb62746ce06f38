"""``python -m benchmarks.scale --n 100``: OME's operator on the bed, in figures.

In one run, on two fresh control planes of the same build:

floor     a script without any operator makes each service and its six children, and writes one
          status when its Deployment is available: what the control plane itself needs
create    N services at once (16 requests in flight; ``--rate`` for so many a second): wall time to
          all Ready, from apply to Deployment and to Ready, API requests, CPU, memory
offered   beside them, 150 more at 5 a second
restart   the operator stopped and started with everything healthy: what it writes
upgrade   the same, as another version of OME
storm     2,000 changes of 4 pods that change nothing for their services
edit      one environment variable of the one runtime that all services use
delete    all services

Prints one JSON object; progress goes to standard error. Times are seconds, memory MiB (resident).
Request counts come from the API server's audit log and leave out the Lease.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.cluster.bed.controlplane import ControlPlane, free_port

from benchmarks.scale.api import connected, furnish
from benchmarks.scale.floor import floor
from benchmarks.scale.measure import Measurement
from benchmarks.scale.objects import Object
from benchmarks.scale.operator import Operator
from ome._version import __version__

PHASES = ("floor", "create", "offered", "restart", "upgrade", "storm", "edit", "delete")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def hold(options: argparse.Namespace, folder: Path) -> None:
    """The bed and the operator, for measuring by other means, until it is interrupted."""
    with ControlPlane(folder / "bed") as bed:
        async with connected(bed) as api:
            await furnish(api)
            operator = Operator(api, folder, free_port()) if options.hold == "operator" else None
            try:
                if operator is not None:
                    await operator.until_leads()
                found = {"folder": str(bed.folder), "pid": operator.pid if operator else None}
                print(json.dumps(found), flush=True)
                stop = asyncio.Event()
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, stop.set)
                await stop.wait()
            finally:
                if operator is not None:
                    operator.stop()


async def run(options: argparse.Namespace, folder: Path) -> Object:
    result: Object = {
        "command": f"python -m benchmarks.scale --n {options.n}",
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
        "version": __version__,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "n": options.n,
    }
    phases = options.phases.split(",")
    if "floor" in phases:
        with ControlPlane(folder / "floor") as bed:
            async with connected(bed) as api:
                await furnish(api)
                result["floor"] = await floor(api, options.n)
        say(f"floor: {result['floor']}")
    with ControlPlane(folder / "bed") as bed:
        async with connected(bed) as api:
            await furnish(api)
            measurement = Measurement(
                api, folder, options.n, rate=options.rate, profile=options.profile
            )
            try:
                for phase in phases:
                    if phase != "floor":
                        began = time.monotonic()
                        result[phase] = await getattr(measurement, phase)()
                        say(f"{phase} ({time.monotonic() - began:.0f} s): {result[phase]}")
            finally:
                measurement.close()
    if "floor" in phases and "create" in phases:
        result["wall_over_floor"] = round(result["create"]["wall_s"] / result["floor"]["wall_s"], 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="services")
    parser.add_argument("--rate", type=float, default=0, help="services a second; 0: all at once")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument(
        "--profile", type=Path, help="cProfile's file about the operator up to its first restart"
    )
    parser.add_argument("--folder", type=Path, help="keep the logs here")
    parser.add_argument("--write", type=Path, help="also write the result to this file")
    parser.add_argument(
        "--hold",
        choices=("operator", "bed"),
        help="measure nothing: start the bed (and the operator), say where, wait for SIGTERM",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ome-bench-") as scratch:
        if options.hold:
            asyncio.run(hold(options, options.folder or Path(scratch)))
            return
        result = asyncio.run(run(options, options.folder or Path(scratch)))
    text = json.dumps(result, indent=1)
    print(text)
    if options.write:
        options.write.write_text(text + "\n")


if __name__ == "__main__":
    main()
