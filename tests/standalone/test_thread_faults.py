"""kill -9 and Ctrl-C at every stage: what serves keeps serving, nothing is started twice or lost,
and what is stopped is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from tests.standalone.omehome import (
    QUESTION,
    QUICKSTART,
    OmeHome,
    Result,
    Running,
    free_port,
    ome_home,
    until,
    wheel,
)
from tests.standalone.slowindex import SlowIndex, slow_index

from ome.api import resources as o

pytestmark = pytest.mark.engine
MODEL, SERVICE = "smollm2-135m-instruct", "smollm2"
READY = ("wait", SERVICE, "--timeout", "60")


@pytest.fixture
def home() -> Iterator[OmeHome]:
    with ome_home() as made:
        yield made


@pytest.fixture
def index() -> Iterator[SlowIndex]:
    with slow_index(wheel()) as made:
        yield made


def apply(home: OmeHome, *options: str) -> Result:
    return home.ok("apply", "-f", str(QUICKSTART), *options)


def foreground(home: OmeHome, **environment: str) -> Running:
    """``ome up`` as a person runs it, ready."""
    ports = ("--port", str(free_port()), "--gateway-port", str(free_port()))
    running = home.start("up", *ports, **environment)
    running.says("OME is up")
    return running


def downloading(home: OmeHome) -> bool:
    progress = (home.find(o.CLUSTER_BASE_MODELS, MODEL).get("status") or {}).get("progress") or {}
    return bool(progress.get("completedBytes"))


def engines(home: OmeHome) -> dict[int, str]:
    return home.processes("ome.standalone.engines.llamacpp")


# -- kill -9 of the control process ---------------------------------------------------------------


def test_killed_while_serving_the_service_answers_on_and_is_adopted(home: OmeHome) -> None:
    home.up()
    apply(home, "--wait")
    before, gateway, state = home.serving(), home.gateway, home.state
    home.kill_control()
    assert home.answer(gateway=gateway)
    assert home.ome("status").text.count("left running") == 1
    assert "ome up" in home.fails("get")
    home.ok("up", "--detach")
    assert home.gateway == gateway and home.state["pid"] != state["pid"]
    assert home.serving() == before
    home.ok(*READY)
    assert home.answer()
    (pod,) = home.pods()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    home.ok("down")
    assert home.processes() == {}


def test_killed_again_and_again_it_never_starts_a_second_copy(home: OmeHome) -> None:
    home.up()
    apply(home, "--wait")
    before, gateway = home.serving(), home.gateway
    for _ in range(3):
        home.kill_control()
        home.ok("up", "--detach")
        assert home.serving() == before
        assert home.answer(gateway=gateway)


def test_killed_while_it_starts_the_next_start_succeeds(home: OmeHome) -> None:
    for moment in ("run/lock", "state/ome.db", "kubeconfig"):
        running = home.start("up", "--port", str(free_port()), "--gateway-port", str(free_port()))
        until((home.data / moment).exists, f"{moment} is there")
        os.kill(running.pid, signal.SIGKILL)
        running.finish()
    home.up()
    apply(home, "--wait")
    assert home.answer()


def test_killed_during_the_download_it_goes_on_and_keeps_no_worker(
    home: OmeHome, index: SlowIndex
) -> None:
    home.environment.update(index.environment)
    home.up()
    apply(home)
    until(lambda: downloading(home), "the download shows progress")
    home.kill_control()
    until(lambda: not home.processes("ome.agent.worker"), "the worker has ended with its agent")
    assert not home.processes("pip"), home.processes()
    home.ok("up", "--detach")
    until(lambda: index.downloads == 2, "the download is taken up")
    index.gate.set()
    home.ok(*READY)
    assert home.answer()
    assert len(engines(home)) == 1
    assert not list(home.home.models.rglob("*.whl"))


def test_killed_while_the_engine_starts_it_is_adopted(home: OmeHome) -> None:
    home.up()
    apply(home)
    (pid,) = until(lambda: engines(home), "the engine runs", 60)
    began = psutil.Process(pid).create_time()
    home.kill_control()
    home.ok("up", "--detach")
    home.ok(*READY)
    assert set(engines(home)) == {pid} and psutil.Process(pid).create_time() == began
    assert home.answer()


def test_a_killed_engine_is_started_again_and_the_event_tells(home: OmeHome) -> None:
    home.up()
    apply(home, "--wait")
    pid = home.serving()["engine"]
    os.kill(pid, signal.SIGKILL)
    home.why(o.INFERENCE_SERVICES, SERVICE, "137")
    until(lambda: set(engines(home)) - {pid}, "another engine runs")
    home.ok(*READY)
    assert home.answer()
    until(lambda: [e for e in home.events(SERVICE) if "no longer Ready" in e["message"]], "event")


# -- Ctrl-C ---------------------------------------------------------------------------------------


def stopped(home: OmeHome, running: Running, code: int = 0) -> Result:
    running.interrupt()
    result = running.finish(40)
    assert result.code == code, result
    assert "Traceback" not in result.text and "error" not in result.text, result
    until(lambda: not home.processes(), f"nothing runs: {home.processes()}", 10)
    return result


@pytest.mark.parametrize("moment", ["", "run/lock", "state/ome.db", "kubeconfig"])
def test_ctrl_c_while_starting_ends_with_a_word(home: OmeHome, moment: str) -> None:
    running = home.start("up", "--port", str(free_port()), "--gateway-port", str(free_port()))
    if moment:
        until((home.data / moment).exists, f"{moment} is there")
    else:
        running.says("starting OME")
    running.interrupt()
    result = running.finish(40)
    assert result.code in (0, 130), result
    assert "stopped" in result.text, result
    assert "Traceback" not in result.text and "error" not in result.text, result
    until(lambda: not home.processes(), f"nothing runs: {home.processes()}", 10)
    home.up()


@pytest.mark.parametrize("moment", ["run/lock", "kubeconfig"])
def test_ctrl_c_of_a_detached_start_leaves_no_control_process(home: OmeHome, moment: str) -> None:
    running = home.start("up", "-d", "--port", str(free_port()), "--gateway-port", str(free_port()))
    until((home.data / moment).exists, f"{moment} is there")
    assert "stopped" in stopped(home, running, 130).text
    home.up()


def test_ctrl_c_while_downloading_ends_the_download_and_the_next_start_goes_on(
    home: OmeHome, index: SlowIndex
) -> None:
    running = foreground(home, **index.environment)
    apply(home)
    until(lambda: downloading(home), "the download shows progress")
    assert "stopping OME" in stopped(home, running).text
    assert not (list(home.home.models.rglob("*.gguf")))
    home.up()
    home.ok(*READY)


def test_ctrl_c_while_the_engine_starts_ends_it(home: OmeHome) -> None:
    running = foreground(home)
    apply(home)
    until(lambda: engines(home), "the engine runs", 60)
    assert "stopped" in stopped(home, running).text


def test_ctrl_c_while_serving_ends_engine_and_gateway(home: OmeHome) -> None:
    running = foreground(home)
    apply(home, "--wait")
    text = stopped(home, running).text
    assert "stopping OME and its pods" in text and text.rstrip().endswith("stopped")
    assert home.ome("status").code == 1


def test_ctrl_c_of_commands_ends_them_and_nothing_else(home: OmeHome, index: SlowIndex) -> None:
    home.environment.update(index.environment)
    home.up()
    waiting = home.start("apply", "-f", str(QUICKSTART), "--wait")
    waiting.says("created")
    until(lambda: downloading(home), "the download shows progress")
    waiting.says("MB")
    assert _broken_off(waiting).code == 130
    index.gate.set()
    home.ok(*READY)
    serving = home.serving()
    following = home.start("logs", SERVICE, "-f")
    until(lambda: following.text, "the log is shown")
    assert _broken_off(following).code == 130
    talking = home.start("chat", SERVICE, QUESTION + " " + "Tell me more. " * 20)
    until(lambda: talking.text, "the answer begins")
    assert _broken_off(talking).code in (0, 130)
    assert home.serving() == serving


def _broken_off(running: Running) -> Result:
    running.interrupt()
    result = running.finish()
    assert "Traceback" not in result.text and "error" not in result.text, result
    return result


# -- the quickstart -------------------------------------------------------------------------------


def test_the_quickstart_answers_and_stops_by_itself(home: OmeHome) -> None:
    result = home.ok("quickstart", "--once", timeout=100)
    assert "Paris" in result.out, result
    for stage in ("OME is up", "model is on disk", "engine runs", "from YAML to first token"):
        assert stage in result.out, result
    assert home.processes() == {}


def test_ctrl_c_stops_the_quickstart_with_all_that_it_started(
    home: OmeHome, index: SlowIndex
) -> None:
    running = home.start("quickstart", **index.environment)
    running.says("MB of")
    result = stopped(home, running, 130)
    assert "interrupted" in result.text and "OME is stopped" in result.text
