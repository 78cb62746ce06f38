"""``ome up``: in the foreground with a live line, or detached."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ome.cli import frugal
from ome.cli.errors import CliError, usage
from ome.cli.home import Home
from ome.cli.output import Output
from ome.cli.target import Context

if TYPE_CHECKING:
    from ome.apimachinery.objects import Object

DETACH_SECONDS = 90.0
_END_SECONDS = 10.0


@click.command()
@click.option("--data", metavar="DIR", help="Data folder.  [$OME_DATA, ~/.local/share/ome]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the API for kubectl.  [11443]")
@click.option(
    "--gateway-port", type=click.IntRange(1, 65535), help="Port of the OpenAI address.  [11435]"
)
@click.option("--detach", "-d", is_flag=True, help="Start in the background and return when ready.")
@click.option("--ready-fd", type=int, hidden=True)
@click.pass_obj
def command(
    context: Context,
    data: str | None,
    port: int | None,
    gateway_port: int | None,
    detach: bool,
    ready_fd: int | None,
) -> None:
    """Start OME on this machine: its API, its controllers and the OpenAI gateway.

    Runs until Ctrl-C, which stops the engines too. State, models and logs are in the data folder;
    the next start goes on where this one ended.
    """
    context.data = data or context.data
    if port is not None and port == gateway_port:
        raise usage(
            f"--port and --gateway-port are both {port}",
            "The API for kubectl and the OpenAI address need a port each",
        )
    home = context.home
    if detach:
        start_detached(home, context.output, port=port, gateway_port=gateway_port)
        return
    frugal.begin_again()
    _foreground(home, context.output, port or 0, gateway_port or 0, ready_fd)


def start_detached(
    home: Home, output: Output, *, port: int | None = None, gateway_port: int | None = None
) -> dict[str, object]:
    """Starts a control process of its own; returns its state once it is ready."""
    home.make()
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "ome.cli", "up", "--data", str(home.root)]
    argv += ["--ready-fd", str(writer)]
    argv += ["--port", str(port)] if port else []
    argv += ["--gateway-port", str(gateway_port)] if gateway_port else []
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
            env=frugal.environment(),
        )
    os.close(writer)
    try:
        answer = _read_answer(reader, process)
    except KeyboardInterrupt:
        # It is in a session of its own, where Ctrl-C does not reach it.
        process.terminate()
        process.wait()
        raise
    finally:
        os.close(reader)
    if "error" in answer:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        raise CliError(str(answer["error"]))
    state = answer["state"]
    assert isinstance(state, dict)
    output.say(f"OME is up ({answer['seconds']:.1f} s), pid {state['pid']}, log {home.log}")
    say_addresses(state, output)
    return state


def _read_answer(reader: int, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The line that the control process writes when it is ready or has failed."""
    data = b""
    deadline = time.monotonic() + DETACH_SECONDS
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            process.terminate()
            return {"error": f"OME did not become ready within {DETACH_SECONDS:.0f} s"}
        chunk = os.read(reader, 4096)
        if not chunk:
            return {"error": f"OME ended while starting (status {process.wait()}); see its log"}
        data += chunk
    answer: dict[str, object] = json.loads(data)
    return answer


def say_addresses(state: dict[str, object], output: Output) -> None:
    output.say(f"  OpenAI API   {state['gateway']}/v1")
    output.say(f"  kubectl      kubectl --kubeconfig {state['kubeconfig']} get isvc")


def _foreground(
    home: Home, output: Output, port: int, gateway_port: int, ready_fd: int | None
) -> None:
    began = time.monotonic()
    output.status("starting OME …")
    home.make()
    _log_to(home.log, also_stderr=False)
    from ome.cli import prepare

    def on_ready(state: Object) -> None:
        seconds = time.monotonic() - began
        if ready_fd is not None:
            _answer(ready_fd, {"state": state, "seconds": seconds})
            return
        output.clear()
        output.say(f"OME is up ({seconds:.1f} s), log {home.log}")
        say_addresses(state, output)
        output.say("Ctrl-C stops it, engines too; 'ome get' in another terminal shows services.")

    def on_stop(keep_pods: bool) -> None:
        output.clear()
        words = "leaving its pods running" if keep_pods else "and its pods (Ctrl-C again: at once)"
        output.say(f"stopping OME {words} …")

    try:
        home.keep()
        preparing = prepare.begin(home)
        with frugal.without_trust_store():
            from ome.cli import up
        prepare.finish(preparing, home)
        asyncio.run(up.run(home, up.Options(port, gateway_port), on_ready, on_stop))
    except Exception as error:
        logging.getLogger("ome.up").error("%s", error, exc_info=not isinstance(error, CliError))
        if ready_fd is not None:
            _answer(ready_fd, {"error": str(error)})
        raise
    output.say("stopped")


def _answer(descriptor: int, answer: dict[str, object]) -> None:
    # The one who started us may have gone: then there is nobody to tell.
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(answer).encode() + b"\n")
        os.close(descriptor)


def _log_to(path: Path, *, also_stderr: bool) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3)
    handlers: list[logging.Handler] = [handler]
    if also_stderr:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        level=os.environ.get("OME_LOG_LEVEL", "INFO"),
        handlers=handlers,
    )
