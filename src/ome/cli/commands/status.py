"""``ome status``: whether OME runs here, where it answers, and what it uses."""

from __future__ import annotations

import time
from typing import Any

import click

from ome.api import resources as ours
from ome.cli import views
from ome.cli.api import Api, LocalTransport
from ome.cli.errors import FAILURE
from ome.cli.home import Home
from ome.cli.options import format_option
from ome.cli.output import seconds, size
from ome.cli.target import Context


@click.command()
@click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
@format_option("table", "json", "yaml")
@click.pass_context
def command(ctx: click.Context, data: str | None, form: str) -> None:
    """Say whether OME runs on this machine and what it uses. Exit status 1 if it doesn't."""
    context: Context = ctx.obj
    context.data = data or context.data
    home = context.home
    found = read(home)
    if form != "table":
        context.output.object(found, form)
    elif not found["running"]:
        context.output.print(f"OME is not running on {home.root}")
        if found["processes"]:
            context.output.print(
                f"{len(found['processes'])} process(es) of its pods are left running: 'ome up' "
                f"takes them up again, 'ome down' stops them"
            )
    else:
        _show(context, found)
    if not found["running"]:
        ctx.exit(FAILURE)


def read(home: Home) -> dict[str, Any]:
    """Everything as one document."""
    running = home.is_running()
    state = home.read_state() if running else {}
    found: dict[str, Any] = {"running": running, "data": str(home.root), **state}
    found["processes"] = processes(home)
    if running and "pid" in state:
        api = Api(LocalTransport(home.socket), "default", local=True)
        services = api.list(ours.INFERENCE_SERVICES)
        found["services"] = len(services)
        found["ready"] = sum(views.ready_of(s) == "True" for s in services)
    return found


def processes(home: Home) -> list[dict[str, Any]]:
    """OME's own processes and its engines, with their resident memory and CPU time."""
    import psutil

    state = home.read_state()
    marker = str(home.node / "pods")
    found = []
    roots: list[tuple[str, psutil.Process]] = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        argv = process.info["cmdline"] or []
        if process.info["pid"] == state.get("pid") and "up" in argv:
            roots.append(("control", process))
        elif any(marker in a for a in argv) and any("shim" in a for a in argv):
            roots.append(("shim", process))
    for role, process in roots:
        try:
            found.append(_measured(role, process))
            if role == "shim":
                for child in process.children(recursive=True):
                    name = "gateway" if "ome.standalone.gateway" in child.cmdline() else "engine"
                    found.append(_measured(name, child))
        except psutil.Error:
            continue  # it has ended meanwhile
    return found


def _measured(role: str, process: Any) -> dict[str, Any]:
    times = process.cpu_times()
    return {
        "role": role,
        "pid": process.pid,
        "rss": process.memory_info().rss,
        "cpuSeconds": round(times.user + times.system, 2),
    }


def _show(context: Context, found: dict[str, Any]) -> None:
    output = context.output
    up_for = seconds(time.time() - float(found.get("started", time.time())))
    output.print(f"OME {found.get('version', '?')} is up for {up_for}, pid {found.get('pid')}")
    output.print(f"  data         {found['data']}")
    output.print(f"  OpenAI API   {found.get('gateway')}/v1")
    output.print(f"  kubectl      kubectl --kubeconfig {found.get('kubeconfig')} get isvc")
    output.print(f"  services     {found.get('services', 0)}, ready {found.get('ready', 0)}")
    rows = [
        (p["role"], str(p["pid"]), size(p["rss"]), f"{p['cpuSeconds']:.1f} s")
        for p in found["processes"]
    ]
    output.table(("PROCESS", "PID", "MEMORY", "CPU"), rows, indent=2)
    own = sum(p["rss"] for p in found["processes"] if p["role"] != "engine")
    output.print(f"  OME's own processes: {size(own)} resident")
