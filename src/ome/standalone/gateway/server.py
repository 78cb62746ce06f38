"""The HTTP side: reads requests, finds the service, relays the answer as it comes.

Everything is bounded: the size of a body that is read for its ``model`` (32 MiB), all such bodies
together, requests at once, the silence allowed to a client that sends or receives. Forms and other
uploads are passed on as they come, up to 1 GiB.
"""

from __future__ import annotations

import asyncio
import calendar
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec
from aiohttp import hdrs, web

from ome.apimachinery.objects import Key
from ome.standalone.gateway import metrics as figures
from ome.standalone.gateway.calls import call, is_json, model_of, parse, rewriter, without_hop
from ome.standalone.gateway.errors import ApiError, busy, not_ready
from ome.standalone.gateway.forms import BadForm, ModelFinder, boundary_of
from ome.standalone.gateway.guard import Guard
from ome.standalone.gateway.routes import Endpoint, RouteTable, Service
from ome.standalone.gateway.upstream import Call, UnreachedError, Upstream
from ome.standalone.gateway.zero import Zero

log = logging.getLogger(__name__)

MAX_BODY = 32 * 1024 * 1024
MAX_BODIES = 256 * 1024 * 1024
MAX_UPLOAD = 1024 * 1024 * 1024
MAX_IN_FLIGHT = 1024
CLIENT_SECONDS = 60.0

_USAGE = re.compile(rb'"(prompt|completion)_tokens"\s*:\s*(\d+)')
_TAIL = 4096


