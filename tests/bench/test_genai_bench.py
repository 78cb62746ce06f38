"""The program of the pod with the real genai-bench against an engine whose figures are known."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.bench.environment import python
from tests.fakes.engine import FakeEngine
from tests.storages.servers import moto

from ome.benchmark import outcome
from ome.controllers.benchmarks import program

Object = dict[str, Any]
KEY = "sk-very-secret-key"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with FakeEngine(model="fake") as found:
        found.behaviour.tokens = 1000
        found.behaviour.delay = 0.05
        found.behaviour.token_delay = 0.01
        yield found


class Bench:
    """Runs the program as its container does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.log = ""
        package = folder / "program" / "omebench"
        package.mkdir(parents=True)
        for name, text in program().items():
            (package / name).write_text(text)

    async def run(
        self, engine: str, *more: str, env: Iterable[tuple[str, str]] = (), **options: str
    ) -> outcome.Told:
        words = {
            "--api-backend": "openai",
            "--api-base": engine,
            "--task": "text-to-text",
            "--max-time-per-run": "1",
            "--max-requests-per-run": "10",
            "--model-tokenizer": "words",
            "--experiment-base-dir": str(self.results),
            "--experiment-folder-name": "run",
        }
        words |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        listed = [word for pair in words.items() for word in pair]
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "program")}
        environment |= {"OME_BENCHMARK_PYTHON": str(python()), "TMPDIR": str(self.folder)}
        environment |= {"OME_BENCHMARK_LOST_AFTER": "3", **dict(env)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omebench", "benchmark", *listed, *more),
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        self.log = out.decode()
        told = outcome.read(self.log)
        assert told.ended, self.log
        assert (process.returncode == 0) == told.succeeded, self.log
        return told


async def made(code: str, *arguments: object) -> None:
    """Runs a line of Python with the libraries of genai-bench."""
    words = [str(word) for word in arguments]
    process = await asyncio.create_subprocess_exec(str(python()), "-c", code, *words)
    assert await process.wait() == 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_what_was_set_is_what_is_measured(engine: FakeEngine, bench: Bench) -> None:
    """Within 10 %. The delays are long, so that what else this machine does is little beside."""
    engine.behaviour.delay, engine.behaviour.token_delay = 1.0, 0.2
    engine.behaviour.jitter = 0.1
    concurrency = ("--num-concurrency", "1", "--num-concurrency", "4")
    told = await bench.run(
        engine.url, "--traffic-scenario", "D(40,8)", *concurrency, max_requests_per_run="8"
    )
    assert told.succeeded, bench.log
    assert [run["concurrency"] for run in told.runs] == [1, 4]
    for run in told.runs:
        assert run["failed"] == 0
        assert run["num_output_tokens"]["mean"] == 8
        assert run["ttft"]["p50"] == pytest.approx(1.0, rel=0.1)
        assert run["tpot"]["p50"] == pytest.approx(0.2, rel=0.1)
        assert run["e2e_latency"]["p50"] == pytest.approx(2.4, rel=0.1)
        assert run["num_input_tokens"]["mean"] == pytest.approx(40, rel=0.2)
    # One at a time: what is answered in a second is what one answer takes.
    expected = 8 / told.runs[0]["e2e_latency"]["mean"]
    assert told.runs[0]["outputTokensPerSecond"] == pytest.approx(expected, rel=0.1)


async def test_failed_requests_are_counted_by_cause(engine: FakeEngine, bench: Bench) -> None:
    engine.behaviour.fail_share, engine.behaviour.fail_with = 0.25, 503
    told = await bench.run(engine.url, "--traffic-scenario", "D(20,5)", "--num-concurrency", "2")
    assert told.succeeded, bench.log
    assert told.failed / (told.failed + told.completed) == pytest.approx(0.25, abs=0.07)
    (cause,) = told.runs[0]["causes"]
    assert (cause["code"], cause["count"]) == ("503", told.failed)
    assert "bad luck" in cause["example"]


async def test_when_no_request_succeeds_the_cause_is_told(engine: FakeEngine, bench: Bench) -> None:
    """The first look succeeds, and everything after it fails."""
    engine.behaviour.fail_share, engine.behaviour.fail_with = 0.99999, 500
    told = await bench.run(engine.url, "--traffic-scenario", "D(20,5)", "--num-concurrency", "1")
    assert (told.outcome, told.reason) == ("Failed", "RequestsFailed"), bench.log
    assert "500 (" in told.message
    assert "bad luck" in told.message


async def test_an_engine_that_crashes_leaves_what_was_measured(
    engine: FakeEngine, bench: Bench
) -> None:
    engine.behaviour.crash_after = 25
    levels = [w for n in ("1", "2", "3", "4", "5", "6") for w in ("--num-concurrency", n)]
    told = await bench.run(engine.url, "--traffic-scenario", "D(20,5)", *levels)
    assert not told.succeeded
    assert told.reason in ("EndpointLost", "RequestsFailed"), bench.log
    assert 1 <= len(told.runs) < 6
    assert told.runs[0]["completed"] >= 10


async def test_a_key_reaches_the_engine_and_nothing_else(engine: FakeEngine, bench: Bench) -> None:
    engine.behaviour.key = KEY
    scenario = ("--traffic-scenario", "D(20,5)", "--num-concurrency", "1")
    told = await bench.run(engine.url, *scenario, env=[("OPENAI_API_KEY", KEY)])
    assert told.succeeded, bench.log
    written = [p for p in bench.folder.rglob("*") if p.is_file()]
    assert any(p.name == "experiment_metadata.json" for p in written)
    assert any(p.name == "genai_bench.log" for p in written)
    leaks = [p for p in written if KEY.encode() in p.read_bytes()]
    assert not leaks
    assert KEY not in bench.log


async def test_a_dataset_is_used(engine: FakeEngine, bench: Bench) -> None:
    data = bench.folder / "prompts.csv"
    data.write_text("id,question\n1,How far is the moon?\n2,Who was Ada Lovelace?\n")
    more = ("--num-concurrency", "1", "--dataset-prompt-column", "question")
    engine.behaviour.tokens = 8
    told = await bench.run(engine.url, *more, dataset_path=str(data))
    assert told.succeeded, bench.log
    said = {r.body["messages"][0]["content"] for r in engine.requests if "messages" in r.body}
    assert "How far is the moon?" in {text.strip() for text in said}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("prompts.csv", "", "no columns"),
        ("prompts.csv", "id,other\n1,2\n", "question"),
        ("prompts.parquet", "PAR1", "parquet"),
    ],
)
async def test_a_dataset_that_can_not_be_used_is_found_before_the_run(
    engine: FakeEngine, bench: Bench, name: str, content: str, words: str
) -> None:
    data = bench.folder / name
    data.write_text(content)
    more = ("--dataset-prompt-column", "question")
    told = await bench.run(engine.url, *more, dataset_path=str(data))
    assert (told.outcome, told.reason) == ("Failed", "DatasetUnusable"), bench.log
    assert words in told.message.lower()
    assert not told.runs


