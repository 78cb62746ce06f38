"""`ome` against a cluster: requests go where a kubeconfig says, chat through `services/proxy`.

The API server is the embedded one behind a small front on TCP. The front does what the embedded one
lacks: it forwards ``services/proxy`` to the pod that the test says is behind the Service.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web
from tests.fakes.engine import FakeEngine
from tests.fakes.objects import service
from tests.tools import kubectl
from tests.unit.cli.conftest import Ome, Server

from ome.api import resources as o
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import NAMESPACES, SERVICES
from ome.cli.home import Home

__all__ = ["kubectl"]
START_SECONDS = 20


class Front:
    """An API server on TCP with pods behind Services: ``engine`` is behind ``backend``."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self.engine = FakeEngine(model="served-under-this-name")
        self.backend = ""
        """``name:port`` of the Service that has a pod."""
        self.port = 0

    def __enter__(self) -> Front:
        self._thread.start()
        assert self._started.wait(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _main(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        proxy = "/api/v1/namespaces/{namespace}/services/{backend}/proxy/{rest:.*}"
        app.router.add_route("*", proxy, self._to_pod)
        app.router.add_route("*", "/{rest:.*}", self._to_api)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        connector = UnixConnector(str(self._socket))
        async with (
            ClientSession() as self._pods,
            ClientSession(connector=connector) as self._api,
            self.engine,
        ):
            await site.start()
            self.port = runner.addresses[0][1]
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _to_api(self, request: web.Request) -> web.StreamResponse:
        return await self._forward(self._api, f"http://api{request.rel_url}", request)

    async def _to_pod(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["backend"] != self.backend:
            name = request.match_info["backend"].partition(":")[0]
            said = f'no endpoints available for service "{name}"'
            status = {"kind": "Status", "status": "Failure", "message": said, "code": 503}
            return web.json_response({**status, "reason": "ServiceUnavailable"}, status=503)
        url = f"{self.engine.url}/{request.match_info['rest']}"
        return await self._forward(self._pods, url, request)

    async def _forward(
        self, session: ClientSession, url: str, request: web.Request
    ) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k in ("Accept", "Content-Type")}
        body = await request.read()
        async with session.request(request.method, url, data=body, headers=headers) as answer:
            out = web.StreamResponse(status=answer.status)
            out.headers["Content-Type"] = answer.headers.get("Content-Type", "text/plain")
            await out.prepare(request)
            async for chunk in answer.content.iter_any():
                await out.write(chunk)
            await out.write_eof()
            return out


@pytest.fixture
def front(home: Home, server: Server) -> Iterator[Front]:
    with Front(home.socket) as made:
        yield made


@pytest.fixture
def config(front: Front, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    cluster = {"server": f"http://127.0.0.1:{front.port}"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
        ],
    }
    path.write_text(json.dumps(content))
    return path


def serving(server: Server, namespace: str = "team", *, router: bool = False) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    server.create(NAMESPACES, space)
    made = service("chat")
    made["metadata"]["namespace"] = namespace
    if router:
        made["spec"]["router"] = {}
    server.create(o.INFERENCE_SERVICES, made)


def behind(server: Server, name: str, *ports: Object, namespace: str = "team") -> None:
    meta = {"name": name, "namespace": namespace}
    obj = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": list(ports)}}
    server.create(SERVICES, obj)


def test_commands_go_where_the_context_says(ome: Ome, server: Server, config: Path) -> None:
    serving(server)
    there = ("--kubeconfig", config, "--context", "prod")
    assert "chat" in ome("get", "inferenceservices", *there).out
    assert "chat" not in ome("get", "inferenceservices", "--kubeconfig", config).out
    assert "chat" in ome("describe", "isvc", "chat", *there).out
    assert ome("events", *there).status == 0
    explained = ome("explain", "chat", *there)
    assert "tiny" in explained.out + explained.err
    planned = ome("plan", "chat", *there)
    assert "tiny" in planned.out + planned.err
    missing = ome("get", "inferenceservices", "--kubeconfig", config, "--context", "dev")
    assert missing.status != 0
    assert "prod" in missing.err, "which contexts there are"


@pytest.mark.parametrize(
    ("name", "ports", "backend"),
    [
        ("chat-engine", [{"name": "http", "port": 8080}], "chat-engine:8080"),
        ("chat-engine", [{"name": "grpc", "port": 9}, {"name": "http1", "port": 80}],
         "chat-engine:80"),
        ("chat-engine", [{"port": 30000}], "chat-engine:30000"),
        ("chat-router", [{"name": "http", "port": 8081}], "chat-router:8081"),
        ("chat", [{"name": "http", "port": 8082}], "chat:8082"),
    ],
)  # fmt: skip
def test_chat_goes_through_the_service_and_port_that_are_there(
    ome: Ome, server: Server, front: Front, config: Path, name: str, ports: list[Object],
    backend: str,
) -> None:  # fmt: skip
    serving(server, router=name.endswith("router"))
    behind(server, name, *ports)
    front.backend = backend
    there = ("--kubeconfig", config, "--context", "prod")
    answer = ome("chat", "chat", "Hello?", *there)
    assert answer.status == 0, answer.err
    assert answer.out.split() == ["hello", "from", "a", "fake", "engine"]
    asked = front.engine.requests[-1]
    assert asked.body["model"] == "served-under-this-name"
    assert asked.body["messages"] == [{"role": "user", "content": "Hello?"}]


def test_what_is_in_the_way_of_a_chat_is_said(
    ome: Ome, server: Server, front: Front, config: Path
) -> None:
    serving(server)
    there = ("--kubeconfig", config, "--context", "prod")
    early = ome("chat", "chat", "Hello?", *there)
    assert early.status == 1
    assert "team/chat has no Service yet" in early.err
    assert "ome describe isvc chat -n team" in early.err
    behind(server, "chat-engine", {"name": "http", "port": 8080})
    empty = ome("chat", "chat", "Hello?", *there)
    assert empty.status == 1
    assert "no pod of team/chat takes requests: no endpoints available" in empty.err
    front.backend = "chat-engine:8080"
    front.engine.behaviour.fail_status = 500
    broken = ome("chat", "chat", "Hello?", *there)
    assert broken.status == 1
    assert "team/chat" in broken.err


def test_kubectl_finds_ome_as_its_plugin(
    server: Server, front: Front, config: Path, tmp_path: Path, kubectl: Path
) -> None:
    """The real kubectl runs `kubectl-ome` of the PATH, with kubectl's own configuration."""
    serving(server)
    behind(server, "chat-engine", {"name": "http", "port": 8080})
    front.backend = "chat-engine:8080"
    plugin = tmp_path / "bin" / "kubectl-ome"
    plugin.parent.mkdir()
    path = ", ".join(repr(p) for p in sys.path if p)
    plugin.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = [{path}]\n"
        "from ome.cli.main import main\nmain()\n"
    )
    plugin.chmod(0o755)
    environment = {"PATH": f"{plugin.parent}:/usr/bin:/bin", "KUBECONFIG": str(config)}
    environment["HOME"] = str(tmp_path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(kubectl), "ome", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    got = run("get", "inferenceservices", "-n", "team")
    assert "chat" in got.stdout, got.stderr
    said = run("chat", "chat", "Hello?", "-n", "team")
    assert said.stdout.split()[:2] == ["hello", "from"], said.stderr
    wrong = run("nonsense")
    assert wrong.returncode == 2
    assert "kubectl ome" in wrong.stderr
