"""`ome bench` over a real API server, on which the test plays operator and genai-bench."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from tests.standalone.omehome import until
from tests.unit.benchmark.test_results import run as measured
from tests.unit.cli.conftest import Ome, Server

from ome.api import resources as ours
from ome.apimachinery.resources import CONFIG_MAPS
from ome.benchmark import summary
from ome.benchmark.job import results_name
from ome.benchmark.outcome import Told
from ome.cli import benchenv, benching
from ome.cli.errors import CliError
from ome.cli.home import Home
from ome.cli.output import Output

Object = dict[str, Any]
ROOT = Path(__file__).parents[3]
WHEN = "2026-05-06T10:00:00Z"


def service() -> Object:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "chat", "namespace": "default"},
        "spec": {"model": {"name": "tiny"}, "engine": {"minReplicas": 1}},
    }


def benchmark(name: str) -> Object:
    options = {"task": "text-to-text", "scenarios": ["D(100,100)"], "concurrencies": [1]}
    more = {"requests": 8, "minutes": 1, "output": "local:///out"}
    return benching.benchmark(name, "default", service(), **options, **more)


def results(job: Object, runs: list[Object]) -> Object:
    found = summary.document(job, Told(runs=tuple(runs)), runs, "Completed")
    meta = {"name": results_name(job["metadata"]["name"]), "namespace": "default"}
    data = summary.data(found)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def ends(server: Server, name: str, runs: list[Object], state: str = "Completed") -> None:
    """What the operator writes at the end."""
    if runs:
        server.create(CONFIG_MAPS, results(benchmark(name), runs))
    words = "1 run, 100 requests answered" if state == "Completed" else "EndpointLost: it went away"
    status = {"state": state, "details": words, "startTime": WHEN, "completionTime": WHEN}
    if state == "Failed":
        status["failureMessage"] = words
    server.set_status(ours.BENCHMARK_JOBS, name, status, "default")


def have(server: Server, name: str, runs: list[Object], state: str = "Completed") -> None:
    server.create(ours.BENCHMARK_JOBS, benchmark(name))
    ends(server, name, runs, state)


@pytest.fixture
def chat(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """With a service, and genai-bench as if it were installed."""
    server.create(ours.INFERENCE_SERVICES, service())
    monkeypatch.setattr(benching, "need_environment", lambda *_: None)
    return server


def played(server: Server, names: tuple[str, ...], runs: list[Object], state: str) -> Any:
    """Ends benchmarks of these names as they appear, in a thread."""

    def play() -> None:
        for name in names:
            until(lambda name=name: exists(name), f"BenchmarkJob {name}", 20)  # type: ignore[misc]
            ends(server, name, runs, state)

    def exists(name: str) -> bool:
        from ome.cli.api import Api, LocalTransport

        api = Api(LocalTransport(server.home.socket), "default", local=True)
        return api.find(ours.BENCHMARK_JOBS, name, "default") is not None

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    return thread


def test_isvc_makes_a_benchmark_follows_it_and_shows_the_figures(ome: Ome, chat: Server) -> None:
    player = played(chat, ("chat-1",), [measured(), measured(concurrency=4)], "Completed")
    found = ome("bench", "isvc", "chat", "--concurrency", "1", "--concurrency", "4")
    player.join()
    assert found.status == 0, found
    lines = found.out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["scenario", "concurrency"],
        ["D(100,100)", "1"],
        ["D(100,100)", "4"],
    ]
    assert "chat-1: 1 run, 100 requests answered" in found.err


def test_isvc_that_fails_shows_what_there_is_and_exits_with_1(ome: Ome, chat: Server) -> None:
    player = played(chat, ("mine",), [measured()], "Failed")
    found = ome("bench", "isvc", "chat", "--name", "mine", "-o", "csv")
    player.join()
    assert found.status == 1
    assert next(csv.DictReader(io.StringIO(found.out)))["scenario"] == "D(100,100)"
    assert "error: EndpointLost: it went away" in found.err


def test_isvc_without_waiting_says_what_was_made(ome: Ome, chat: Server) -> None:
    found = ome("bench", "isvc", "chat", "--no-wait", "--task", "text-to-rerank")
    assert (found.status, found.out) == (0, "BenchmarkJob default/chat-1 created\n")
    seen = ome("get", "benchmarkjob", "chat-1", "-o", "json")
    spec = json.loads(seen.out)["spec"]
    assert (spec["task"], spec["trafficScenarios"]) == ("text-to-rerank", ["R(256,100)"])
    place = chat.home.bench / "results" / "default" / "chat-1"
    assert spec["outputLocation"]["storageUri"] == f"local://{place}"
    assert ome("bench", "isvc", "chat", "--no-wait").out.endswith("chat-2 created\n")


def test_a_service_that_is_not_there_is_told_with_those_that_are(ome: Ome, chat: Server) -> None:
    found = ome("bench", "isvc", "caht")
    assert found.status == 1
    assert "chat" in found.err


def test_a_name_that_is_taken_is_not_measured_again(ome: Ome, chat: Server) -> None:
    have(chat, "mine", [measured()])
    found = ome("bench", "isvc", "chat", "--name", "mine")
    assert found.status == 1
    assert "mine" in found.err and "exists" in found.err


def test_list_shows_what_they_measure_and_how_they_stand(ome: Ome, server: Server) -> None:
    have(server, "good", [measured()])
    have(server, "bad", [], "Failed")
    lines = ome("bench", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "MEASURES", "STATE", "AGE", "WHY"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert rows["good"].split()[1:3] == ["chat", "Completed"]
    assert "EndpointLost: it went away" in rows["bad"]


def test_compare_gives_ratios_and_a_verdict_in_each_format(ome: Ome, server: Server) -> None:
    slower = {"mean": 0.3, "stddev": 0.02, "p50": 0.29, "p90": 0.33, "p99": 0.35}
    have(server, "before", [measured(), measured(concurrency=2)])
    have(server, "after", [measured(ttft=slower)])
    pair = ("bench", "compare", "before", "after")
    table = ome(*pair)
    assert "D(100,100) at 2 is only in A" in table.err
    row = next(line for line in table.out.splitlines() if "TTFT ms mean" in line)
    assert row.split()[-4:] == ["200", "300", "1.500", "worse"]
    figures = {x["figure"]: x for x in json.loads(ome(*pair, "-o", "json").out)}
    assert figures["TTFT ms mean"]["ratio"] == pytest.approx(1.5)
    rows = list(csv.DictReader(io.StringIO(ome(*pair, "-o", "csv").out)))
    assert {r["figure"]: r["verdict"] for r in rows}["ITL ms mean"] == "no difference"
    assert ome(*pair, "-o", "md").out.splitlines()[1].startswith("| --- |")


def test_nothing_in_common_is_said(ome: Ome, server: Server) -> None:
    have(server, "one", [measured()])
    have(server, "other", [measured("D(5,5)")])
    found = ome("bench", "compare", "one", "other")
    assert found.status == 1
    assert "no run in common" in found.err


def test_a_picture_goes_into_the_folder_of_the_terminal(
    ome: Ome, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(server, "one", [measured(), measured(concurrency=4)])
    monkeypatch.chdir(tmp_path)
    assert ome("bench", "show", "one", "--plot", "one.svg").status == 0
    tree = ElementTree.parse(tmp_path / "one.svg")
    assert len(tree.findall(".//{http://www.w3.org/2000/svg}circle")) == 2
    found = ome("bench", "show", "one", "--plot", "one.png")
    assert found.status == 1
    assert "ome bench install" in found.err
    assert ome("bench", "show", "one", "--plot", "one.gif").status == 2


def test_a_sweep_tries_all_combinations_and_puts_the_service_back(
    ome: Ome, chat: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ome.cli import waiting

    seen: list[Object] = []

    def ready(api: Any, _output: Any, namespace: str, name: str, *_: Any) -> None:
        seen.append(api.find(ours.INFERENCE_SERVICES, name, namespace)["spec"])

    monkeypatch.setattr(waiting, "until_ready", ready)
    player = played(chat, ("chat-1", "chat-2"), [measured()], "Completed")
    settings = ("--set", "engine.minReplicas=1", "--set", "engine.minReplicas=2")
    found = ome("bench", "sweep", "chat", *settings, "--set", "model.name=tiny", "-o", "json")
    player.join()
    assert found.status == 0, found
    assert [spec["engine"]["minReplicas"] for spec in seen] == [1, 2]
    assert [run["settings"] for run in json.loads(found.out)] == [
        "engine.minReplicas=1, model.name=tiny",
        "engine.minReplicas=2, model.name=tiny",
    ]
    back = json.loads(ome("get", "isvc", "chat", "-o", "json").out)
    assert back["spec"]["engine"]["minReplicas"] == 1


def test_settings_are_gathered_by_field() -> None:
    texts = ["engine.minReplicas=1|2", "spec.engine.minReplicas=3", 'engine.runner.args=["-x"]']
    assert benching.parse_settings(texts) == [
        (["engine", "minReplicas"], [1, 2, 3]),
        (["engine", "runner", "args"], [["-x"]]),
    ]
    with pytest.raises(CliError, match="is no setting"):
        benching.parse_settings(["engine"])


def test_what_was_there_is_brought_back_and_what_was_not_goes() -> None:
    spec = {"spec": {"engine": {"minReplicas": 1, "maxReplicas": 0}}}
    assert benching.before(spec, ["engine", "minReplicas"]) == (["engine", "minReplicas"], 1)
    assert benching.before(spec, ["engine", "maxReplicas"]) == (["engine", "maxReplicas"], 0)
    assert benching.before(spec, ["engine", "runner", "args"]) == (["engine", "runner"], None)
    assert benching.before(spec, ["router", "minReplicas"]) == (["router"], None)


def test_a_sweep_that_is_stopped_ends_what_it_began(
    ome: Ome, chat: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ome.cli import waiting

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "until_ready", lambda *_: None)
    monkeypatch.setattr(benching, "follow", stop)
    found = ome("bench", "sweep", "chat", "--set", "engine.minReplicas=2")
    assert found.status == 130
    assert "chat-1" not in ome("get", "benchmarkjobs", "-o", "json").out
    back = json.loads(ome("get", "isvc", "chat", "-o", "json").out)
    assert back["spec"]["engine"]["minReplicas"] == 1
    assert "chat-1 goes on" in ome("bench", "isvc", "chat").err


def test_a_group_alone_shows_its_help_and_no_errors(ome: Ome) -> None:
    found = ome("bench")
    assert found.status == 2
    assert "Commands:" in found.out and found.err == ""


# -- genai-bench's environment --------------------------------------------------------------------


def test_the_extra_and_the_fixed_versions_are_of_the_same_genai_bench() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (extra,) = project["project"]["optional-dependencies"]["bench"]
    assert extra.partition(";")[0].strip() == benchenv.REQUIREMENT
    version = benchenv.REQUIREMENT.partition("==")[2]
    pinned = benchenv.constraints().read_text().splitlines()
    assert f"genai-bench=={version}" in [line.replace("[multi-cloud]", "") for line in pinned]
    assert any(line.startswith("boto3==") for line in pinned)


def test_an_environment_counts_only_when_all_of_it_is_there(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 0.0.5\n")
    python.chmod(0o755)
    assert not benchenv.is_complete(tmp_path)
    benchenv.finish(tmp_path)
    assert benchenv.is_complete(tmp_path)
    (tmp_path / "ome-requirement.txt").write_text("genai-bench==0.0.1\n")
    assert not benchenv.is_complete(tmp_path)


def test_a_python_that_does_not_fit_is_not_taken(tmp_path: Path) -> None:
    assert benchenv.base_python(sys.executable) in (sys.executable, None)
    new = tmp_path / "python3.99"
    new.write_text("#!/bin/sh\necho 3 99\n")
    new.chmod(0o755)
    assert benchenv.base_python(str(new)) is None
    assert benchenv.base_python(str(tmp_path / "absent")) is None


def test_an_installation_that_fails_says_pips_own_words(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    output = Output(out=io.StringIO(), err=io.StringIO())
    with pytest.raises(CliError, match="could not be installed: ERROR: ") as failed:
        benching.install(home, output, sys.executable)
    assert "genai-bench" in str(failed.value)
    assert not benchenv.is_complete(home.bench_environment)
