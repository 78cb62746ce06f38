"""Benchmarks on a real control plane: the Jobs they become, and how these end.

The operator has exactly the rights of the chart. There are no machines, so pods run without doing
anything, and what one says at its end is written into its status as a kubelet would.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.cluster import corpus
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.omehome import Home
from tests.cluster.replicas import until

Object = dict[str, Any]
pytestmark = pytest.mark.timeout(300)
MODEL = "qwen3-0-6b"
SPACE = "measuring"
URL = "http://server.example:9000/"


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    home = Home(bed, cluster, tmp_path_factory.mktemp("benchmarks"))
    try:
        home.install()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OME_IMAGE", "ome:test")
            home.replica()
        home.serve(MODEL).wait(f"inferenceservice/{MODEL}", "condition=Ready", 120)
        home.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
        yield home
    finally:
        home.close()


def ready_service(home: Home, name: str, namespace: str) -> None:
    """A service that is Ready, under any name."""
    if namespace != "default":
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        home.admin.apply(space)
    there = home.admin.in_namespace(namespace)
    found = home.admin.in_namespace(MODEL).get("inferenceservice", MODEL)
    meta = {"name": name, "namespace": namespace}
    there.apply({**{k: v for k, v in found.items() if k != "status"}, "metadata": meta})
    there.wait(f"inferenceservice/{name}", "condition=Ready", 120)


def made(there: Kubectl, kind: str, name: str) -> Object:
    def look() -> Object | None:
        done = there.try_("get", kind, name, "-o", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    found: Object = until(f"{kind} {name}", look)
    return found


def status(there: Kubectl, name: str, state: str, words: str = "") -> Object:
    seen: Object = {}

    def look() -> Object | None:
        nonlocal seen
        seen = there.get("benchmarkjob", name).get("status") or {}
        said = f"{seen.get('details')} {seen.get('failureMessage')}"
        return seen if seen.get("state") == state and words in said else None

    try:
        found: Object = until(f"{name} is {state}", look)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen}") from None
    return found


def container(job: Object) -> Object:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


def ends(there: Kubectl, name: str, outcome: str, reason: str, message: str) -> None:
    """The pod of that Job ends, with last words as genai-bench's program writes them."""

    def pod() -> Object | None:
        listed: list[Object] = there.get("pods", "-l", f"job-name={name}")["items"]
        running = [p for p in listed if (p.get("status") or {}).get("containerStatuses")]
        return running[0] if running else None

    found = until(f"a pod of {name}", pod)
    words = {"event": "end", "outcome": outcome, "reason": reason, "message": message}
    code = 0 if outcome == "Succeeded" else 1
    entry = found["status"]["containerStatuses"][0]
    started = entry["state"]["running"]["startedAt"]
    terminated = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "message": f"ome-benchmark: {json.dumps(words)}",
        "startedAt": started,
        "finishedAt": started,
    }
    patch = {
        "status": {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [{**entry, "ready": False, "state": {"terminated": terminated}}],
        }
    }
    pod_name = found["metadata"]["name"]
    more = ("--subresource=status", "--type=merge", "-p", json.dumps(patch))
    there.run("patch", "pod", pod_name, *more)


# -- the published samples ------------------------------------------------------------------------

_CONCURRENCIES = [w for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) for w in ("--num-concurrency", n)]


def _line(*words: object) -> list[str]:
    return [str(word) for word in words]


def _shapes(*names: str) -> list[str]:
    return [word for name in names for word in ("--traffic-scenario", name)]


def _bucket(prefix: str) -> list[str]:
    place = "--namespace exampletenancy --storage-bucket ome-benchmark-results --storage-prefix"
    login = "--auth instance_principal --region eu-frankfurt-1"
    return ["--upload-results", *place.split(), prefix, *login.split()]


