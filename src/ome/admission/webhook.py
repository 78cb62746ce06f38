"""The webhook server: AdmissionReview over TLS at the paths of :mod:`ome.admission.registration`.

* Every replica serves. A replica is *ready* when it has read everything that reviews look at and
  holds a certificate that the API server trusts; before that it answers 503, so that with
  ``failurePolicy: Fail`` nothing passes unreviewed.
* Reviews are quick and run one after the other on the event loop; what can take long is reading a
  request, and that has a limit (the shorter of ours and the API server's ``timeout``).
* ``/healthz`` says that the server lives, ``/readyz`` whether it is ready, and if not why.
* A new certificate takes effect for new connections at once, without a restart.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from ome.admission.registration import HOOKS, Hook
from ome.admission.review import OmeAdmission
from ome.admission.reviews import answer
from ome.admission.view import View
from ome.apimachinery.errors import BadRequest

log = logging.getLogger("ome.admission.webhook")

Problems = Callable[[], Sequence[str]]
"""Why the server can't work yet; nothing when it can."""

MAX_BODY: Final = 16 << 20
"""Bytes. The API server takes objects up to 3 MiB; a review may hold two of them."""
_KEEP_ALIVE: Final = 150.0
"""Longer than the API server keeps a connection, so that it is never us who close one it uses."""
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


class WebhookServer:
    """``start``, then ``use`` a certificate (and again when it changes), then ``stop``.

    ``problems`` is asked on every request, so it must be quick.
    """

    def __init__(
        self,
        admission: OmeAdmission,
        view: View,
        *,
        problems: Problems = tuple,
        time_limit: float = 9.0,
    ) -> None:
        self._admission = admission
        self._view = view
        self._problems = problems
        self._time_limit = time_limit
        self._context = _context()
        self._certified = False
        self._runner: web.AppRunner | None = None
        self.port = 0

    # -- life -----------------------------------------------------------------------------------

    async def start(self, host: str = "", port: int = 0) -> None:
        """Listens; ``port`` 0 takes a free one (see ``self.port``). Raises OSError."""
        app = web.Application(client_max_size=MAX_BODY)
        for hook in HOOKS:
            app.router.add_post(hook.path, self._handler(hook))
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=5.0
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host or None, port, ssl_context=self._context)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("webhooks are served at port %d", self.port)

    async def stop(self) -> None:
        """Lets requests under way finish."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def use(self, certificate: bytes, key: bytes) -> None:
        """Presents this certificate (PEM) from the next connection on. Raises ssl.SSLError."""
        load_identity(self._context, certificate, key)
        self._certified = True

    def problems(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        found = list(self._problems())
        if not self._certified:
            found.append("there is no certificate yet")
        return found

    # -- requests -------------------------------------------------------------------------------

    def _handler(self, hook: Hook) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            problems = self.problems()
            if problems:
                text = f"OME's webhooks are not ready: {'; '.join(problems)}"
                return web.Response(status=503, text=text, headers={"Retry-After": "1"})
            try:
                async with asyncio.timeout(self._limit(request)):
                    body = await request.read()
            except TimeoutError:
                return web.Response(status=408, text="the review did not arrive in time")
            try:
                reply = answer(body, hook, self._admission, self._view)
            except BadRequest as error:
                return web.Response(status=400, text=error.message)
            return web.Response(body=reply, content_type="application/json")

        return handle

    def _limit(self, request: web.Request) -> float:
        match = _DURATION.fullmatch(request.query.get("timeout", ""))
        if match is None:
            return self._time_limit
        return min(self._time_limit, float(match[1]) * _UNITS[match[2]])

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readyz(self, _request: web.Request) -> web.Response:
        problems = self.problems()
        return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_identity(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """``ssl`` takes a certificate from a file only: a private one that is gone a moment later."""
    handle, name = tempfile.mkstemp(prefix="webhook-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate.rstrip(b"\n") + b"\n" + key)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink(missing_ok=True)
