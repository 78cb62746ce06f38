"""A proxy in front of a real kube-apiserver that does to its clients what networks and servers do.

Clients speak plain HTTP to :attr:`FaultProxy.url` with their own token; the proxy speaks TLS to the
server. Everything passes untouched until there is

* *weather*: each request may meet a fault, by the odds of a table and the dice of a seed;
* a *fault* for the next requests that fit, as in :mod:`tests.unit.kube.fakeapi`;
* a *trap*: a function that sees each write before it is forwarded and before it is answered.

It runs in a thread of its own, so that tests may block.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

READS = ("GET", "HEAD")
_HOP: Final = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive"})


@dataclass(frozen=True)
class Odds:
    """How many of a hundred requests meet each fault."""

    conflict: float = 0
    """409, for changes of what exists."""
    busy: float = 0
    """429 with Retry-After."""
    error: float = 0
    """500."""
    reset: float = 0
    """Cut before the server has seen it."""
    lost: float = 0
    """The server does it, and the answer never arrives."""
    torn: float = 0
    """The answer is cut in its middle."""
    slow: float = 0
    """The answer takes up to two seconds."""
    cut: float = 0
    """Of watches: cut after a while, wherever the stream is."""
    gone: float = 0
    """Of watches: 410."""


STORM: Final = Odds(
    conflict=4, busy=3, error=4, reset=4, lost=4, torn=3, slow=5, cut=60, gone=10
)  # fmt: skip


@dataclass
class Fault:
    """What the next ``times`` requests meet that fit."""

    kind: str
    method: str = ""
    path: str = ""
    """A part of it."""
    times: int = 1
    user_agent: str = ""

    def fits(self, request: web.Request) -> bool:
        return (
            self.times > 0
            and (not self.method or request.method == self.method)
            and self.path in request.path
            and self.user_agent in request.headers.get("User-Agent", "")
        )


@dataclass
class Weather:
    odds: Odds
    seed: int
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def fault(self, request: web.Request, *, watch: bool) -> str:
        kinds = ("cut", "gone") if watch else ("busy", "error", "reset", "lost", "torn", "slow")
        if request.method in ("PUT", "PATCH"):
            kinds = ("conflict", *kinds)
        left = self.dice.random() * 100
        for kind in kinds:
            left -= getattr(self.odds, kind)
            if left < 0:
                return kind
        return ""


Trap = Callable[[str, str, str], None]
"""``(moment, method, path)``; the moment is ``before`` or ``after`` the server did it."""


class FaultProxy:
    def __init__(self, target: str) -> None:
        self._target = target
        self.weather: Weather | None = None
        self.trap: Trap | None = None
        self.done: Counter[str] = Counter()
        """Faults that requests have met."""
        self._faults: list[Fault] = []
        self._watches: dict[int, web.Request] = {}
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self.port = 0
        started = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10), "the proxy does not start"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def fail(self, *faults: Fault) -> None:
        self._faults += faults

    def fair(self) -> None:
        """From now on nothing happens."""
        self.weather, self.trap = None, None
        self._faults.clear()

    def cut_watches(self, path: str = "") -> int:
        """Cuts those that are open; how many."""

        async def cut() -> int:
            found = [request for request in self._watches.values() if path in request.path]
            for request in found:
                _cut(request)
            return len(found)

        return asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    # -- inside -------------------------------------------------------------------------------

    def _work(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(started))
        self._loop.close()

    async def _serve(self, started: threading.Event) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._session = session
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        watch = request.query.get("watch") == "true"
        kind = self._fault(request, watch=watch)
        if kind:
            self.done[kind] += 1
        if (refused := _refusal(kind)) is not None:
            return refused
        if kind == "reset":
            return _cut(request)
        if kind == "slow":
            await asyncio.sleep((self.weather or Weather(STORM, 0)).dice.random() * 2)
        self._spring("before", request)
        try:
            return await self._forward(request, body, kind, watch=watch)
        except (aiohttp.ClientError, OSError):
            return _cut(request)  # the server is away: so is the proxy

    def _fault(self, request: web.Request, *, watch: bool) -> str:
        for fault in self._faults:
            if fault.fits(request):
                fault.times -= 1
                return fault.kind
        return self.weather.fault(request, watch=watch) if self.weather is not None else ""

    def _spring(self, moment: str, request: web.Request) -> None:
        if self.trap is not None and request.method not in READS:
            self.trap(moment, request.method, request.path)

    async def _forward(
        self, request: web.Request, body: bytes, kind: str, *, watch: bool
    ) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        timeout = aiohttp.ClientTimeout(total=None if watch else 70)
        async with self._session.request(
            request.method, self._target + request.path_qs, headers=headers, data=body or None,
            timeout=timeout, allow_redirects=False,
        ) as answer:  # fmt: skip
            if not watch:
                data = await answer.read()
                self._spring("after", request)
                if kind == "lost":
                    return _cut(request)
                response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
                response.content_length = len(data)
                await response.prepare(request)
                if kind == "torn":
                    await response.write(data[: len(data) // 2])
                    return _cut(request)
                await response.write(data)
                await response.write_eof()
                return response
            return await self._stream(request, answer, kind)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, kind: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
        await response.prepare(request)
        self._watches[id(request)] = request
        if kind == "cut":
            dice = (self.weather or Weather(STORM, 0)).dice
            self._loop.call_later(0.2 + dice.random() * 5, _cut, request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (aiohttp.ClientError, ConnectionError):
            _cut(request)
        finally:
            self._watches.pop(id(request), None)
        return response


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in _HOP}


_REFUSALS: Final[dict[str, tuple[int, str, str]]] = {
    "conflict": (409, "Conflict", "injected: the object has been modified"),
    "busy": (429, "TooManyRequests", "injected: too many requests"),
    "error": (500, "InternalError", "injected: something went wrong"),
    "gone": (410, "Expired", "injected: too old resource version"),
    "timeout": (504, "Timeout", "injected: request did not complete within requested timeout"),
    "full": (507, "InsufficientStorage", "injected: database space exceeded"),
}


def _refusal(kind: str) -> web.Response | None:
    if kind not in _REFUSALS:
        return None
    code, reason, message = _REFUSALS[kind]
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    headers = {"Retry-After": "1"} if code == 429 else {}
    body = json.dumps(status).encode()
    return web.Response(status=code, body=body, headers=headers, content_type="application/json")


def _cut(request: web.Request) -> web.StreamResponse:
    """The connection is gone without another byte."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
