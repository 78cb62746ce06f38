"""Bytes to and from one API server over HTTP: sessions, time-outs, retries, typed errors.

Guarantees

* What the server refuses comes as a :class:`StatusError` subclass, what never arrives as
  :class:`Unreachable`; no other exception leaves this module (but cancellation).
* A request is sent again only where that is safe. Always: when it can't have reached the server
  (connection refused) or the server says it did nothing (429; 503 with ``Retry-After``). For
  idempotent requests also after a cut connection, 500, 502, 503 and 504. Waits have jitter, honour
  ``Retry-After`` up to a cap, and are bounded in number.
* A 401 makes the credential source renew itself once.
* Streams are never retried here: who reads them knows where to go on.

This is the only module that imports aiohttp; it is imported on the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from ome.apimachinery.errors import NotFound, StatusError, Unauthorized
from ome.kube.endpoint import Credential, Endpoint
from ome.kube.errors import Unreachable, is_tls_error

if TYPE_CHECKING:
    import ssl


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


_TRANSIENT = frozenset({500, 502, 503, 504})
_MAX_WAIT = 30.0


class Transport:
    """One session with one server. ``timeout`` is seconds for a whole request; ``attempts`` how
    often one may be sent."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        user_agent: str,
        timeout: float = 30.0,
        attempts: int = 4,
        context: ssl.SSLContext | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._attempts = max(1, attempts)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=10)
        self._user_agent = user_agent
        self._given_context = context
        self._on_warning = on_warning
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[aiohttp.ClientSession] = []
        self._streams: set[aiohttp.ClientResponse] = set()
        self._identity: tuple[bytes, bytes] = (b"", b"")
        self._extra: dict[str, Any] = {}
        if endpoint.proxy:
            self._extra["proxy"] = endpoint.proxy
        if endpoint.tls_server_name:
            self._extra["server_hostname"] = endpoint.tls_server_name

    async def close(self) -> None:
        """Ends all connections. Streams that are being read end with Unreachable."""
        session, self._session = self._session, None
        for response in tuple(self._streams):
            # Else who reads would wait for ever.
            response.content.set_exception(aiohttp.ClientConnectionError("the client was closed"))
        retired, self._retired = self._retired, []
        for old in (*retired, session):
            if old is not None:
                await old.close()

    async def send(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        idempotent: bool = False,
        timeout: float | None = None,
    ) -> Answer:
        """One request with retries; the whole of a 2xx answer.

        ``target`` is path and query, already encoded.
        """
        renewed = maybe_done = False
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._once(method, target, headers, body, timeout)
            except StatusError as error:
                if method == "DELETE" and maybe_done and isinstance(error, NotFound):
                    return Answer(200, b"{}", {})  # the cut request had done it
                if isinstance(error, Unauthorized) and not renewed:
                    renewed = True
                    if self._endpoint.credentials.invalidate():
                        continue
                if attempt >= self._attempts or not _retry_status(error, idempotent):
                    raise
                wait = error.retry_after
            except Unreachable as error:
                may_repeat = idempotent or not error.maybe_done
                if attempt >= self._attempts or not may_repeat or _hopeless(error.cause):
                    raise
                wait = None
                maybe_done |= error.maybe_done
            await asyncio.sleep(_pause(attempt, wait))

    async def _once(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float | None,
    ) -> Answer:
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=10) if timeout else self._timeout
        async with self._response(method, target, headers, body, limit) as response:
            return Answer(response.status, await response.read(), response.headers)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        idle_timeout: float | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """An open answer as chunks of arbitrary size. ``idle_timeout``: longest silence."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=idle_timeout)
        for last in (False, True):
            try:
                async with self._response(method, target, headers, body, limit) as response:
                    self._streams.add(response)
                    try:
                        yield response.content.iter_any()
                    finally:
                        self._streams.discard(response)
                    return
            except Unauthorized:
                if last or not self._endpoint.credentials.invalidate():
                    raise

    @contextlib.asynccontextmanager
    async def _response(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A 2xx answer, or the exception for everything else."""
        credential = await self._endpoint.credentials.current()
        session = self._session_for(credential)
        url = URL(self._endpoint.url + target, encoded=True)
        try:
            async with session.request(
                method,
                url,
                headers={**headers, **credential.headers} if credential.headers else headers,
                data=body,
                timeout=timeout,
                allow_redirects=False,
                **self._extra,
            ) as response:
                if "Warning" in response.headers and self._on_warning is not None:
                    for warning in response.headers.getall("Warning"):
                        self._on_warning(_warning_text(warning))
                if response.status >= 300:
                    raise status_error(response.status, await response.read(), response.headers)
                yield response
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(self._endpoint.shown, error.os_error) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(self._endpoint.shown, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(self._endpoint.shown, error, maybe_done=True) from error

    def _session_for(self, credential: Credential) -> aiohttp.ClientSession:
        identity = (credential.certificate, credential.key)
        if self._session is not None and not self._session.closed and identity == self._identity:
            return self._session
        if self._session is not None:
            # A renewed client certificate. What runs keeps the connections that it has; idle ones
            # of the old session close by themselves.
            self._retired.append(self._session)
        self._identity = identity
        self._session = aiohttp.ClientSession(
            connector=self._connector(credential),
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            read_bufsize=1 << 18,
            max_line_size=1 << 15,
            max_field_size=1 << 15,
        )
        # aiohttp would silently send a DELETE twice, and the second one finds nothing: whether
        # and when to send again is decided here. Its switch for this has no public name.
        self._session._retry_connection = False
        return self._session

    def _connector(self, credential: Credential) -> aiohttp.BaseConnector:
        # No limit: every watch holds a connection, and a limit would starve the other requests.
        if self._endpoint.unix_socket:
            return aiohttp.UnixConnector(
                path=self._endpoint.unix_socket, limit=0, keepalive_timeout=20
            )
        context = self._given_context
        if context is None and self._endpoint.url.startswith("https:"):
            from ome.kube.tls import client_context

            context = client_context(self._endpoint, credential)
        return aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=20,
            ssl=context if context is not None else True,
            socket_factory=_keepalive_socket,
        )