@dataclass(slots=True)
class Gateway:
    """Handles every request of the server. ``synced`` says whether routes have been read once;
    ``instance`` tells the gateway of one OME from that of another."""

    table: RouteTable
    upstream: Upstream
    guard: Guard
    figures: figures.Metrics
    synced: Callable[[], bool]
    max_in_flight: int = MAX_IN_FLIGHT
    instance: str = ""
    zero: Zero | None = None
    """Wakes services that have no replica while nobody asks."""
    draw: Callable[[], float] = field(default=lambda: random.uniform(0, 100))
    """For each request: decides whether a canary gets it."""
    max_upload: int = MAX_UPLOAD
    _in_flight: int = 0
    _body_bytes: int = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.path in ("/healthz", "/readyz"):
                return self._health(request.path)
            self.guard.check(request)
            return await self._route(request)
        except ApiError as error:
            response = error.response()
            if request.content is not None and not request.content.is_eof():
                # What is left of the body is not read: the connection can't be used again.
                response.force_close()
            return response

    def _health(self, path: str) -> web.Response:
        if path == "/readyz" and not self.synced():
            return web.Response(status=503, text="no routes have been read from the API yet\n")
        return web.Response(text="ok\n", headers={"X-OME-Instance": self.instance})

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/metrics":
            return web.Response(
                body=self.figures.text(), headers={"Content-Type": figures.CONTENT_TYPE}
            )
        if path == "/":
            return web.Response(text=self._welcome())
        if path.startswith("/services/"):
            return await self._by_path(request)
        if path.rstrip("/") == "/v1/models":
            return _json({"object": "list", "data": [_listed(s) for s in self.table.listed()]})
        if path.startswith("/v1/models/"):
            return _json(_listed(self._find(path.removeprefix("/v1/models/"), "model")))
        if path.startswith("/v1/"):
            return await self._by_model(request)
        raise ApiError(
            404,
            "unknown_path",
            f"There is nothing at {path}. OpenAI's API is under /v1, one service's own address "
            f"under /services/<namespace>/<name>, figures under /metrics.",
        )

    def _welcome(self) -> str:
        lines = [f"  {s.id}  {'ready' if s.ready else s.why}" for s in self.table.listed()]
        services = "\n".join(lines) or "  none yet"
        return f"OME gateway: OpenAI's API is at /v1. Services:\n{services}\n"

    async def _by_model(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != hdrs.METH_POST:
            raise ApiError(
                405,
                "method_not_allowed",
                f"{request.method} {request.path} names no model, so there is no telling which "
                f"service is meant: use /services/<namespace>/<name>{request.path}.",
                headers={"Allow": "POST"},
            )
        if request.content_type == "multipart/form-data":
            return await self._by_form(request)
        if not is_json(request):
            raise ApiError(
                415,
                "unsupported_media_type",
                f"Routing by model reads JSON bodies and forms, this one is "
                f"'{request.content_type}': send it to the service's own address, "
                f"/services/<namespace>/<name>{request.path}.",
            )
        raw = await self._read(request)
        try:
            fields = parse(raw)
            model = model_of(fields)
            if not model:
                raise ApiError(
                    400,
                    "model_missing",
                    f"The body's 'model' is missing. There is: {self._names()}.",
                    param="model",
                )
            service = self._find(model, "model")
            outgoing = call(request, request.raw_path, rewriter(fields, model))
            return await self._relay(request, service, outgoing)
        finally:
            self._body_bytes -= len(raw)

    async def _by_form(self, request: web.BaseRequest) -> web.StreamResponse:
        """A form names its model in a field; the rest of it is passed on as it comes."""
        try:
            finder = ModelFinder(boundary_of(request.headers[hdrs.CONTENT_TYPE]))
            stream = self._stream(request, self.max_upload)
            await self._read_to_model(request, finder, stream)
            model = finder.model
        except BadForm as error:
            raise ApiError(400, "invalid_form", f"The body is not a form: {error}.") from None
        held = len(finder.read)
        self._body_bytes += held
        try:
            if not model:
                raise ApiError(
                    400,
                    "model_missing",
                    f"The form has no field 'model', so there is no telling which service is "
                    f"meant. There is: {self._names()}. A service's own address needs none: "
                    f"/services/<namespace>/<name>{request.path}.",
                    param="model",
                )
            service = self._find(model, "model")

            def body(names: Sequence[str]) -> AsyncIterator[bytes]:
                known = not names or model in names
                return _joined(finder.with_model(model if known else names[0]), stream)

            outgoing = call(request, request.raw_path, body, repeatable=False)
            return await self._relay(request, service, outgoing)
        finally:
            self._body_bytes -= held

    async def _read_to_model(
        self, request: web.BaseRequest, finder: ModelFinder, stream: AsyncIterator[bytes]
    ) -> None:
        _go_on(request)
        async for chunk in stream:
            if finder.feed(chunk):
                return
            if len(finder.read) > MAX_BODY:
                raise ApiError(
                    413,
                    "body_too_large",
                    f"The form's field 'model' has not come within {MAX_BODY >> 20} MiB: put it "
                    f"before the file, or use /services/<namespace>/<name>{request.path}.",
                )
            if self._body_bytes + len(finder.read) > MAX_BODIES:
                raise busy("all requests being read together are too large")

    async def _by_path(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = request.raw_path.split("?", 1)[0].split("/", 4)
        namespace, name = parts[2], parts[3] if len(parts) > 3 else ""
        service = self.table.services.get(Key(namespace, name))
        if service is None:
            raise self._unknown(f"{namespace}/{name}", None)
        rest = request.raw_path[len(f"/services/{namespace}/{name}") :]
        path = rest if rest.startswith("/") else f"/{rest}"
        if not request.body_exists:
            return await self._relay(request, service, call(request, path, lambda _: None))
        if not is_json(request):
            _go_on(request)
            stream = self._stream(request, self.max_upload)
            outgoing = call(request, path, lambda _: stream, repeatable=False)
            return await self._relay(request, service, outgoing)
        raw = await self._read(request)
        try:
            fields = parse(raw)
            outgoing = call(request, path, rewriter(fields, model_of(fields)))
            return await self._relay(request, service, outgoing)
        finally:
            self._body_bytes -= len(raw)

    def _find(self, model: str, param: str) -> Service:
        service = self.table.find(model)
        if service is None:
            raise self._unknown(model, param)
        return service

    def _unknown(self, model: str, param: str | None) -> ApiError:
        if not self.synced():
            return ApiError(
                503,
                "starting",
                "The gateway has not read its routes from the API yet; try again in a moment.",
                headers={"Retry-After": "1"},
            )
        return ApiError(
            404,
            "model_not_found",
            f"There is no model '{model}' here. There is: {self._names()}. "
            f"'ome get' shows all services, 'ome apply -f FILE' makes one.",
            param=param,
        )

    def _names(self) -> str:
        names = [s.id for s in self.table.listed()]
        shown = ", ".join(names[:20]) or "nothing yet"
        return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"

    async def _read(self, request: web.BaseRequest) -> bytes:
        """The whole body. The caller gives its length back to ``_body_bytes``."""
        _go_on(request)
        chunks = []
        size = 0
        try:
            async for chunk in self._stream(request):
                size += len(chunk)
                self._body_bytes += len(chunk)
                if size > MAX_BODY:
                    raise ApiError(
                        413, "body_too_large", f"The body is larger than {MAX_BODY >> 20} MiB."
                    )
                if self._body_bytes > MAX_BODIES:
                    raise busy("all requests being read together are too large")
                chunks.append(chunk)
        except BaseException:
            self._body_bytes -= size
            raise
        return b"".join(chunks)

    async def _stream(self, request: web.BaseRequest, most: int = 0) -> AsyncIterator[bytes]:
        size = 0
        while True:
            try:
                async with asyncio.timeout(CLIENT_SECONDS):
                    chunk = await request.content.readany()
            except TimeoutError:
                raise ApiError(
                    408, "body_too_slow", f"Nothing of the body came for {CLIENT_SECONDS:.0f} s."
                ) from None
            if not chunk:
                return
            size += len(chunk)
            if most and size > most:
                raise ApiError(413, "body_too_large", f"The body is larger than {most >> 20} MiB.")
            yield chunk

    async def _relay(
        self, request: web.BaseRequest, service: Service, outgoing: Call
    ) -> web.StreamResponse:
        if not self.table.endpoints(service) and not (self.zero and service.from_zero):
            raise not_ready(service)
        if self._in_flight >= self.max_in_flight:
            raise busy(f"{self._in_flight} requests are being answered")
        if self.zero is None:
            return await self._answer(request, service, outgoing)
        async with self.zero.using(service):
            return await self._answer(request, service, outgoing)

    async def _answer(
        self, request: web.BaseRequest, service: Service, outgoing: Call
    ) -> web.StreamResponse:
        draw = self.draw()
        began = time.monotonic()
        code = "0"
        self._in_flight += 1
        self.figures.in_flight.add(service.id)
        try:
            if self.zero is not None and not self.table.endpoints(service):
                await self.zero.wake(service)
            async with self._reached(service, outgoing, draw) as answer:
                code = str(answer.status)
                return await self._pass_on(request, service, answer, began)
        except ApiError as error:
            code = str(error.status)
            raise
        except aiohttp.ClientConnectionError as error:
            if isinstance(error.__cause__, ApiError):  # the client's body, while it was passed on
                code = str(error.__cause__.status)
                raise error.__cause__ from None
            if not isinstance(error, aiohttp.ServerTimeoutError):
                raise
            code = "504"
            raise ApiError(
                504, "engine_silent", "The engine has said nothing for too long."
            ) from None
        finally:
            self._in_flight -= 1
            self.figures.in_flight.add(service.id, by=-1)
            self.figures.requests.add(service.id, code)
            self.figures.duration.observe(service.id, time.monotonic() - began)

    @asynccontextmanager
    async def _reached(
        self, service: Service, outgoing: Call, draw: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of a replica. One that is just being let go is not an answer: the request
        wakes the service like those that come a moment later."""
        gone: set[Endpoint] = set()

        def endpoints(tried: Collection[Endpoint]) -> list[Endpoint]:
            return [e for e in self.table.endpoints(service, draw, tried) if e not in gone]

        def retried() -> None:
            self.figures.retries.add(service.id)

        async with AsyncExitStack() as stack:
            try:
                sent = self.upstream.send(outgoing, endpoints, retried)
                answer = await stack.enter_async_context(sent)
            except UnreachedError as error:
                if self.zero is None or not service.from_zero or not error.again:
                    raise
                gone.update(error.tried)
                await self.zero.wake(service, gone)
                sent = self.upstream.send(outgoing, endpoints, retried)
                answer = await stack.enter_async_context(sent)
            yield answer

    async def _pass_on(
        self,
        request: web.BaseRequest,
        service: Service,
        answer: aiohttp.ClientResponse,
        began: float,
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        response.headers.extend(without_hop(answer.headers))
        response.headers["X-OME-Service"] = f"{service.namespace}/{service.name}"
        if hdrs.CONTENT_LENGTH not in response.headers:
            response.enable_chunked_encoding()
        await response.prepare(request)
        tail = b""
        try:
            async for chunk in answer.content.iter_any():
                if not tail:
                    self.figures.first_byte.observe(service.id, time.monotonic() - began)
                tail = (tail + chunk)[-_TAIL:]
                async with asyncio.timeout(CLIENT_SECONDS):
                    await response.write(chunk)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            # The head is out: cutting the connection is the one way left to say "not complete".
            log.warning("%s: answer broken off: %s", service.id, error or type(error).__name__)
            if request.transport is not None:
                request.transport.abort()
            return response
        for kind, count in _USAGE.findall(tail):
            self.figures.tokens.add(service.id, kind.decode(), by=int(count))
        await response.write_eof()
        return response


def _go_on(request: web.BaseRequest) -> None:
    """Clients that ask first wait for this before they send a body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _listed(service: Service) -> dict[str, object]:
    created = 0
    if service.created:
        created = calendar.timegm(time.strptime(service.created[:19], "%Y-%m-%dT%H:%M:%S"))
    return {
        "id": service.id,
        "object": "model",
        "created": created,
        "owned_by": "ome",
        "ready": service.ready,
        "why": "" if service.ready else service.why,
    }
