"""The gateway's process: arguments, start, and an end that lets running answers finish."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

from aiohttp import web

from ome.kube import Client
from ome.standalone.gateway.balance import Balancer
from ome.standalone.gateway.guard import Guard, is_loopback
from ome.standalone.gateway.metrics import Metrics
from ome.standalone.gateway.routes import Endpoint, RouteTable
from ome.standalone.gateway.server import Gateway
from ome.standalone.gateway.upstream import Upstream
from ome.standalone.gateway.watch import Watcher
from ome.standalone.gateway.zero import IDLE_SECONDS, WAKE_SECONDS, Zero

DRAIN_SECONDS = 20.0


class StartError(Exception):
    """Why the gateway can't start, in one line."""


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    about = "One OpenAI address for all services of one OME."
    parser = argparse.ArgumentParser(prog="ome-gateway", description=about, allow_abbrev=False)
    parser.add_argument("--api-socket", type=Path, required=True, help="the API server's socket")
    parser.add_argument("--listen", default="127.0.0.1:11435", metavar="HOST:PORT")
    parser.add_argument(
        "--idle-seconds",
        type=float,
        default=IDLE_SECONDS,
        help="how long services with minReplicas 0 stay up without a request",
    )
    parser.add_argument(
        "--wake-seconds",
        type=float,
        default=WAKE_SECONDS,
        help="how long a request waits for such a service to start",
    )
    parser.add_argument("--api-key-file", type=Path, help="ask for one of the keys in this file")
    return parser.parse_args(argv)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise StartError(f"--listen {text}: not HOST:PORT, for example 127.0.0.1:11435")
    return host.strip("[]"), int(port)


async def serve(
    api_socket: Path,
    host: str,
    port: int,
    guard: Guard,
    idle_seconds: float = IDLE_SECONDS,
    wake_seconds: float = WAKE_SECONDS,
) -> None:
    """Runs until SIGTERM or SIGINT, then lets running answers finish for a while."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    table = RouteTable()
    balancer = Balancer(time.monotonic)
    upstream = Upstream(balancer)

    async with Client.unix(api_socket) as client:
        zero = Zero(client, table, time.monotonic, idle_seconds, wake_seconds)

        def known(endpoints: Collection[Endpoint]) -> None:
            balancer.forget_all_but(endpoints)
            upstream.forget_all_but(endpoints)
            zero.changed()

        watcher = Watcher(client, table, known)
        gateway = Gateway(
            table,
            upstream,
            guard,
            Metrics(),
            synced=lambda: watcher.synced,
            instance=str(api_socket),
            zero=zero,
        )
        runner = web.ServerRunner(
            web.Server(gateway.handle, handler_cancellation=True, access_log=None),
            shutdown_timeout=DRAIN_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            await upstream.close()
            raise StartError(_port_error(host, port, error)) from error
        logging.info("listening on http://%s:%d", host, port)
        watching = asyncio.create_task(watcher.run())
        letting_go = asyncio.create_task(zero.run())
        gc.collect()
        gc.freeze()
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({watching, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            stopped.cancel()
        else:
            watching.cancel()
        letting_go.cancel()
        await runner.cleanup()
        await upstream.close()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def _port_error(host: str, port: int, error: OSError) -> str:
    return (
        f"can't listen on {host}:{port}: {error.strerror}. "
        f"Choose another port (ome up --gateway-port PORT) or stop what listens there."
    )


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO
    )
    args = _arguments(argv)
    try:
        host, port = _address(args.listen)
        if not is_loopback(host) and args.api_key_file is None:
            raise StartError(
                f"--listen {args.listen} is open to others: add --api-key-file FILE (one key a "
                f"line), or listen on 127.0.0.1"
            )
        guard = Guard(args.api_key_file)
        asyncio.run(serve(args.api_socket, host, port, guard, args.idle_seconds, args.wake_seconds))
    except (StartError, ValueError, OSError) as error:
        print(f"error: gateway: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
