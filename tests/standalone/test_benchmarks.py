"""BenchmarkJobs against the embedded API server, with the real Job controller and a fake node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.kubelet import ended, ended_before, held, running, waiting
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import Invalid, NotFound
from ome.apimachinery.objects import metadata
from ome.benchmark.job import A_SUSPEND
from ome.controllers.claims import Inspector

Object = dict[str, Any]
LABEL = "benchmark"


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home(probe=False) as found:
        pod = json.dumps({"podConfig": {"image": "genai-bench:1", "cpuRequest": "100m"}})
        config: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "benchmarkjob-config", "namespace": "ome"},
            "data": {"benchmarkjob": pod},
        }
        await found.client.create(r.CONFIG_MAPS, config)
        found.inspector = Inspector(host=True)
        await found.start_operator()
        yield found


def benchmark(name: str = "bench", **spec: Any) -> Object:
    named = {"name": "chat", "namespace": "default"}
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "endpoint": {"inferenceService": named},
            "task": "text-to-text",
            "trafficScenarios": ["D(10,10)"],
            "numConcurrency": [1],
            "maxTimePerIteration": 1,
            "maxRequestsPerIteration": 10,
            "outputLocation": {"storageUri": "pvc://results/one"},
            **spec,
        },
    }


def direct() -> Object:
    return {"endpoint": {"url": "http://127.0.0.1:9", "apiFormat": "openai"}}


def last_words(outcome: str, reason: str = "", message: str = "10 requests answered") -> str:
    line = {"event": "end", "outcome": outcome, "reason": reason, "message": message}
    return f"ome-benchmark: {json.dumps(line)}"


def jobs_pod(behaviour: Any) -> Any:
    """Pods of benchmarks behave so; all others run."""
    return lambda pod: (
        behaviour(pod) if LABEL in (metadata(pod).get("labels") or {}) else running(pod)
    )


async def state(home: Home, wanted: str, words: str = "", name: str = "bench") -> Object:
    async def look() -> Object | None:
        live = await home.client.get(o.BENCHMARK_JOBS, name, "default")
        status: Object = live.get("status") or {}
        text = f"{status.get('details')} {status.get('failureMessage')}"
        nonlocal seen
        seen = status
        return status if status.get("state") == wanted and words in text else None

    seen: Object = {}
    try:
        found: Object = await home.until(f"{name}: {wanted} with {words!r}", look)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{json.dumps(seen, indent=1)}") from None
    return found


async def serve(home: Home) -> None:
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True")


async def test_it_waits_for_the_service_says_so_and_then_runs_once(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(held)
    await home.apply(benchmark())
    await state(home, "Pending", "InferenceService default/chat, which does not exist")
    await home.apply(service())
    await state(home, "Pending", "NotReady: waiting for InferenceService default/chat")
    assert await home.names(r.JOBS) == []
    await serve(home)
    await home.until("the Job", lambda: home.names(r.JOBS))
    home.kubelet.behaviour = jobs_pod(running)
    home.kubelet.look_again()
    await state(home, "Running")
    home.kubelet.behaviour = jobs_pod(ended(0, last_words("Succeeded")))
    home.kubelet.look_again()
    done = await state(home, "Completed")
    assert done["startTime"] <= done["completionTime"]
    assert "failureMessage" not in done
    assert "10 requests answered" in done["details"]
    # What is over stays as it was: without its Job it is not run again.
    await home.client.delete(r.JOBS, "bench", "default")

    async def gone() -> bool:
        return not await home.names(r.JOBS)

    await home.until("the Job is gone", gone)
    await home.client.patch(
        o.BENCHMARK_JOBS, "bench", {"metadata": {"labels": {"a": "b"}}}, namespace="default"
    )
    await home.apply(benchmark("second", endpoint=direct()))
    await state(home, "Completed", name="second")
    assert (await state(home, "Completed")) == done
    assert await home.names(r.JOBS) == ["second"]


async def test_a_job_that_is_complete_is_no_success_when_its_pod_says_otherwise(
    home: Home,
) -> None:
    words = last_words("Failed", "ModelUnknown", "it answers 404 to model 'x'")
    home.kubelet.behaviour = jobs_pod(ended(1, words))
    await home.apply(benchmark(endpoint=direct()))
    failed = await state(home, "Failed", "ModelUnknown: it answers 404 to model 'x'")
    assert "What to do: correct spec.endpoint.endpoint.modelName" in failed["failureMessage"]
    assert failed["completionTime"]
    # No retry storm: one pod was made, and no more.
    listed = await home.client.list(r.PODS, "default", label_selector=LABEL)
    assert len(listed.items) == 1


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("killed", "JobFailed: container genai-bench ended with 137"),
        ("", "JobFailed: container genai-bench ended with 137"),
    ],
)
async def test_a_pod_that_dies_without_a_word_is_told_by_its_exit(
    home: Home, message: str, words: str
) -> None:
    home.kubelet.behaviour = jobs_pod(ended(137, message))
    await home.apply(benchmark(endpoint=direct()))
    await state(home, "Failed", words)


async def test_a_missing_secret_is_named_with_its_remedy(home: Home) -> None:
    problem = waiting("CreateContainerConfigError", 'secret "hf" not found')
    home.kubelet.behaviour = jobs_pod(problem)
    reference = {"name": "hf"}
    await home.apply(benchmark(endpoint=direct(), huggingFaceSecretReference=reference))
    await state(home, "Pending", 'secret "hf" not found. What to do: create the Secret')


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (
            'MountVolume.SetUp failed for volume "benchmark-output-storage": Permission denied',
            "OutputUnwritable",
        ),
        (
            'hostPath type check failed: /nowhere is not a Directory (volume "benchmark-dataset")',
            "DatasetUnusable",
        ),
    ],
)
async def test_a_place_that_can_not_be_mounted_is_told(
    home: Home, problem: str, reason: str
) -> None:
    home.kubelet.behaviour = jobs_pod(waiting("ContainerCreating", problem))
    await home.apply(benchmark(endpoint=direct()))
    await state(home, "Pending", f"{reason}: {problem}. What to do: see that it can be mounted")


async def test_a_dataset_that_can_not_be_fetched_ends_it_with_the_words_of_the_fetcher(
    home: Home,
) -> None:
    said = "error: s3://data/x.csv: bucket data does not exist. Check the URI"
    home.kubelet.behaviour = jobs_pod(ended_before(1, said))
    await home.apply(benchmark(endpoint=direct(), dataset={"storageUri": "s3://data/x.csv"}))
    failed = await state(home, "Failed", "bucket data does not exist")
    assert failed["failureMessage"].startswith("DatasetUnusable: the dataset can't be used: ")
    assert "What to do: correct spec.dataset" in failed["failureMessage"]


async def test_what_can_not_be_rendered_is_told_and_tried_again_after_an_edit(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(running)
    bad = benchmark(endpoint=direct(), outputLocation={"storageUri": "local:///etc"})
    await home.apply(bad)
    failed = await state(home, "Failed", "OutputUnwritable: spec.outputLocation.storageUri")
    assert "What to do: use a volume claim" in failed["failureMessage"]
    assert "completionTime" not in failed
    await home.apply(benchmark(endpoint=direct()))
    running_now = await state(home, "Running")
    assert "failureMessage" not in running_now


async def test_suspended_and_resumed_by_its_annotation(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(running)
    await home.apply(benchmark(endpoint=direct()))
    await state(home, "Running")

    async def annotate(value: str | None) -> None:
        patch = {"metadata": {"annotations": {A_SUSPEND: value}}}
        await home.client.patch(o.BENCHMARK_JOBS, "bench", patch, namespace="default")

    await annotate("true")
    held_now = await state(home, "Pending", "Suspended")
    assert "startTime" not in held_now

    async def no_pods() -> bool:
        return not (await home.client.list(r.PODS, "default", label_selector=LABEL)).items

    await home.until("the pod is gone", no_pods)
    await annotate(None)
    await state(home, "Running")


async def test_a_job_that_is_deleted_while_it_runs_ends_the_benchmark(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(running)
    await home.apply(benchmark(endpoint=direct()))
    await state(home, "Running")
    await home.client.delete(r.JOBS, "bench", "default")
    await state(home, "Failed", "JobGone")


async def test_deleting_it_takes_everything_with_it(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(ended(0, last_words("Succeeded")))
    old = benchmark(endpoint=direct())
    old["metadata"]["finalizers"] = ["benchmarkjob.finalizers"]  # of the earlier manager
    await home.apply(old)
    await state(home, "Completed")
    await home.client.delete(o.BENCHMARK_JOBS, "bench", "default")

    async def clean() -> bool:
        left = [*await home.names(r.JOBS), *await home.names(o.BENCHMARK_JOBS)]
        left += [n for n in await home.names(r.CONFIG_MAPS) if n.startswith("bench")]
        return not left

    await home.until("nothing is left", clean)


async def test_a_job_of_somebody_else_is_left_alone(home: Home) -> None:
    template: Object = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}
    }
    foreign: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {"template": template},
    }
    await home.client.create(r.JOBS, foreign)
    await home.apply(benchmark(endpoint=direct()))
    await state(home, "Failed", "NameTaken: Job bench exists already")


async def test_a_service_that_goes_away_is_named_in_the_failure(home: Home) -> None:
    home.kubelet.behaviour = jobs_pod(running)
    await serve(home)
    await home.apply(benchmark())
    await state(home, "Running")
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")

    async def gone() -> bool:
        try:
            await home.client.get(o.INFERENCE_SERVICES, "chat", "default")
        except NotFound:
            return True
        return False

    await home.until("the service is gone", gone)
    words = last_words("Failed", "EndpointLost", "http://x has been gone for 20 s")
    home.kubelet.behaviour = jobs_pod(ended(1, words))
    home.kubelet.look_again()
    await state(home, "Failed", "InferenceService default/chat was deleted meanwhile")


async def test_an_unknown_scenario_is_refused_at_once(home: Home) -> None:
    with pytest.raises(Invalid, match="no scenario for text-to-text; write for example D"):
        await home.apply(benchmark(trafficScenarios=["junkD(1,2)"]))
