"""Probes and lifecycle hooks: one attempt of an action, and the counting of attempts.

gRPC probes are refused with a reason (no gRPC library is installed for one probe type): such a
probe fails and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

OUTPUT_LIMIT = 10 * 1024
BODY_LIMIT = 512

ProbeKind = Literal["startup", "liveness", "readiness"]


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where actions of one container run."""

    address: str
    ports: Mapping[str, int]
    env: Mapping[str, str]
    cwd: str
    exec_prefix: Sequence[str] = ()
    """Before the command: how to enter the container, where it is not a host process."""
    rewrite: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A probe with Kubernetes' defaults filled in. Times in seconds."""

    kind: ProbeKind
    action: Mapping[str, Any]
    delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @staticmethod
    def of(kind: ProbeKind, container: Mapping[str, Any]) -> ProbeSpec | None:
        probe = container.get(f"{kind}Probe")
        if not probe:
            return None

        def number(key: str, default: int) -> int:
            return int(probe.get(key) or default)

        return ProbeSpec(
            kind=kind,
            action=probe,
            delay=number("initialDelaySeconds", 0),
            period=max(1, number("periodSeconds", 10)),
            timeout=max(1, number("timeoutSeconds", 1)),
            successes=max(1, number("successThreshold", 1)) if kind == "readiness" else 1,
            failures=max(1, number("failureThreshold", 3)),
        )


