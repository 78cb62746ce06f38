"""Speaking to replicas: what an engine calls its models, and sending it a request.

Connections are kept and used again. A request is sent to another replica as long as nothing of an
answer has come: when the connection can't be made, and when it breaks before the answer's head
(a replica that died, or an idle connection that it had just closed). Answers are passed on as
they are, whatever their status: an engine's own error is more precise than ours would be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
from yarl import URL

from ome.standalone.gateway.balance import Balancer
from ome.standalone.gateway.errors import ApiError
from ome.standalone.gateway.routes import Endpoint

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 900.0
"""How long an engine may say nothing: a long answer that is not streamed takes minutes."""
NAMES_SECONDS = 5.0
MAX_ATTEMPTS = 4

_UNREACHED = (
    aiohttp.ClientConnectorError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientOSError,
)


class _Model(msgspec.Struct):
    id: str = ""


class _Models(msgspec.Struct):
    data: list[_Model] = []


_decode_models = msgspec.json.Decoder(_Models).decode


class UnreachedError(ApiError):
    """No replica took the request. ``again``: nothing of it is lost, it can be sent once more."""

    def __init__(self, causes: Sequence[str], tried: Sequence[Endpoint], again: bool) -> None:
        super().__init__(
            502 if causes else 503,
            "no_replica_reached",
            f"No replica could be reached ({'; '.join(causes) or 'none is ready'}). "
            f"Try again in a moment.",
            headers={"Retry-After": "2"},
        )
        self.tried, self.again = tuple(tried), again


@dataclass(frozen=True, slots=True)
class Call:
    """A request to pass on. ``body`` is given the names that the engine has for its models."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Callable[[Sequence[str]], bytes | AsyncIterator[bytes] | None]
    repeatable: bool = True


class Upstream:
    def __init__(self, balancer: Balancer, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._balancer = balancer
        self._names: dict[Endpoint, asyncio.Task[tuple[str, ...]]] = {}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        for task in self._names.values():
            task.cancel()
        await self._session.close()

    def forget_all_but(self, known: Collection[Endpoint]) -> None:
        for endpoint in [e for e in self._names if e not in known]:
            self._names.pop(endpoint).cancel()

    @asynccontextmanager
    async def send(
        self,
        call: Call,
        endpoints: Callable[[Collection[Endpoint]], list[Endpoint]],
        on_retry: Callable[[], None],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends the call to one of the replicas; the answer's body is yet to be read.

        ``endpoints`` is told which replicas have been tried in vain.

        Leaving the context early closes the connection, which tells the engine to stop. Raises
        UnreachedError where no replica could be reached.
        """
        tried: list[Endpoint] = []
        causes: list[str] = []
        while len(tried) < MAX_ATTEMPTS:
            endpoint = self._balancer.pick(endpoints(tried), tried)
            if endpoint is None:
                break
            if tried:
                on_retry()
            tried.append(endpoint)
            with self._balancer.using(endpoint):
                try:
                    response = await self._request(endpoint, call)
                except _UNREACHED as error:
                    self._balancer.failed(endpoint)
                    causes.append(f"{endpoint.address}:{endpoint.port}: {_cause(error)}")
                    if not call.repeatable and not isinstance(error, aiohttp.ClientConnectorError):
                        raise UnreachedError(causes, tried, again=False) from None
                    continue
                async with response:
                    yield response
                return
        raise UnreachedError(causes, tried, again=True)

    async def _request(self, endpoint: Endpoint, call: Call) -> aiohttp.ClientResponse:
        body = call.body(await self.names(endpoint))
        return await self._session.request(
            call.method,
            URL(endpoint.url + call.path, encoded=True),
            data=body,
            headers=call.headers,
            allow_redirects=False,
            timeout=self._timeout,
        )

    async def names(self, endpoint: Endpoint) -> tuple[str, ...]:
        """What the replica calls the models it serves; empty where it doesn't say.

        Asked once per replica. A failure to connect is raised and not remembered.
        """
        task = self._names.get(endpoint)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._ask_names(endpoint))
            self._names[endpoint] = task
        # Shielded: one client that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def _ask_names(self, endpoint: Endpoint) -> tuple[str, ...]:
        timeout = aiohttp.ClientTimeout(total=NAMES_SECONDS, sock_connect=CONNECT_SECONDS)
        try:
            async with self._session.get(f"{endpoint.url}/v1/models", timeout=timeout) as response:
                if response.status != 200:
                    return ()
                found = _decode_models(await response.read())
        except (msgspec.DecodeError, aiohttp.ClientPayloadError) as error:
            log.warning("%s: no usable list of models: %s", endpoint.url, error)
            return ()
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise
            log.warning("%s: no list of models within %.0f s", endpoint.url, NAMES_SECONDS)
            return ()
        return tuple(m.id for m in found.data if m.id)


def _cause(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)
