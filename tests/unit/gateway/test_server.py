"""The gateway over real HTTP, in front of fake engines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.fakes.engine import FakeEngine
from tests.unit.gateway.objects import endpoint, service, slices

from ome.standalone.gateway import server
from ome.standalone.gateway.balance import Balancer
from ome.standalone.gateway.guard import Guard
from ome.standalone.gateway.metrics import Metrics
from ome.standalone.gateway.routes import RouteTable
from ome.standalone.gateway.server import Gateway
from ome.standalone.gateway.upstream import Upstream

CHAT = "/v1/chat/completions"


class Bed:
    """A gateway on a port of its own, its table, and a client."""

    def __init__(self) -> None:
        self.table = RouteTable()
        self.synced = True
        self.gateway: Gateway
        self.http: aiohttp.ClientSession

    def serve(self, name: str, *engines: FakeEngine, namespace: str = "default") -> None:
        self.table.put_service(service(name, namespace))
        backend = slices(f"{name}-engine", *map(endpoint, engines), namespace=namespace)
        for obj in backend:
            self.table.put_slice(obj)

    async def chat(self, model: str, path: str = CHAT, **more: Any) -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        async with self.http.post(path, json=body) as response:
            return response.status, await response.json()


@asynccontextmanager
async def running(key_file: Path | None = None, **limits: Any) -> AsyncIterator[Bed]:
    bed = Bed()
    upstream = Upstream(Balancer(time.monotonic))
    bed.gateway = Gateway(
        bed.table, upstream, Guard(key_file), Metrics(), lambda: bed.synced, **limits
    )
    runner = web.ServerRunner(
        web.Server(bed.gateway.handle, handler_cancellation=True, access_log=None),
        shutdown_timeout=0.2,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
            bed.http = http
            yield bed
    finally:
        await runner.cleanup()
        await upstream.close()


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    async with running() as made:
        yield made


@pytest.fixture
async def engines() -> AsyncIterator[list[FakeEngine]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(FakeEngine(model="engine-name", name=f"e{i}"))
            for i in range(2)
        ]


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_request_reaches_the_engine_under_the_engines_own_model_name(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    bed.serve("a", engines[0])
    status, body = await bed.chat("a", temperature=0.25, max_tokens=2)
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "hello from"
    seen = engines[0].requests[-1]
    assert seen.body["model"] == "engine-name"
    assert seen.body["temperature"] == 0.25
    assert "Authorization" not in seen.headers
    await bed.chat("a")
    asked = [r for r in engines[0].requests if r.path == "/v1/models"]
    assert len(asked) == 1


async def test_the_answer_streams_as_it_is_made(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0])
    engines[0].behaviour.token_delay = 0.3
    engines[0].behaviour.tokens = 3
    began = time.monotonic()
    body = {"model": "a", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with bed.http.post(CHAT, json=body) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["X-OME-Service"] == "default/a"
        first = await response.content.readany()
        assert time.monotonic() - began < 0.3
        assert first.startswith(b"data: ")
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_goes_away_ends_the_engines_work(
    bed: Bed, engines: list[FakeEngine], streaming: bool
) -> None:
    bed.serve("a", engines[0])
    engines[0].behaviour.hang = not streaming
    engines[0].behaviour.token_delay = 30
    asking = asyncio.create_task(bed.chat("a", stream=streaming))
    await until(lambda: engines[0].in_flight == 1)
    asking.cancel()
    await until(lambda: engines[0].in_flight == 0, 2)


async def test_a_replica_that_cannot_be_reached_is_replaced_by_another(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    bed.serve("a", *engines)
    await engines[0].stop()
    for _ in range(4):
        status, _ = await bed.chat("a")
        assert status == 200
    assert len([r for r in engines[1].requests if r.path == CHAT]) == 4
    await engines[1].stop()
    status, body = await bed.chat("a")
    assert status == 502
    assert body["error"]["code"] == "no_replica_reached"
    assert str(engines[0].port) in body["error"]["message"]


async def test_requests_spread_over_replicas(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", *engines)
    for engine in engines:
        engine.behaviour.delay = 0.2
    await asyncio.gather(*[bed.chat("a") for _ in range(4)])
    counts = [len([r for r in e.requests if r.path == CHAT]) for e in engines]
    assert counts == [2, 2]


async def test_an_answer_that_breaks_off_is_not_passed_on_as_complete(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    bed.serve("a", engines[0])
    engines[0].behaviour.break_stream_after = 2
    body = {"model": "a", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(aiohttp.ClientPayloadError):
        async with bed.http.post(CHAT, json=body) as response:
            await response.read()


async def test_an_engines_own_error_is_passed_on(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0])
    engines[0].behaviour.fail_status = 429
    status, body = await bed.chat("a")
    assert (status, body["error"]["message"]) == (429, "told to fail")


async def test_an_unknown_model_is_told_what_there_is(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0])
    bed.serve("b", engines[1], namespace="team")
    status, body = await bed.chat("gpt-5")
    assert status == 404
    assert body["error"] == {
        "message": "There is no model 'gpt-5' here. There is: a, team/b. "
        "'ome get' shows all services, 'ome apply -f FILE' makes one.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    bed.synced = False
    status, body = await bed.chat("gpt-5")
    assert (status, body["error"]["code"]) == (503, "starting")


async def test_a_service_that_is_not_ready_says_why(bed: Bed) -> None:
    bed.table.put_service(
        service("a", "team", ready=False, reason="Downloading", message="40 of 98 MB, 12 s to go.")
    )
    body = {"model": "team/a", "messages": []}
    async with bed.http.post(CHAT, json=body) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "5"
        error = (await response.json())["error"]
    assert error["code"] == "service_not_ready"
    assert error["message"] == (
        "Service 'team/a' is not ready: 40 of 98 MB, 12 s to go (Downloading). "
        "Try again later; 'ome describe isvc a -n team' shows how far it is."
    )


async def test_a_services_own_address_passes_any_path(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0], namespace="team")
    async with bed.http.get("/services/team/a/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})
    status, _ = await bed.chat("whatever", f"/services/team/a{CHAT}")
    assert status == 200
    assert engines[0].requests[-1].body["model"] == "engine-name"
    async with bed.http.get("/services/team/none/health") as response:
        assert response.status == 404
        assert "team/none" in (await response.json())["error"]["message"]


async def test_models_are_listed_with_their_readiness(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0])
    bed.table.put_service(service("b", ready=False, message="waiting for a node"))
    async with bed.http.get("/v1/models") as response:
        listed = (await response.json())["data"]
    assert listed[0] == {
        "id": "a",
        "object": "model",
        "created": 1767323045,
        "owned_by": "ome",
        "ready": True,
        "why": "",
    }
    assert (listed[1]["id"], listed[1]["why"]) == ("b", "waiting for a node")
    async with bed.http.get("/v1/models/default/b") as response:
        assert (await response.json())["id"] == "b"


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", "invalid_json", 400),
        (b"[1]", "invalid_json", 400),
        (b"", "invalid_json", 400),
        (b'{"messages": []}', "model_missing", 400),
        (b'{"model": 3}', "model_not_a_string", 400),
    ],
)
async def test_a_bad_body_is_refused_with_the_reason(
    bed: Bed, body: bytes, code: str, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    async with bed.http.post(CHAT, data=body, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code
    assert bed.gateway._body_bytes == 0


async def test_too_large_a_body_is_refused_before_it_is_read_whole(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_BODY", 1000)
    headers = {"Content-Type": "application/json"}
    async with bed.http.post(CHAT, data=b"x" * 5000, headers=headers) as response:
        assert response.status == 413
    assert bed.gateway._body_bytes == 0


async def test_what_is_neither_json_nor_a_form_needs_the_services_own_address(bed: Bed) -> None:
    headers = {"Content-Type": "audio/wav"}
    async with bed.http.post("/v1/audio/transcriptions", data=b"RIFF", headers=headers) as response:
        assert response.status == 415
        assert "/services/" in (await response.json())["error"]["message"]


async def test_too_many_requests_are_refused_with_a_pause(engines: list[FakeEngine]) -> None:
    async with running(max_in_flight=1) as bed:
        bed.serve("a", engines[0])
        engines[0].behaviour.hang = True
        asking = asyncio.create_task(bed.chat("a"))
        await until(lambda: engines[0].in_flight == 1)
        status, body = await bed.chat("a")
        assert (status, body["error"]["code"]) == (503, "gateway_busy")
        asking.cancel()


async def test_figures_name_services_and_tokens(bed: Bed, engines: list[FakeEngine]) -> None:
    bed.serve("a", engines[0])
    await bed.chat("a")
    await bed.chat("unknown")
    async with bed.http.get("/metrics") as response:
        text = await response.text()
    assert 'ome_gateway_requests_total{code="200",service="a"} 1.0' in text
    assert 'ome_gateway_tokens_total{kind="completion",service="a"} 5.0' in text
    assert "unknown" not in text


async def test_health_needs_no_key_and_readiness_waits_for_routes(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# mine\nsecret\n")
    async with running(keys) as bed:
        bed.synced = False
        for path, status in {"/healthz": 200, "/readyz": 503, "/v1/models": 401}.items():
            async with bed.http.get(path) as response:
                assert response.status == status
        headers = {"Authorization": "Bearer secret"}
        async with bed.http.get("/v1/models", headers=headers) as response:
            assert response.status == 200
        keys.write_text("changed-now\n")
        async with bed.http.get("/v1/models", headers=headers) as response:
            assert response.status == 401


async def test_without_keys_only_this_machine_is_answered(bed: Bed) -> None:
    for headers, status in (
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
    ):
        async with bed.http.get("/v1/models", headers=headers) as response:
            assert response.status == status, headers


def test_a_key_file_without_keys_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# nothing\n")
    with pytest.raises(ValueError, match="no key in it"):
        Guard(keys)


async def test_a_request_body_with_an_unknown_escape_survives_unchanged(
    bed: Bed, engines: list[FakeEngine]
) -> None:
    bed.serve("a", engines[0])
    message = b'{"role":"user","content":"\\u00e9"}'
    raw = b'{"model":"a","seed":12345678901234567890,"messages":[' + message + b"]}"
    async with bed.http.post(CHAT, data=raw, headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 200
    assert engines[0].requests[-1].body == {**json.loads(raw), "model": "engine-name"}
