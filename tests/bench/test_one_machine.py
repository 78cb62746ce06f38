"""Benchmarks on one machine as a user makes them: the real engine, the real model, genai-bench."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.bench.environment import folder
from tests.standalone.omehome import QUICKSTART, OmeHome, ome_home, until
from tests.storages.servers import moto

from ome.api import resources as o
from ome.apimachinery import resources as r

Object = dict[str, Any]
SERVICE = "smollm2"
LONG = 240
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
SMALL = ("--scenario", "D(20,8)", "--concurrency", "1", "--requests", "8", "--minutes", "1")


@pytest.fixture(scope="module")
def home() -> Iterator[OmeHome]:
    """``ome up`` with the example applied and ready."""
    with ome_home() as found:
        found.up()
        found.ok("apply", "-f", str(QUICKSTART), "--wait", "--timeout", "120", timeout=130)
        yield found


@pytest.fixture(scope="module")
def installed(home: OmeHome) -> OmeHome:
    """With genai-bench where ``ome bench install`` puts it."""
    home.home.bench.mkdir(exist_ok=True)
    home.home.bench_environment.symlink_to(folder())
    return home


@pytest.fixture(scope="module")
def measured(installed: OmeHome) -> OmeHome:
    """Two benchmarks of the same service: smollm2-1 and smollm2-2."""
    for number in (1, 2):
        done = installed.ok("bench", "isvc", SERVICE, *SMALL, timeout=LONG)
        assert f"{SERVICE}-{number}: 1 run, " in done.err, done
        assert "run 1 of 1: D(20,8), 1 at a time" in done.err
        row = done.out.splitlines()[1].split()
        assert row[:2] == ["D(20,8)", "1"]
    return installed


def job(name: str, **spec: Any) -> str:
    """A BenchmarkJob of the service as YAML (JSON is YAML)."""
    return json.dumps(
        {
            "apiVersion": "ome.io/v1beta1",
            "kind": "BenchmarkJob",
            "metadata": {"name": name},
            "spec": {
                "endpoint": {"inferenceService": {"name": SERVICE, "namespace": "default"}},
                "task": "text-to-text",
                "trafficScenarios": ["D(20,8)"],
                "numConcurrency": [1],
                "maxTimePerIteration": 1,
                "maxRequestsPerIteration": 8,
                **spec,
            },
        }
    )


def direct(url: str, **more: str) -> Object:
    return {"endpoint": {"url": url, "apiFormat": "openai", **more}}


def ended(home: OmeHome, name: str, timeout: float = LONG) -> Object:
    """The status of a benchmark that has ended."""

    def look() -> Object | None:
        status: Object = home.find(o.BENCHMARK_JOBS, name).get("status") or {}
        return status if status.get("completionTime") else None

    return until(look, f"{name} has ended", timeout)


# -- without genai-bench --------------------------------------------------------------------------


def test_without_genai_bench_the_status_says_how_to_install_it(
    home: OmeHome, tmp_path: Path
) -> None:
    if home.home.bench_environment.exists():
        pytest.fail("this test must run before those that have genai-bench")
    text = job("early", outputLocation={"storageUri": f"local://{tmp_path}/out"})
    home.ok("apply", "-f", home.file(text))
    status = ended(home, "early")
    assert status["state"] == "Failed"
    assert status["failureMessage"].startswith("GenaiBenchMissing: ")
    assert "ome bench install" in status["failureMessage"]
    assert "ome bench install" in home.fails("bench", "show", "early")


# -- two runs, and what is made of them -----------------------------------------------------------


def test_a_real_run_ends_completed_with_its_figures_in_the_status(measured: OmeHome) -> None:
    for number in (1, 2):
        status = measured.find(o.BENCHMARK_JOBS, f"{SERVICE}-{number}")["status"]
        assert status["state"] == "Completed"
        assert status["startTime"] < status["completionTime"]
        words = r"1 run, (\d+) requests answered, [\d.]+ output tokens/s, first token after "
        found = re.match(words, status["details"])
        assert found and int(found[1]) >= 8, status["details"]
        assert "failureMessage" not in status
        results = measured.find(r.CONFIG_MAPS, f"{SERVICE}-{number}-results")
        (run,) = json.loads(results["data"]["summary.json"])["runs"]
        assert run["failed"] == 0 and run["outputTokensPerSecond"] > 0
        assert run["num_output_tokens"]["mean"] == pytest.approx(8, abs=1)
        # The model's own tokenizer, out of its GGUF file: the template of the chat comes on top.
        assert 20 <= run["num_input_tokens"]["mean"] <= 60
        for figure in ("ttft", "tpot", "e2e_latency"):
            assert 0 < run[figure]["p50"] <= run[figure]["p90"] <= run[figure]["p99"]


def test_list_and_show_tell_what_was_measured(measured: OmeHome) -> None:
    lines = measured.ok("bench", "list").out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:]}
    assert re.match(rf"{SERVICE}-1 +{SERVICE} +Completed ", rows[f"{SERVICE}-1"])
    shown = measured.ok("bench", "show", f"{SERVICE}-1", "-o", "json")
    assert json.loads(shown.out)[0]["scenario"] == "D(20,8)"
    assert "Completed: 1 run" in shown.err
    text = measured.ok("bench", "show", f"{SERVICE}-1", "-o", "csv").out
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["e2e_latency_p90"]) > 0
    assert "there is no BenchmarkJob nowhere" in measured.fails("bench", "show", "nowhere")


def test_two_runs_are_compared_in_every_format(measured: OmeHome) -> None:
    pair = ("bench", "compare", f"{SERVICE}-1", f"{SERVICE}-2")
    table = measured.ok(*pair).out.splitlines()
    assert table[0].split()[:3] == ["scenario", "at", "a"]
    figures = json.loads(measured.ok(*pair, "-o", "json").out)
    named = {line["figure"]: line for line in figures}
    mean = named["TTFT ms mean"]
    assert mean["ratio"] == pytest.approx(mean["b"] / mean["a"])
    assert mean["verdict"] in ("better", "worse", "no difference")
    assert measured.ok(*pair, "-o", "csv").out.startswith("scenario,at a time,figure,A,B,B/A")
    assert measured.ok(*pair, "-o", "md").out.startswith("| scenario | at a time |")


def test_pictures_are_drawn_where_the_user_stands(measured: OmeHome) -> None:
    for name in ("two.svg", "two.png"):
        done = measured.ok("bench", "compare", f"{SERVICE}-1", f"{SERVICE}-2", "--plot", name)
        assert f"picture: {name}" in done.err
    tree = ElementTree.parse(measured.root / "two.svg")
    assert len(tree.findall(".//{http://www.w3.org/2000/svg}circle")) == 2
    assert (measured.root / "two.png").read_bytes().startswith(b"\x89PNG")
    assert "can't be written" in measured.fails(
        "bench", "show", f"{SERVICE}-1", "--plot", "/nowhere/x.svg"
    )


def test_a_sweep_measures_each_setting_and_puts_the_service_back(installed: OmeHome) -> None:
    before = installed.find(o.INFERENCE_SERVICES, SERVICE)["spec"]
    settings = [f'engine.runner.args=["--parallel={n}"]' for n in (1, 4)]
    options = [word for text in settings for word in ("--set", text)]
    few = ("--scenario", "D(10,4)", "--concurrency", "2", "--requests", "4", "--minutes", "1")
    done = installed.ok(
        *("bench", "sweep", SERVICE, *options, *few, "-o", "json"), timeout=2 * LONG
    )
    found = json.loads(done.out)
    assert [run["settings"] for run in found] == [
        'engine.runner.args=["--parallel=1"]',
        'engine.runner.args=["--parallel=4"]',
    ]
    assert any(run["paretoFront"] for run in found)
    assert installed.find(o.INFERENCE_SERVICES, SERVICE)["spec"] == before
    installed.ok("wait", SERVICE, "--timeout", "60", timeout=70)


# -- buckets --------------------------------------------------------------------------------------


def test_a_dataset_from_a_bucket_and_results_into_one(installed: OmeHome) -> None:
    prompts = "id,question\n1,Who was Ada Lovelace?\n2,How far is the moon?\n"
    with moto() as url:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket="data")
        client.put_object(Bucket="data", Key="sets/prompts.csv", Body=prompts.encode())
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "store"},
            "stringData": {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"},
        }
        place = {"endpoint": url, "aws_region": "us-east-1"}
        text = job(
            "buckets",
            trafficScenarios=["dataset"],
            additionalRequestParams={"max_tokens": "8"},
            dataset={
                "storageUri": "s3://data/sets/prompts.csv",
                "key": "store",
                "parameters": {**place, "prompt_column": "question"},
            },
            outputLocation={
                "storageUri": "s3://data/results",
                "key": "store",
                "parameters": place,
            },
            resultFolderName="first",
        )
        installed.ok("apply", "-f", installed.file(f"{json.dumps(secret)}\n---\n{text}"))
        status = ended(installed, "buckets")
        assert status["state"] == "Completed", status
        listed = client.list_objects_v2(Bucket="data", Prefix="results/")["Contents"]
        names = [entry["Key"] for entry in listed]
        assert any(name.endswith("experiment_metadata.json") for name in names), names
        assert any(name.endswith(".xlsx") for name in names), names


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("no-such-model", "MODEL", "ModelUnknown: "),
        (
            "nowhere-to-write",
            {"outputLocation": {"storageUri": "local:///proc/nowhere"}},
            "OutputUnwritable: ",
        ),
        (
            "no-dataset",
            {"dataset": {"storageUri": "local:///nowhere/prompts.csv"}},
            "/nowhere",
        ),
        (
            "no-bucket",
            {
                "dataset": {
                    "storageUri": "s3://data/prompts.csv",
                    "parameters": {"endpoint": "http://127.0.0.1:9", "auth": "anonymous"},
                }
            },
            "DatasetUnusable: the dataset can't be used: ",
        ),
    ],
)
def test_bad_input_is_told_with_its_remedy(
    installed: OmeHome, tmp_path: Path, name: str, spec: Any, words: str
) -> None:
    if spec == "MODEL":
        spec = {"endpoint": direct(f"{installed.gateway}/v1", modelName="nobody")}
    given = {"outputLocation": {"storageUri": f"local://{tmp_path}/out"}, **spec}
    installed.ok("apply", "-f", installed.file(job(name, **given)))

    def look() -> str:
        status = installed.find(o.BENCHMARK_JOBS, name).get("status") or {}
        said = str(status.get("failureMessage") or status.get("details"))
        return said if words in said else ""

    said = until(look, f"{name}: {words!r}", LONG)
    assert "What to do: " in said


def test_a_service_deleted_under_the_run_ends_it_and_keeps_what_was_measured(
    installed: OmeHome,
) -> None:
    """The last test here: it takes the service away."""
    levels = [word for n in ("1", "2", "3") for word in ("--concurrency", n)]
    few = ("--scenario", "D(10,4)", "--requests", "4", "--minutes", "1", *levels)
    following = installed.start("bench", "isvc", SERVICE, "--name", "cut", *few)
    try:
        following.says("run 2 of 3", LONG)
        installed.ok("delete", "isvc", SERVICE)
        done = following.finish(LONG)
    except BaseException:
        os.killpg(following.pid, signal.SIGKILL)
        raise
    assert done.code == 1
    status = installed.find(o.BENCHMARK_JOBS, "cut")["status"]
    assert status["state"] == "Failed"
    assert "EndpointLost: " in status["failureMessage"] or "RequestsFailed" in status["details"]
    assert "was deleted meanwhile" in status["failureMessage"]
    assert "Before that: 1 run" in status["details"] or "Before that: 2 runs" in status["details"]
    results = installed.find(r.CONFIG_MAPS, "cut-results")
    assert json.loads(results["data"]["summary.json"])["runs"]
