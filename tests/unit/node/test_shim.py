"""The shim with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from tests.waiting import eventually

from ome.standalone.node import processes
from ome.standalone.node.logs import last_text, segments
from ome.standalone.node.shimclient import (
    ContainerState,
    Shim,
    StartCommand,
    compiled_script,
    kill_leftovers,
    saved_states,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
PATH = {"PATH": os.defpath}


def last_arguments() -> list[str]:
    """The last argument of every living process."""
    return [(p.info["cmdline"] or [""])[-1] for p in psutil.process_iter(["cmdline"])]


class Pod:
    """A pod directory with a shim, and what that shim said."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.states: dict[str, ContainerState] = {}
        self.gone = asyncio.Event()
        self._changed = asyncio.Event()
        self.shim: Shim | None = None

    def heard(self, state: ContainerState) -> None:
        self.states[state.id] = state
        self._changed.set()

    async def open(self) -> Shim:
        script = compiled_script(self.directory.parent)
        self.shim = await Shim.start(script, self.directory, self.heard, self.gone.set)
        return self.shim

    async def reconnect(self) -> Shim | None:
        self.shim = await Shim.connect(self.directory, self.heard, self.gone.set)
        return self.shim

    def start(self, name: str, *argv: str, attempt: int = 0, **options: object) -> None:
        assert self.shim is not None
        env = {**PATH, **options.pop("env", {})}  # type: ignore[dict-item]
        log = str(self.directory / f"{name}.log")
        self.shim.start_container(StartCommand(name, attempt, argv, env, "/", log, **options))  # type: ignore[arg-type]

    async def until(self, id_: str, test: Callable[[ContainerState], bool]) -> ContainerState:
        async with asyncio.timeout(15):
            while id_ not in self.states or not test(self.states[id_]):
                self._changed.clear()
                await self._changed.wait()
        return self.states[id_]

    async def ended(self, id_: str) -> ContainerState:
        return await self.until(id_, lambda s: not s.running)

    async def text(self, name: str, words: str) -> str:
        await eventually(lambda: words in last_text(self.directory / f"{name}.log"))
        return last_text(self.directory / f"{name}.log")


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    # A long path on purpose: the address of a socket holds only 107 bytes.
    directory = tmp_path / ("x" * 90) / "pod"
    directory.mkdir(parents=True)
    pod = Pod(directory)
    await pod.open()
    yield pod
    if pod.shim is not None and not pod.gone.is_set():
        pod.shim.exit()
        await pod.shim.ended()
    kill_leftovers(directory)


async def test_output_and_exit_code_are_kept(pod: Pod) -> None:
    pod.start("a", "sh", "-c", "echo out; echo err >&2; printf 'no newline'; exit 3")
    state = await pod.ended("a.0")
    assert (state.code, state.signal) == (3, 0)
    lines = (pod.directory / "a.log").read_text().splitlines()
    # Two pipes: their order is not known, that of one is.
    assert sorted(line.split(" ", 1)[1] for line in lines) == [
        "stderr F err",
        "stdout F no newline",
        "stdout F out",
    ]
    assert saved_states(pod.directory) == [state]


async def test_a_program_that_does_not_exist_is_a_start_error_with_the_cause(pod: Pod) -> None:
    pod.start("a", "no-such-program")
    state = await pod.ended("a.0")
    assert (state.code, state.reason) == (128, "StartError")
    assert "no-such-program: No such file or directory" in state.message


async def test_a_log_that_cannot_be_opened_is_a_start_error(pod: Pod) -> None:
    assert pod.shim is not None
    log = str(pod.directory / "nowhere" / "a.log")
    pod.shim.start_container(StartCommand("a", 0, ("true",), PATH, "/", log))
    state = await pod.ended("a.0")
    assert state.reason == "StartError"
    assert "nowhere" in state.message


async def test_only_what_was_given_is_in_the_environment_and_nothing_in_arguments(pod: Pod) -> None:
    pod.start("a", "sh", "-c", "env; sleep 60", env={"TOKEN": "s3cret value"})
    state = await pod.until("a.0", lambda s: s.pid > 0)
    text = await pod.text("a", "OME_CONTAINER_ID=a.0")
    assert "TOKEN=s3cret value" in text
    assert "HOME=" not in text
    assert pod.shim is not None
    for process in psutil.process_iter(["pid", "cmdline"]):
        assert "s3cret" not in " ".join(process.info["cmdline"] or ())
    assert not any(
        b"s3cret" in path.read_bytes()
        for path in pod.directory.rglob("*")
        if path.is_file() and path.name != "a.log"
    )
    assert processes.alive(state.pid, state.birth)