def _keepalive_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket on which a peer that vanished without a word is noticed within a minute."""
    family, kind, protocol = info[0], info[1], info[2]
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def status_error(code: int, body: bytes, headers: Mapping[str, str]) -> StatusError:
    """The exception for an answer that is not a success, also where a proxy wrote it."""
    try:
        status = msgspec.json.decode(body)
    except msgspec.DecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = body[:200].decode("utf-8", "replace").strip()
        status = {"message": f"the server answered {code}" + (f": {text}" if text else "")}
    wait = headers.get("Retry-After", "")
    if wait.isdigit():
        status["details"] = {**(status.get("details") or {}), "retryAfterSeconds": int(wait)}
    return StatusError.from_status({**status, "code": code})


def _retry_status(error: StatusError, idempotent: bool) -> bool:
    if error.code == 429:
        return True
    if error.code == 503 and error.retry_after is not None:
        return True
    return idempotent and error.code in _TRANSIENT


def _hopeless(cause: BaseException | str) -> bool:
    """Sending it again can't help: certificates do not change by waiting."""
    return is_tls_error(cause) or isinstance(cause, PermissionError | socket.gaierror)


def _pause(attempt: int, asked: float | None) -> float:
    """Seconds before attempt ``attempt + 1``."""
    if asked is not None:
        return min(asked, _MAX_WAIT) * (1 + 0.1 * random.random())
    return float(0.1 * 2 ** (attempt - 1) * (0.5 + random.random()))


def _warning_text(header: str) -> str:
    """The text of ``299 - "text"``."""
    _, _, quoted = header.partition('"')
    return quoted.rpartition('"')[0].replace('\\"', '"') if quoted else header
