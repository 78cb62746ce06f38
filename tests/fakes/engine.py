"""A fake engine: OpenAI's API over real HTTP, with delays and failures that a test sets.

In a test::

    async with FakeEngine(model="llama") as engine:
        engine.behaviour.fail_status = 503      # takes effect with the next request
        ... use engine.url ...
        assert engine.requests[-1].path == "/v1/chat/completions"

As a process (for pods): ``python tests/fakes/engine.py --host 127.0.0.1 --port 0 --model llama``
prints ``listening on http://127.0.0.1:PORT`` and takes ``POST /_control`` with the fields of
:class:`Behaviour` as JSON. It answers chat completions and completions (streamed or not),
embeddings, rerank, audio transcriptions (a form), ``/v1/models``, ``/health`` and ``/metrics``.
Every answer names the engine in the ``X-Fake-Engine`` header, so that tests see which replica
answered. The same is served below
``/services/<namespace>/<name>``, as if a gateway stood in front.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import random
import signal
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import BodyPartReader, web

BODY = web.RequestKey("body", dict)
DRAIN_SECONDS = 2.0
"""How long a process that is told to stop goes on with the answers it is giving."""
WORDS = ("hello", "from", "a", "fake", "engine", "that", "always", "says", "the", "same")


@dataclass
class Behaviour:
    """What the engine does with requests from now on. Delays are seconds."""

    healthy: bool = True
    delay: float = 0.0  # before the first byte
    token_delay: float = 0.0  # between streamed tokens
    tokens: int = 5
    fail_status: int = 0  # answer every /v1 request with this status
    fail_next: int = 0  # only this many of them (0: all, while fail_status is set)
    break_stream_after: int = -1  # close the connection after this many streamed tokens
    hang: bool = False  # never answer /v1 requests
    jitter: float = 0.0  # delays vary by up to this share of themselves, evenly
    fail_share: float = 0.0  # this share of requests gets ``fail_with``, evenly spread
    fail_with: int = 500
    crash_after: int = -1  # stop listening and break all connections after so many requests
    only_model: bool = False  # 404 for any other model than the engine's own
    key: str = ""  # 401 without this bearer token


@dataclass(frozen=True)
class Recorded:
    method: str
    path: str
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class FakeEngine:
    """One engine on a port of its own. Use as an async context manager."""

    def __init__(
        self, *, model: str = "fake", name: str = "engine-0", host: str = "127.0.0.1"
    ) -> None:
        self.model = model
        self.name = name
        self.host = host
        self.port = 0
        self.behaviour = Behaviour()
        self.requests: list[Recorded] = []
        self.in_flight = 0
        self.uploaded = 0
        self._runner: web.AppRunner | None = None
        self._random = random.Random(0)
        self._luck = 0.0
        self._served = 0
        self._stopping: asyncio.Future[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._observe])
        for prefix in ("", "/services/{namespace}/{name}"):
            app.router.add_get(f"{prefix}/health", self._health)
            app.router.add_get(f"{prefix}/v1/models", self._models)
            app.router.add_post(f"{prefix}/v1/chat/completions", self._chat)
            app.router.add_post(f"{prefix}/v1/completions", self._completion)
            app.router.add_post(f"{prefix}/v1/embeddings", self._embeddings)
            app.router.add_post(f"{prefix}/v1/rerank", self._rerank)
            app.router.add_post(f"{prefix}/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/_control", self._control)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def drain(self) -> None:
        """Takes no new connections, and finishes what it answers."""
        assert self._runner is not None
        for site in tuple(self._runner.sites):
            await site.stop()
        while self.in_flight:
            await asyncio.sleep(0.02)
        await self.stop()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> FakeEngine:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @web.middleware
    async def _observe(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/_control":
            return await handler(request)
        body: dict[str, Any] = {}
        if request.content_type.startswith("multipart/"):
            body = await self._form(request)
        elif request.can_read_body:
            body = json.loads(await request.read() or b"{}")
        self.requests.append(Recorded(request.method, request.path, body, dict(request.headers)))
        if "/v1/" not in request.path or request.path.endswith("/v1/models"):
            return await handler(request)
        if (refusal := self._refusal(request, body)) is not None:
            return refusal
        self.in_flight += 1
        try:
            if self.behaviour.hang:
                await asyncio.Event().wait()
            if self.behaviour.delay:
                await asyncio.sleep(self._vary(self.behaviour.delay))
            if self.behaviour.fail_status:
                return self._failure()
            if self._unlucky():
                return self._json({"error": {"message": "bad luck"}}, self.behaviour.fail_with)
            request[BODY] = body
            return await handler(request)
        finally:
            self.in_flight -= 1

    def _refusal(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """Answers that no delay goes before; and the crash."""
        told = self.behaviour
        self._served += 1
        if 0 <= told.crash_after < self._served:
            self._stopping = asyncio.ensure_future(self.stop())
            if request.transport is not None:
                request.transport.abort()
        if told.key and request.headers.get("Authorization") != f"Bearer {told.key}":
            return self._json({"error": {"message": "wrong key"}}, 401)
        if told.only_model and body.get("model") != self.model:
            text = f"The model `{body.get('model')}` does not exist."
            return self._json({"error": {"message": text}}, 404)
        return None

    def _vary(self, delay: float) -> float:
        return delay * (1 + self.behaviour.jitter * self._random.uniform(-1, 1))

    def _unlucky(self) -> bool:
        before, self._luck = self._luck, self._luck + self.behaviour.fail_share
        return int(self._luck) > int(before)

    def _failure(self) -> web.Response:
        status = self.behaviour.fail_status
        if self.behaviour.fail_next:
            self.behaviour.fail_next -= 1
            if self.behaviour.fail_next == 0:
                self.behaviour.fail_status = 0
        return self._json({"error": {"message": "told to fail", "type": "server_error"}}, status)

    def _json(self, body: Any, status: int = 200) -> web.Response:
        return web.json_response(body, status=status, headers={"X-Fake-Engine": self.name})

    async def _form(self, request: web.Request) -> dict[str, Any]:
        """Fields as text, files as their length; the form is read as it comes."""
        found: dict[str, Any] = {}
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader) and part.name is not None
            if part.filename is None:
                found[part.name] = await part.text()
                continue
            self.uploaded = 0
            while chunk := await part.read_chunk():
                self.uploaded += len(chunk)
            found[part.name] = self.uploaded
        return found

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        return self._json({"text": f"{request[BODY].get('file', 0)} bytes of sound"})

    async def _health(self, _request: web.Request) -> web.Response:
        return self._json({"status": "ok"}, 200 if self.behaviour.healthy else 503)

    async def _models(self, _request: web.Request) -> web.Response:
        entry = {"id": self.model, "object": "model", "created": 0, "owned_by": "fake"}
        return self._json({"object": "list", "data": [entry]})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"fake_requests_total {len(self.requests)}\n")

    async def _control(self, request: web.Request) -> web.Response:
        self.behaviour = dataclasses.replace(self.behaviour, **(await request.json()))
        return web.json_response(dataclasses.asdict(self.behaviour))

    def _words(self, body: dict[str, Any]) -> list[str]:
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or self.behaviour.tokens
        count = min(int(limit), self.behaviour.tokens)
        return [WORDS[index % len(WORDS)] for index in range(count)]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            return self._json({"error": {"message": "messages is required"}}, 400)
        words = self._words(body)
        if body.get("stream"):
            deltas = [{"index": 0, "delta": {"content": word + " "}} for word in words]
            return await self._stream(request, "chat.completion.chunk", deltas)
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return self._completed("chat.completion", choice, len(words))

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        words = self._words(request[BODY])
        if request[BODY].get("stream"):
            pieces = [{"index": 0, "text": word + " "} for word in words]
            return await self._stream(request, "text_completion", pieces)
        choice = {"index": 0, "text": " ".join(words), "finish_reason": "stop"}
        return self._completed("text_completion", choice, len(words))

    def _completed(self, kind: str, choice: dict[str, Any], tokens: int) -> web.Response:
        usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
        return self._json(
            {"id": "fake-1", "object": kind, "created": 0, "model": self.model}
            | {"choices": [choice], "usage": usage}
        )

    async def _stream(
        self, request: web.Request, kind: str, choices: list[dict[str, Any]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Fake-Engine": self.name}
        )
        await response.prepare(request)
        base = {"id": "fake-1", "object": kind, "created": 0, "model": self.model}
        for index, choice in enumerate(choices):
            if index == self.behaviour.break_stream_after:
                if request.transport is not None:
                    request.transport.abort()
                return response
            if index and self.behaviour.token_delay:
                await asyncio.sleep(self._vary(self.behaviour.token_delay))
            await response.write(f"data: {json.dumps(base | {'choices': [choice]})}\n\n".encode())
        last = {"index": 0, "finish_reason": "stop"} | (
            {"delta": {}} if "chat" in kind else {"text": ""}
        )
        await response.write(f"data: {json.dumps(base | {'choices': [last]})}\n\n".encode())
        if (request[BODY].get("stream_options") or {}).get("include_usage"):
            usage = self._usage(request[BODY], len(choices))
            chunk = json.dumps(base | {"choices": [], "usage": usage})
            await response.write(f"data: {chunk}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    @staticmethod
    def _usage(body: dict[str, Any], tokens: int) -> dict[str, int]:
        """A word of the prompt is a token."""
        said = body.get("messages") or [{"content": body.get("prompt") or ""}]
        prompt = sum(len(str(message.get("content") or "").split()) for message in said)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }

    async def _embeddings(self, request: web.Request) -> web.Response:
        given = request[BODY].get("input", "")
        inputs = given if isinstance(given, list) else [given]
        data = [
            {"object": "embedding", "index": index, "embedding": [0.1, 0.2, 0.3]}
            for index, _ in enumerate(inputs)
        ]
        count = sum(len(str(text).split()) for text in inputs)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return self._json({"object": "list", "model": self.model, "data": data, "usage": usage})

    async def _rerank(self, request: web.Request) -> web.Response:
        documents = request[BODY].get("documents") or []
        results = [{"index": i, "relevance_score": 1.0 / (i + 1)} for i, _ in enumerate(documents)]
        return self._json({"model": self.model, "results": results})


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A fake engine for tests")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="fake")
    parser.add_argument("--name", default="engine-0")
    parser.add_argument("--start-delay", type=float, default=0.0, help="seconds before it listens")
    options = parser.parse_args()
    if options.start_delay:
        await asyncio.sleep(options.start_delay)
    engine = FakeEngine(model=options.model, name=options.name, host=options.host)
    await engine.start(options.port)
    print(f"listening on {engine.url}", flush=True)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await engine.drain()


if __name__ == "__main__":
    asyncio.run(_main())