async def test_termination_asks_first_and_kills_when_the_grace_is_over(pod: Pod) -> None:
    assert pod.shim is not None
    pod.start(
        "kind", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    pod.start("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await pod.text("kind", "up")
    await pod.text("deaf", "up")
    pod.shim.stop_container("kind.0", signal.SIGTERM, 10)
    assert (await pod.ended("kind.0")).code == 0
    assert "bye" in last_text(pod.directory / "kind.log")
    begin = time.monotonic()
    pod.shim.stop_container("deaf.0", signal.SIGTERM, 0.3)
    state = await pod.ended("deaf.0")
    assert (state.code, state.signal) == (137, 9)
    assert not state.oom
    assert 0.25 < time.monotonic() - begin < 5


async def test_nothing_a_container_started_outlives_it(pod: Pod) -> None:
    script = "setsid sh -c 'sleep 987 & sleep 986' & sleep 985 & sleep 0.2; exit 0"
    pod.start("a", "sh", "-c", script)
    await pod.ended("a.0")
    assert not {"987", "986", "985"} & set(last_arguments())


async def test_a_daemon_of_one_container_does_not_die_with_another(pod: Pod) -> None:
    pod.start("long", "sh", "-c", "(setsid sleep 975 &) ; echo up; sleep 974")
    await pod.text("long", "up")
    pod.start("short", "true")
    await pod.ended("short.0")
    commands = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]
    assert ["sleep", "975"] in commands
    assert pod.states["long.0"].running


async def test_a_graceful_stop_lets_children_of_a_shell_finish(pod: Pod) -> None:
    assert pod.shim is not None
    inner = "trap 'sleep 0.2; echo finished; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    pod.start("a", "sh", "-c", f'sh -c "{inner}"; echo never')
    await pod.text("a", "up")
    pod.shim.stop_container("a.0", signal.SIGTERM, 10)
    await pod.ended("a.0")
    assert "finished" in last_text(pod.directory / "a.log")


async def test_containers_survive_the_loss_of_the_connection_and_are_found_again(pod: Pod) -> None:
    assert pod.shim is not None
    pod.start("a", "sleep", "60")
    first = await pod.until("a.0", lambda s: s.pid > 0)
    await pod.shim.close()
    pod.states.clear()
    assert await pod.reconnect() is not None
    assert pod.states["a.0"] == first
    pod.start("a", "sleep", "61")  # the same id again is not a second copy
    pod.shim.stop_container("a.0", signal.SIGTERM, 5)
    assert (await pod.ended("a.0")).pid == first.pid


async def test_what_ended_while_nobody_was_connected_is_told_later(pod: Pod) -> None:
    assert pod.shim is not None
    pod.start("a", "sh", "-c", "sleep 0.1; exit 42")
    await pod.until("a.0", lambda s: s.pid > 0)
    await pod.shim.close()
    await eventually(lambda: not saved_states(pod.directory)[0].running)
    await pod.reconnect()
    assert pod.states["a.0"].code == 42


async def test_when_the_shim_is_killed_no_engine_leaks(pod: Pod) -> None:
    assert pod.shim is not None
    pod.start("a", "sh", "-c", "sleep 965 & echo up; sleep 964")
    state = await pod.until("a.0", lambda s: s.pid > 0)
    await pod.text("a", "up")
    os.kill(pod.shim.pid, signal.SIGKILL)
    await asyncio.wait_for(pod.gone.wait(), 5)
    (closed,) = kill_leftovers(pod.directory)
    assert (closed.code, closed.reason) == (137, "ContainerStatusUnknown")
    assert not processes.alive(state.pid, state.birth)
    await eventually(lambda: not {"964", "965"} & set(last_arguments()))
    assert saved_states(pod.directory) == [closed]
    assert await pod.reconnect() is None


async def test_logs_rotate_by_size(pod: Pod) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line-$i; i=$((i+1)); done"
    pod.start("a", "sh", "-c", script, max_log_bytes=4000, max_log_files=3)
    await pod.ended("a.0")
    files = segments(pod.directory / "a.log")
    assert 1 < len(files) <= 3
    assert all(path.stat().st_size <= 4000 for path in files)
    assert last_text(pod.directory / "a.log", 1) == "line-399"


async def test_long_lines_and_bytes_that_are_no_text_are_kept(pod: Pod) -> None:
    script = r"head -c 40000 /dev/zero | tr '\0' x; echo; printf '\377\376 end\n'"
    pod.start("a", "sh", "-c", script)
    await pod.ended("a.0")
    raw = (pod.directory / "a.log").read_bytes().splitlines()
    assert [line.split(b" ")[2] for line in raw] == [b"P", b"P", b"F", b"F"]
    assert raw[-1].endswith(b"\xff\xfe end")


async def test_a_client_that_sends_nonsense_is_dropped_and_hurts_nobody(pod: Pod) -> None:
    pod.start("a", "sleep", "60")
    await pod.until("a.0", lambda s: s.pid > 0)
    fd = os.open(pod.directory, os.O_RDONLY)
    reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{fd}/shim.sock")
    os.close(fd)
    writer.write(b"99999999999\nxxx")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert pod.states["a.0"].running
    assert not pod.gone.is_set()


async def test_a_shim_needs_little_memory(pod: Pod) -> None:
    assert pod.shim is not None
    pod.start("a", "sleep", "60")
    await pod.until("a.0", lambda s: s.pid > 0)
    memory = psutil.Process(pod.shim.pid).memory_full_info()
    assert memory.uss < 5 * 1024**2
    assert memory.rss < 13 * 1024**2


@pytest.mark.parametrize("argv", [(), ("a\0b",)])
async def test_impossible_commands_are_refused_before_they_are_sent(
    pod: Pod, argv: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"no command|NUL"):
        pod.start("a", *argv)