class Counter:
    """Turns single outcomes into verdicts: True, False, or None while nothing is decided."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        self._last: bool | None = None
        self._run = 0

    def record(self, ok: bool) -> bool | None:
        self._run = self._run + 1 if ok == self._last else 1
        self._last = ok
        needed = self._spec.successes if ok else self._spec.failures
        return ok if self._run >= needed else None


def ports_of(container: Mapping[str, Any]) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for p in container.get("ports") or () if p.get("name")}


def _port(value: object, surroundings: Surroundings) -> int:
    if isinstance(value, str) and not value.isdigit():
        if value not in surroundings.ports:
            raise ValueError(f"the container has no port named {value!r}")
        return surroundings.ports[value]
    return int(str(value))


async def attempt(
    action: Mapping[str, Any],
    surroundings: Surroundings,
    session: aiohttp.ClientSession,
    timeout: float,
) -> Outcome:
    """Runs a handler (``httpGet``, ``tcpSocket``, ``exec``, ``sleep``) once. Never raises for what
    a container does wrong."""
    try:
        async with asyncio.timeout(timeout):
            if spec := action.get("httpGet"):
                return await _http(spec, surroundings, session)
            if spec := action.get("tcpSocket"):
                return await _tcp(spec, surroundings)
            if spec := action.get("exec"):
                return await _exec(spec.get("command") or (), surroundings)
            if spec := action.get("sleep"):
                await asyncio.sleep(float(spec.get("seconds") or 0))
                return Outcome(True)
    except TimeoutError:
        return Outcome(False, f"no answer within {timeout:g}s")
    except ValueError as error:
        return Outcome(False, str(error))
    if "grpc" in action:
        return Outcome(False, "gRPC probes are not supported on one machine: use httpGet or exec")
    return Outcome(False, "the handler names no action")


async def _http(
    spec: Mapping[str, Any], surroundings: Surroundings, session: aiohttp.ClientSession
) -> Outcome:
    host = spec.get("host") or surroundings.address
    port = _port(spec.get("port"), surroundings)
    scheme = (spec.get("scheme") or "HTTP").lower()
    path = spec.get("path") or "/"
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    headers = {"User-Agent": "kube-probe/ome", "Accept": "*/*", "Connection": "close"}
    headers |= {h["name"]: h.get("value") or "" for h in spec.get("httpHeaders") or ()}
    try:
        async with session.get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
            if 200 <= answer.status < 400:
                return Outcome(True)
            body = (await answer.content.read(BODY_LIMIT)).decode("utf-8", "replace").strip()
            return Outcome(False, f"HTTP probe failed with statuscode: {answer.status} {body}")
    except aiohttp.ClientConnectorError as error:
        return Outcome(False, f'Get "{url}": {error.os_error.strerror or error.os_error}')
    except (aiohttp.ClientError, OSError) as error:
        return Outcome(False, f'Get "{url}": {error}')


async def _tcp(spec: Mapping[str, Any], surroundings: Surroundings) -> Outcome:
    host = spec.get("host") or surroundings.address
    port = _port(spec.get("port"), surroundings)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Outcome(False, f"dial tcp {host}:{port}: {error.strerror or error}")
    writer.close()
    return Outcome(True)


async def _exec(command: Sequence[str], surroundings: Surroundings) -> Outcome:
    argv = [*surroundings.exec_prefix, *(surroundings.rewrite(c) for c in command)]
    if not argv:
        raise ValueError("the command is empty")
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(surroundings.env),
            cwd=surroundings.cwd,
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(False, f"{argv[0]}: {error.strerror}")
    assert process.stdout is not None
    output = b""
    try:
        while data := await process.stdout.read(OUTPUT_LIMIT):
            output = (output + data)[:OUTPUT_LIMIT]
        code = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
    text = output.decode("utf-8", "replace").strip()
    return Outcome(code == 0, text or f"{argv[0]} ended with exit code {code}")


class Prober:
    """All probes of one run of one container.

    ``started`` and ``ready`` are its present verdicts. ``changed()`` is called when one of them
    changes, ``failed(kind, message)`` for every failure, ``condemn(kind, message)`` once, when the
    startup or liveness probe gives the container up.

    A container that is not ready yet, or not started yet, is asked every second or oftener than
    its period (as the kubelet may); failures count only once a period.
    """

    EAGER = 0.5

    def __init__(
        self,
        container: Mapping[str, Any],
        surroundings: Surroundings,
        session: aiohttp.ClientSession,
        *,
        begun: float,
        changed: Callable[[], None],
        failed: Callable[[ProbeKind, str], None],
        condemn: Callable[[ProbeKind, str], None],
        started: bool = False,
        ready: bool = False,
    ) -> None:
        kinds: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")
        self._specs = {kind: spec for kind in kinds if (spec := ProbeSpec.of(kind, container))}
        self._surroundings, self._session = surroundings, session
        self._begun = begun
        self._changed, self._failed, self._condemn = changed, failed, condemn
        self.started = started or "startup" not in self._specs
        self.ready = self.started and (ready or "readiness" not in self._specs)
        self._task = asyncio.create_task(self._run()) if self._specs else None

    async def _run(self) -> None:
        if not self.started and not await self._watch(self._specs["startup"]):
            return
        async with asyncio.TaskGroup() as tasks:
            for kind in ("liveness", "readiness"):
                if spec := self._specs.get(kind):
                    tasks.create_task(self._watch(spec))

    async def _watch(self, spec: ProbeSpec) -> bool:
        """Asks again and again; returns only for a startup probe that passed or failed, or a
        liveness probe that failed."""
        counter = Counter(spec)
        await asyncio.sleep(max(0.0, self._begun + spec.delay - time.time()))
        due = time.monotonic()
        while True:
            outcome = await attempt(spec.action, self._surroundings, self._session, spec.timeout)
            counts = outcome.ok or time.monotonic() >= due
            if counts:
                due = time.monotonic() + spec.period
                verdict = counter.record(outcome.ok)
                if not outcome.ok:
                    self._failed(spec.kind, outcome.message)
                if verdict is not None and self._apply(spec, verdict, outcome.message):
                    return verdict
            waiting = (spec.kind == "startup") or (spec.kind == "readiness" and not self.ready)
            pause = min(spec.period, self.EAGER) if waiting else spec.period
            await asyncio.sleep(pause)

    def _apply(self, spec: ProbeSpec, verdict: bool, message: str) -> bool:
        """Acts on a verdict; True where this probe is over."""
        if spec.kind == "readiness":
            if self.ready != verdict:
                self.ready = verdict
                self._changed()
            return False
        if not verdict:
            self._condemn(spec.kind, message)
            return True
        if spec.kind == "startup":
            self.started = True
            self.ready = "readiness" not in self._specs
            self._changed()
            return True
        return False

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