async def test_an_option_that_genai_bench_refuses_is_told(engine: FakeEngine, bench: Bench) -> None:
    told = await bench.run(engine.url, "--server-gpu-type", "ABACUS")
    assert (told.outcome, told.reason) == ("Failed", "OptionsRefused"), bench.log
    assert "ABACUS" in told.message


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        ("nobody", "EndpointUnreachable", "does not answer"),
        ("no key", "KeyRefused", "401"),
        ("wrong key", "KeyRefused", "401"),
        ("other model", "ModelUnknown", "It serves: fake."),
        ("failing", "RequestRefused", "answers 503"),
        ("no place", "OutputUnwritable", "results can't be written"),
        ("no genai-bench", "GenaiBenchMissing", "has no genai-bench"),
    ],
)
async def test_what_can_be_seen_before_the_run_is_told_before_it(
    engine: FakeEngine, bench: Bench, how: str, reason: str, words: str
) -> None:
    env, url, more = [("OME_BENCHMARK_PATIENCE", "1")], engine.url, {"api_model_name": "fake"}
    if how == "nobody":
        url = "http://127.0.0.1:9"
    elif how == "failing":
        engine.behaviour.fail_status = 503
    elif how == "other model":
        engine.behaviour.only_model = True
        more = {"api_model_name": "other"}
    elif how == "no place":
        bench.results.write_text("a file")
    elif how == "no genai-bench":
        env.append(("OME_BENCHMARK_PYTHON", sys.executable))
    else:
        engine.behaviour.key = KEY
        env += [("OPENAI_API_KEY", "sk-another")] if how == "wrong key" else []
    told = await bench.run(url, "--traffic-scenario", "D(20,5)", env=env, **more)
    assert (told.outcome, told.reason) == ("Failed", reason), bench.log
    assert words in told.message
    assert not told.runs


async def test_a_bucket_that_is_not_there_is_found_before_the_run(
    engine: FakeEngine, bench: Bench
) -> None:
    login = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")]
    store = ("--upload-results", "--storage-provider", "aws", "--storage-bucket", "nowhere")
    with moto() as url:
        env = [*login, ("AWS_ENDPOINT_URL", url), ("AWS_REGION", "us-east-1")]
        told = await bench.run(engine.url, "--traffic-scenario", "D(20,5)", *store, env=env)
    assert (told.outcome, told.reason) == ("Failed", "OutputUnwritable"), bench.log
    assert "NoSuchBucket" in told.message or "does not exist" in told.message
    assert not told.runs


