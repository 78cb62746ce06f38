"""Health, readiness and metrics of a long-running process, over plain HTTP on one port.

``/healthz`` answers as long as the event loop does. ``/readyz`` answers 503 with one reason a line
until nothing is missing. Both are for kubelets and people, so the reasons are sentences.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from ome.cli.errors import CliError

log = logging.getLogger("ome.health")

Page = Callable[[], tuple[bytes, str]]
"""Gives a body and its content type."""


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT`` or ``PORT``; an empty host is every interface."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise CliError(f"{text!r} is no address", remedy="Write HOST:PORT or :PORT")
    return host.strip("[]"), int(port)


class HealthServer:
    """``pages`` are further GET paths."""

    def __init__(
        self, problems: Callable[[], Sequence[str]], pages: Mapping[str, Page] | None = None
    ) -> None:
        self._problems = problems
        self._pages = dict(pages or {})
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, listen: str) -> None:
        """Raises CliError where it can't listen there."""
        host, port = address(listen)
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        for path, page in self._pages.items():
            app.router.add_get(path, _handler(page))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host or None, port).start()
        except OSError as error:
            await runner.cleanup()
            why = error.strerror or str(error)
            raise CliError(f"can't listen on {listen}: {why}", remedy="Give --listen") from error
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("health and metrics are served at port %d", self.port)

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        problems = self._problems()
        text = "\n".join(problems) or "ok"
        return web.Response(status=503 if problems else 200, text=text + "\n")


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        body, content_type = page()
        return web.Response(body=body, headers={"Content-Type": content_type})

    return handle
