"""``ome down``: stops the control process and, unless told otherwise, every pod."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import click

from ome.cli.errors import CliError
from ome.cli.home import Home
from ome.cli.output import Output
from ome.cli.target import Context


@click.command()
@click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
@click.option("--keep-pods", is_flag=True, help="Leave engines and gateway running.")
@click.option("--timeout", type=float, default=60.0, show_default=True, metavar="SECONDS")
@click.pass_obj
def command(context: Context, data: str | None, keep_pods: bool, timeout: float) -> None:
    """Stop OME on this machine, its engines and its gateway. State and models stay."""
    context.data = data or context.data
    stop(context.home, context.output, keep_pods=keep_pods, timeout=timeout)


def stop(home: Home, output: Output, *, keep_pods: bool = False, timeout: float = 60.0) -> None:
    """Returns when everything has ended. Not running is no error: then there may be pods left."""
    was_running = home.is_running()
    if was_running:
        _stop_control(home, output, keep_pods, timeout)
    left = 0
    if not keep_pods and home.node.is_dir():
        left = _stop_leftovers(home)
    if was_running:
        output.say("OME is stopped" + (", its pods run on" if keep_pods else ""))
    elif left:
        output.say(f"OME was not running; {left} pod(s) that it had left are stopped")
    else:
        output.say(f"OME is not running on {home.root}")


def _stop_control(home: Home, output: Output, keep_pods: bool, timeout: float) -> None:
    pid = home.read_state().get("pid") or _holder(home)
    if not isinstance(pid, int):
        raise CliError(
            "OME is just starting or stopping", where=str(home.root), remedy="Try again in a moment"
        )
    number = signal.SIGUSR1 if keep_pods else signal.SIGTERM
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + timeout
    while home.is_running():
        if time.monotonic() > deadline:
            raise CliError(
                f"OME (pid {pid}) has not ended after {timeout:.0f} s",
                remedy=f"Look into {home.log}, or end it with kill -9 {pid} and 'ome down' again",
            )
        output.status("stopping OME and its pods …")
        time.sleep(0.05)
    output.clear()


def _holder(home: Home) -> int | None:
    """The process that holds the lock, where it has not written its state yet."""
    text = home.lock.read_text().strip() if home.lock.exists() else ""
    return int(text) if text.isdigit() else None


def _stop_leftovers(home: Home) -> int:
    """Stops what a killed control process has left running."""
    pods = home.node / "pods"
    if not pods.is_dir() or not any(pods.iterdir()):
        return 0
    from ome.standalone.node import stop_everything

    with home.take():
        return asyncio.run(stop_everything(home.node))