async def test_a_tokenizer_that_can_not_be_had_is_replaced_and_that_is_said(
    engine: FakeEngine, bench: Bench
) -> None:
    scenario = ("--traffic-scenario", "D(20,5)", "--num-concurrency", "1")
    hub = [("HF_ENDPOINT", "http://127.0.0.1:9"), ("HF_HUB_OFFLINE", "1")]
    told = await bench.run(engine.url, *scenario, model_tokenizer="nobody/none", env=hub)
    assert told.succeeded, bench.log
    assert "nobody/none can't be loaded, so words were counted" in told.notes[0]


async def test_embeddings_go_through_batches(engine: FakeEngine, bench: Bench) -> None:
    scenario = ("--traffic-scenario", "E(32)", "--batch-size", "1", "--batch-size", "4")
    told = await bench.run(engine.url, *scenario, task="text-to-embeddings")
    assert told.succeeded, bench.log
    assert [run["batchSize"] for run in told.runs] == [1, 4]
    asked = [r.body["input"] for r in engine.requests if r.path == "/v1/embeddings"]
    assert {len(x) for x in asked if isinstance(x, list)} == {1, 4}


async def test_reranking_goes_through_documents(engine: FakeEngine, bench: Bench) -> None:
    scenario = ("--traffic-scenario", "R(32,16)", "--batch-size", "2", "--batch-size", "5")
    told = await bench.run(engine.url, *scenario, task="text-to-rerank", api_backend="vllm")
    assert told.succeeded, bench.log
    assert [run["batchSize"] for run in told.runs] == [2, 5]
    asked = [r.body["documents"] for r in engine.requests if r.path == "/v1/rerank"]
    assert {2, 5} <= {len(documents) for documents in asked}


@pytest.mark.parametrize("name", ["prompts.parquet", "two"])
async def test_a_table_or_a_folder_is_a_dataset(
    engine: FakeEngine, bench: Bench, name: str
) -> None:
    """The folder holds two files."""
    data = bench.folder / name
    questions = ["How far is the moon?", "Who was Ada Lovelace?"]
    if name == "two":
        data.mkdir()
        for number, question in enumerate(questions):
            (data / f"{number}.csv").write_text(f"id,question\n{number},{question}\n")
    else:
        table = "import pandas, sys; pandas.DataFrame({'question': sys.argv[2:]})"
        await made(f"{table}.to_parquet(sys.argv[1])", data, *questions)
    more = ("--num-concurrency", "1", "--dataset-prompt-column", "question")
    engine.behaviour.tokens = 8
    told = await bench.run(engine.url, *more, dataset_path=str(data))
    assert told.succeeded, bench.log
    said = {r.body["messages"][0]["content"] for r in engine.requests if "messages" in r.body}
    assert {text.strip() for text in said} & set(questions)


async def test_pictures_of_a_folder_are_sent(engine: FakeEngine, bench: Bench) -> None:
    folder = bench.folder / "pictures"
    folder.mkdir()
    picture = "from PIL import Image; import sys; Image.new('RGB', (64, 64), sys.argv[2])"
    for colour in ("red", "green"):
        await made(f"{picture}.save(sys.argv[1])", folder / f"{colour}.png", colour)
    engine.behaviour.tokens = 8
    scenario = ("--traffic-scenario", "I(64,64)", "--num-concurrency", "1")
    more = (*scenario, "--dataset-image-column", "image")
    told = await bench.run(engine.url, *more, task="image-text-to-text", dataset_path=str(folder))
    assert told.succeeded, bench.log
    contents = [r.body["messages"][0]["content"] for r in engine.requests if "messages" in r.body]
    kinds = {part["type"] for parts in contents if isinstance(parts, list) for part in parts}
    assert "image_url" in kinds


async def test_results_of_an_earlier_run_are_not_mixed_in(engine: FakeEngine, bench: Bench) -> None:
    old = bench.results / "run"
    old.mkdir(parents=True)
    (old / "D9_9_old.json").write_text(json.dumps({"aggregated_metrics": {}}))
    scenario = ("--traffic-scenario", "D(20,5)", "--num-concurrency", "1")
    told = await bench.run(engine.url, *scenario)
    assert told.succeeded, bench.log
    assert len(told.runs) == 1
    assert (old / "old" / "D9_9_old.json").exists()
