"""The HTTP side: connections, who is asking, and which handler answers.

The unix socket (mode 0600) is for the processes of the same user, which are trusted as the
administrator. Over TLS a bearer token says who is asking; there is no authorisation beyond that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from ome.apimachinery.errors import StatusError
from ome.standalone.apiserver.admission import Admission
from ome.standalone.apiserver.core import Core
from ome.standalone.apiserver.http import error_response
from ome.standalone.apiserver.logs import PodLogs
from ome.standalone.apiserver.routes import Router
from ome.standalone.apiserver.store import Store

log = logging.getLogger(__name__)

ADMIN = "system:admin"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Where to listen for TLS. Port 0 takes a free one."""

    host: str
    port: int
    cert: Path
    key: Path


class ApiServer:
    """A Kubernetes API over a :class:`Store`. Does not close the store."""

    def __init__(
        self,
        store: Store,
        admission: Admission | None = None,
        log_source: PodLogs | None = None,
        version: str = "0.0.0",
    ) -> None:
        self.core = Core(store, admission, log_source, version)
        self._router = Router(self.core)
        self._runners: list[web.ServerRunner] = []
        self.tls_port = 0
        self._unix_socket: Path | None = None

    async def start(
        self,
        unix_socket: Path | None = None,
        tls: TlsConfig | None = None,
        tokens: Mapping[str, str] | None = None,
    ) -> None:
        """Fill an empty store with the default namespaces, then listen."""
        self.core.authenticator.fixed = dict(tokens or {})
        await self.core.start()
        try:
            if unix_socket is not None:
                await self._listen_unix(unix_socket)
            if tls is not None:
                await self._listen_tls(tls)
        except BaseException:
            await self.stop()
            raise

    async def _listen_unix(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"cannot listen on {path}: {error.strerror}") from error
        finally:
            os.umask(before)
        listener.setblocking(False)
        runner = await self._runner(self._serve_unix)
        await web.SockSite(runner, listener).start()
        self._unix_socket = path

    async def _listen_tls(self, tls: TlsConfig) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.cert, tls.key)
        runner = await self._runner(self._serve_tls)
        await web.TCPSite(runner, tls.host, tls.port, ssl_context=context).start()
        self.tls_port = runner.addresses[0][1]

    async def _runner(self, handler: web.RequestHandler | object) -> web.ServerRunner:
        server = web.Server(handler, handler_cancellation=True, access_log=None)  # type: ignore[arg-type]
        runner = web.ServerRunner(server, shutdown_timeout=2.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def stop(self) -> None:
        """End watches, finish running requests and stop listening. Idempotent."""
        self.core.stopping.set()
        self.core.store.wake_all()
        runners, self._runners = self._runners, []
        await asyncio.gather(*(runner.cleanup() for runner in runners))
        if self._unix_socket is not None:
            self._unix_socket.unlink(missing_ok=True)
            self._unix_socket = None
        await self.core.stop()

    async def _serve_unix(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._serve(request, ADMIN)

    async def _serve_tls(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            user = self.core.authenticator.user(request.headers.get("Authorization", ""))
        except StatusError as error:
            return error_response(error)
        return await self._serve(request, user)

    async def _serve(self, request: web.BaseRequest, user: str | None) -> web.StreamResponse:
        try:
            return await self._router.handle(request, user)
        except StatusError as error:
            return error_response(error)
        except (ConnectionResetError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            return error_response(
                StatusError(f"the server failed: {type(error).__name__}: {error}")
            )
