"""Probes against real servers and processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.waiting import eventually

from ome.standalone.node.probes import Counter, Prober, ProbeSpec, Surroundings, attempt


class Server:
    """Answers with ``status`` after ``delay``."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.calls: list[web.Request] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(request)
        await asyncio.sleep(self.delay)
        return web.Response(status=self.status, text="why not", headers={"Location": "/other"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/{rest:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def where(port: int = 0, **env: str) -> Surroundings:
    return Surroundings("127.0.0.1", {"http": port}, {"PATH": "/bin:/usr/bin", **env}, "/")


@pytest.mark.parametrize(("status", "ok"), [(200, True), (302, True), (404, False), (503, False)])
async def test_http(server: Server, session: aiohttp.ClientSession, status: int, ok: bool) -> None:
    server.status = status
    action = {
        "httpGet": {
            "port": "http",
            "path": "/healthz",
            "httpHeaders": [{"name": "X-A", "value": "b"}],
        }
    }
    outcome = await attempt(action, where(server.port), session, 5)
    assert outcome.ok is ok
    assert len(server.calls) == 1  # redirects are not followed
    assert server.calls[0].headers["X-A"] == "b"
    if not ok:
        assert f"statuscode: {status} why not" in outcome.message


async def test_a_slow_answer_is_a_failure(server: Server, session: aiohttp.ClientSession) -> None:
    server.delay = 30
    outcome = await attempt({"httpGet": {"port": server.port}}, where(), session, 0.1)
    assert (outcome.ok, outcome.message) == (False, "no answer within 0.1s")


async def test_nobody_listening_is_a_failure_with_the_cause(
    server: Server, session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    for action in (
        {"httpGet": {"port": unused_tcp_port}},
        {"tcpSocket": {"port": unused_tcp_port}},
    ):
        outcome = await attempt(action, where(), session, 5)
        assert not outcome.ok
        assert str(unused_tcp_port) in outcome.message
    assert (await attempt({"tcpSocket": {"port": server.port}}, where(), session, 5)).ok


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"httpGet": {"port": "nope"}}, "no port named 'nope'"),
        ({"grpc": {"port": 1}}, "gRPC probes are not supported"),
        ({}, "names no action"),
        ({"exec": {"command": []}}, "empty"),
        ({"exec": {"command": ["/no/such"]}}, "No such file"),
    ],
)
async def test_impossible_probes_fail_with_a_reason(
    session: aiohttp.ClientSession, action: dict[str, Any], words: str
) -> None:
    outcome = await attempt(action, where(), session, 5)
    assert not outcome.ok
    assert words in outcome.message


async def test_commands_run_in_the_containers_environment(session: aiohttp.ClientSession) -> None:
    script = {"exec": {"command": ["sh", "-c", 'echo "saw $FLAG"; test "$FLAG" = up']}}
    assert (await attempt(script, where(FLAG="up"), session, 5)).ok
    outcome = await attempt(script, where(FLAG="down"), session, 5)
    assert (outcome.ok, outcome.message) == (False, "saw down")


async def test_a_command_that_hangs_is_killed_with_its_children(
    session: aiohttp.ClientSession,
) -> None:
    begin = time.monotonic()
    outcome = await attempt(
        {"exec": {"command": ["sh", "-c", "sleep 60 & sleep 60"]}}, where(), session, 0.2
    )
    assert not outcome.ok
    assert time.monotonic() - begin < 5


def test_verdicts_need_as_many_outcomes_in_a_row_as_the_thresholds_say() -> None:
    spec = ProbeSpec.of(
        "readiness", {"readinessProbe": {"successThreshold": 2, "failureThreshold": 3}}
    )
    assert spec is not None
    counter = Counter(spec)
    outcomes = [True, True, False, False, True, False, False, False]
    verdicts = [counter.record(o) for o in outcomes]
    assert verdicts == [None, True, None, None, None, None, None, False]


async def test_readiness_waits_for_the_startup_probe_and_comes_back_after_failures(
    server: Server, session: aiohttp.ClientSession
) -> None:
    server.status = 503
    changes = asyncio.Event()
    failures: list[str] = []
    probe = {"httpGet": {"port": server.port}, "periodSeconds": 1, "failureThreshold": 1}
    prober = Prober(
        {"startupProbe": {**probe, "failureThreshold": 100}, "readinessProbe": probe},
        where(),
        session,
        begun=time.time(),
        changed=changes.set,
        failed=lambda kind, _message: failures.append(kind),
        condemn=lambda kind, message: pytest.fail(f"{kind}: {message}"),
    )
    prober.EAGER = 0.05

    async def until(ready: bool) -> None:
        async with asyncio.timeout(10):
            while prober.ready is not ready:
                changes.clear()
                await changes.wait()

    await eventually(lambda: failures)
    assert not prober.started
    server.status = 200
    await until(True)
    assert prober.started
    server.status = 500
    await until(False)
    server.status = 200
    await until(True)
    await prober.stop()


async def test_a_failed_liveness_probe_condemns_the_container_once(
    session: aiohttp.ClientSession,
) -> None:
    condemned: list[str] = []
    over = asyncio.Event()

    def condemn(kind: str, _message: str) -> None:
        condemned.append(kind)
        over.set()

    prober = Prober(
        {
            "livenessProbe": {
                "exec": {"command": ["false"]},
                "periodSeconds": 1,
                "failureThreshold": 2,
            }
        },
        where(),
        session,
        begun=time.time(),
        changed=lambda: None,
        failed=lambda _kind, _message: None,
        condemn=condemn,
    )
    assert prober.ready
    await asyncio.wait_for(over.wait(), 10)
    await prober.stop()
    assert condemned == ["liveness"]
