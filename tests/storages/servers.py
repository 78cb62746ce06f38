"""Storage servers on loopback, one process each: moto (S3), azurite (Azure), fake-gcs-server.

moto is a Python package among the development dependencies. azurite is fetched once with ``npm ci``
from the lock file beside this module; fake-gcs-server is built once from its pinned Go module.
Both land in ``$OME_TEST_CACHE`` or ``~/.cache/ome-tests``. Where npm or go is missing, asking for
them fails and says so.

    python -m tests.storages.servers        # fetches and builds what is missing
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path

from tests.tools import ToolMissing, cache_dir

HERE = Path(__file__).parent
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Published by the emulator's makers; opens nothing but the emulator."""


def azurite_script() -> Path:
    """The emulator's main file. Fetches it once."""
    lock = HERE / "azurite" / "package-lock.json"
    stamp = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = cache_dir() / f"azurite-{stamp}"
    script = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if script.exists():
        return script
    fresh = folder.with_suffix(f".{os.getpid()}")
    fresh.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "azurite" / name, fresh)
    flags = ["--ignore-scripts", "--no-audit", "--no-fund"]
    _run([_program("npm"), "ci", *flags], fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return script


def fake_gcs_program() -> Path:
    """fake-gcs-server. Builds it once."""
    module = HERE / "fakegcs"
    stamp = hashlib.sha256((module / "go.sum").read_bytes()).hexdigest()[:12]
    program = cache_dir() / f"fake-gcs-server-{stamp}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        flags = ["-trimpath", "-mod=readonly", "-ldflags", "-s -w", "-o", str(fresh)]
        _run([_program("go"), "build", *flags, "github.com/fsouza/fake-gcs-server"], module)
        fresh.replace(program)
    return program


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """An S3 server. Its URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _process(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                with _drained(process):
                    yield found[1]
                return
        raise RuntimeError("moto ended before it listened")


@contextlib.contextmanager
def azurite() -> Iterator[str]:
    """An Azure blob service. The URL of its account."""
    port = _free_port()
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command = [_program("node"), str(azurite_script()), "--blobHost", "127.0.0.1"]
    with _process([*command, "--blobPort", str(port), *options]) as process, _drained(process):
        _await_port(port, process)
        yield f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"


@contextlib.contextmanager
def fake_gcs() -> Iterator[str]:
    """A Google Cloud Storage. Its URL."""
    port = _free_port()
    command = [str(fake_gcs_program()), "-scheme", "http", "-host", "127.0.0.1"]
    options = ["-port", str(port), "-backend", "memory", "-public-host", f"127.0.0.1:{port}"]
    with _process([*command, *options]) as process, _drained(process):
        _await_port(port, process)
        yield f"http://127.0.0.1:{port}"


def make_s3_bucket(url: str, name: str) -> None:
    _put(f"{url}/{name}", {})


def make_gcs_bucket(url: str, name: str) -> None:
    body = f'{{"name": "{name}"}}'.encode()
    request = urllib.request.Request(f"{url}/storage/v1/b?project=p", body, method="POST")
    request.add_header("Content-Type", "application/json")
    _send(request)


def put_gcs_object(url: str, bucket: str, name: str, data: bytes) -> None:
    query = urllib.parse.urlencode({"uploadType": "media", "name": name})
    where = f"{url}/upload/storage/v1/b/{bucket}/o?{query}"
    _send(urllib.request.Request(where, data, method="POST"))


def make_azure_container(url: str, name: str) -> None:
    """Signed by hand: obstore makes no containers."""
    date = formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06"}
    lines = [f"{key}:{value}" for key, value in headers.items()]
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    text = "\n".join(["PUT", *[""] * 11, *lines, resource])
    digest = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(digest).decode()}"
    _put(f"{url}/{name}?restype=container", {**headers, "Content-Type": ""})


def _put(url: str, headers: dict[str, str]) -> None:
    _send(urllib.request.Request(url, b"", headers, method="PUT"))


def _send(request: urllib.request.Request) -> None:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{request.full_url}: {error} {error.read()!r}") from error


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(
            f"a storage emulator needs {name}, and there is none on PATH: install it and run "
            "`make test-emulators` again"
        )
    return found


def _run(command: Sequence[str], folder: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ToolMissing(f"`{' '.join(command)}` failed:\n{done.stderr[-3000:]}")


@contextlib.contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def _drained(process: subprocess.Popen[str]) -> Iterator[None]:
    """Its output must not fill the pipe."""
    assert process.stdout is not None
    sink = subprocess.Popen(
        ["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        sink.kill()
        sink.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} did not listen on {port} (exit {process.returncode})")


if __name__ == "__main__":
    try:
        print(azurite_script())
        print(fake_gcs_program())
    except ToolMissing as error:
        sys.exit(str(error))