SAMPLES = {
    "deepseek-r1-rdma": _line(
        *("--task", "text-to-text", "--max-time-per-run", 30, "--max-requests-per-run", 300),
        *("--model-tokenizer", "TOKENIZER"),
        *_shapes("N(480,240)/(300,150)", "D(100,100)", "D(100,1000)", "D(2000,200)"),
        *_shapes("D(7800,200)", "D(16000,200)", "D(32000,200)", "D(128000,200)", "D(1000,4000)"),
        *_CONCURRENCIES,
        *("--server-engine", "SGLang", "--server-gpu-type", "H100"),
        *("--server-version", "v0.4.2.post1.35b88e65-cu121", "--server-gpu-count", 16),
        *_bucket("deepseek-r1-benchmark"),
    ),
    "e5-mistral-7b-instruct": _line(
        *("--task", "text-to-embeddings"),
        *("--max-time-per-run", 15, "--max-requests-per-run", 15000),
        *("--model-tokenizer", "TOKENIZER"),
        *_shapes("E(128)", "E(512)", "E(1024)", "E(2048)", "E(4096)", "E(32000)"),
        *("--server-engine", "SGLang", "--server-gpu-type", "H100"),
        *("--server-version", "v0.4.0.post1", "--server-gpu-count", 1),
        *_bucket("e5-mistral-7b-instruct-benchmark"),
    ),
    "llama3-1-70b-instruct": _line(
        *("--task", "text-to-text", "--max-time-per-run", 15, "--max-requests-per-run", 100),
        *("--model-tokenizer", "TOKENIZER"),
        *_shapes("N(480,240)/(300,150)", "D(100,100)", "D(100,1000)", "D(2000,200)"),
        *_shapes("D(7800,200)"),
        *_CONCURRENCIES,
        *("--additional-request-params", '{"temperature": 0.0}'),
        *_bucket("llama-3-1-70b-benchmark"),
    ),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_published_samples_become_their_jobs(home: Home, sample: str) -> None:
    path = corpus.ROOT / "samples" / "benchmark" / f"{sample}.yaml"
    documents = [doc for doc in yaml.safe_load_all(path.read_text()) if doc]
    (benchmark,) = [doc for doc in documents if doc["kind"] == "BenchmarkJob"]
    service = benchmark["spec"]["endpoint"]["inferenceService"]
    name, namespace = benchmark["metadata"]["name"], benchmark["metadata"]["namespace"]
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    home.admin.apply(space)
    there = home.admin.in_namespace(namespace)
    there.run("apply", "-f", str(path))
    status(there, name, "Pending", f"InferenceService {service['namespace']}/{service['name']}")
    ready_service(home, service["name"], service["namespace"])
    job = made(there, "job", name)
    run = container(job)
    live = home.admin.in_namespace(service["namespace"]).get("inferenceservice", service["name"])
    address = live["status"]["address"]["url"].rstrip("/")
    model = home.admin.get("clusterbasemodel", MODEL)["spec"]["storage"]["path"]
    expected = ["benchmark", "--api-backend", "openai", "--api-base", address]
    expected += [model if word == "TOKENIZER" else word for word in SAMPLES[sample]]
    assert run["args"] == expected
    assert run["image"] == "ghcr.io/sgl-project/genai-bench:0.1.132"
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert spec["activeDeadlineSeconds"] > 0
    assert {"mountPath": model, "readOnly": True} in [
        {k: v for k, v in mount.items() if k != "name"} for mount in run["volumeMounts"]
    ]
    variables = {e["name"]: e.get("valueFrom") for e in run["env"]}
    secret = benchmark["spec"].get("huggingFaceSecretReference")
    assert ("HF_TOKEN" in variables) == bool(secret)
    running = status(there, name, "Running")
    assert running["startTime"]
    ends(there, name, "Succeeded", "", "300 requests answered")
    done = status(there, name, "Completed")
    assert done["completionTime"] >= done["startTime"]
    there.wait(f"job/{name}", "condition=Complete", 60)
    there.run("delete", "benchmarkjob", name)
    until("the Job is gone", lambda: there.try_("get", "job", name).returncode != 0)


# -- what once could not succeed ------------------------------------------------------------------


@dataclass(frozen=True)
class Combination:
    """``words`` must follow each other in the command line; ``warning`` is said at admission;
    ``refused`` is in the status, and there is no Job then."""

    spec: Object
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    warning: str = ""
    refused: str = ""
    env: Object = field(default_factory=dict)


def direct(**more: Any) -> Object:
    return {"endpoint": {"url": URL, "apiFormat": "openai", **more}}


def facts(gpu: str) -> Object:
    return {"engine": "vLLM", "version": "0.9", "gpuType": gpu, "gpuCount": 1}


COMBINATIONS = {
    "a-url-without-a-key": Combination(
        {}, ("--api-backend", "openai", "--api-base", URL.rstrip("/")), without=("--api-key",)
    ),
    "a-url-without-a-tokenizer": Combination({}, ("--model-tokenizer", "words")),
    "images": Combination(
        {"task": "image-to-text", "dataset": {"storageUri": "hf://org/pictures"}},
        ("--task", "image-text-to-text"),
    ),
    "images-without-a-dataset": Combination(
        {"task": "image-to-text"},
        warning="genai-bench makes up no images",
        refused="NotSupportedYet: spec.dataset",
    ),
    "embeddings-of-images-over-openai": Combination(
        {"task": "image-to-embeddings", "dataset": {"storageUri": "hf://org/pictures"}},
        warning="only of servers that speak cohere",
        refused="NotSupportedYet: spec.task",
    ),
    "an-a100": Combination({"serviceMetadata": facts("A100")}, ("--server-gpu-type", "A100-80G")),
    "a-github-release": Combination(
        {"outputLocation": {"storageUri": "github://owner/repo@v1", "key": "github"}},
        (
            *("--upload-results", "--storage-provider", "github", "--storage-bucket", "v1"),
            *("--github-owner", "owner", "--github-repo", "repo"),
        ),
    ),
    "embeddings-with-two-lengths": Combination(
        {"task": "text-to-embeddings", "trafficScenarios": ["E(128,1)"]},
        ("--traffic-scenario", "E(128)"),
        warning="the second number is left out",
    ),
    "a-token-of-the-hub": Combination(
        {"huggingFaceSecretReference": {"name": "hub"}},
        env={"HF_TOKEN": {"secretKeyRef": {"name": "hub", "key": "HUGGINGFACE_API_KEY"}}},
    ),
    "embeddings-many-at-a-time": Combination(
        {"task": "text-to-embeddings", "numConcurrency": [1, 8]},
        ("--batch-size", "1", "--batch-size", "8"),
        without=("--num-concurrency",),
        warning="taken as sizes of batches",
    ),
    "reranking": Combination(
        {"task": "text-to-rerank", "trafficScenarios": ["R(256,100)"], "numConcurrency": [4]},
        ("--task", "text-to-rerank"),
    ),
    "a-dataset-in-a-bucket": Combination(
        {"dataset": {"storageUri": "s3://bucket/prompts.csv", "key": "reader"}},
        ("--dataset-path", "/ome-benchmark/dataset/data"),
    ),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations_that_once_could_not_succeed(home: Home, name: str) -> None:
    wanted = COMBINATIONS[name]
    there = home.admin.in_namespace(SPACE)
    spec = {
        "endpoint": direct(),
        "task": "text-to-text",
        "maxTimePerIteration": 1,
        "maxRequestsPerIteration": 10,
        "outputLocation": {"storageUri": "pvc://results/run"},
        "podOverride": {"image": "genai-bench:1"},
        **wanted.spec,
    }
    benchmark = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": spec,
    }
    done = there.try_("apply", "-f", "-", stdin=json.dumps(benchmark))
    assert done.returncode == 0, done.stderr
    assert wanted.warning in done.stderr
    assert wanted.warning or "Warning" not in done.stderr, done.stderr
    if wanted.refused:
        failed = status(there, name, "Failed", wanted.refused)
        assert "What to do: " in failed["failureMessage"]
        assert there.try_("get", "job", name).returncode != 0
        return
    run = container(made(there, "job", name))
    line = " ".join(run["args"])
    assert " ".join(wanted.words) in line
    assert not set(wanted.without) & set(run["args"])
    variables = {e["name"]: e.get("valueFrom") for e in run["env"]}
    assert {key: variables[key] for key in wanted.env} == wanted.env


def test_a_benchmark_that_fails_says_why_and_is_not_run_again(home: Home) -> None:
    there = home.admin.in_namespace(SPACE)
    name = "a-url-without-a-key"
    if there.try_("get", "job", name).returncode != 0:
        test_combinations_that_once_could_not_succeed(home, name)
    status(there, name, "Running")
    said = "http://server.example:9000 answers 404 to model 'x'"
    ends(there, name, "Failed", "ModelUnknown", said)
    failed = status(there, name, "Failed", f"ModelUnknown: {said}")
    assert "What to do: correct spec.endpoint.endpoint.modelName" in failed["failureMessage"]
    there.wait(f"job/{name}", "condition=Failed", 60)
    assert len(there.get("pods", "-l", f"job-name={name}")["items"]) == 1


def test_a_claim_of_another_namespace_is_told_before_anything_runs(home: Home) -> None:
    there = home.admin.in_namespace(SPACE)
    benchmark = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": {"name": "elsewhere", "namespace": SPACE},
        "spec": {
            "endpoint": direct(),
            "task": "text-to-text",
            "maxTimePerIteration": 1,
            "maxRequestsPerIteration": 10,
            "outputLocation": {"storageUri": "pvc://others:results/run"},
        },
    }
    there.apply(benchmark)
    status(there, "elsewhere", "Failed", "OutputUnwritable: spec.outputLocation.storageUri")
