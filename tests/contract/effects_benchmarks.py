"""BenchmarkJob: the Job that is made of it, and the status that follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import REFUSED, Case, case, written
from tests.contract.effects_pods import POD, TERM, contains
from tests.contract.world import EARLIER, NOW, Seen, World

from ome.api.config import BenchmarkPod
from ome.apimachinery.objects import Object
from ome.benchmark.job import BenchmarkInput, render
from ome.benchmark.outcome import Told
from ome.controllers.benchmarks import _service_of as measured
from ome.controllers.benchmarkstate import followed

KIND = "BenchmarkJob"


def cases() -> Iterator[Case]:
    yield from _target()
    yield from _run()
    yield from _places()
    yield from _pod()
    yield from _status()


# --- what the Job is made of ----------------------------------------------------------------------


def job(seen: Seen) -> Object:
    subject = seen.subject
    subject["metadata"]["uid"] = "u-2"
    service = {**seen.world.service, "status": {"url": "http://chat.default.example.com"}}
    settings = BenchmarkPod(image="bench:1")
    return render(BenchmarkInput(subject, settings, {"main.py": ""}, service)).job


def pod(seen: Seen) -> Object:
    return job(seen)["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container(seen: Seen) -> Object:
    return pod(seen)["containers"][0]  # type: ignore[no-any-return]


def option(name: str) -> Callable[[Seen], Any]:
    """The words that follow an option of genai-bench."""

    def look(seen: Seen) -> Any:
        words = container(seen)["args"]
        found = [words[i + 1] for i, word in enumerate(words) if word == name]
        return found[0] if len(found) == 1 else found

    return look


def direct() -> World:
    """Any server is measured, not a service."""
    world = World()
    world.benchmark["spec"]["endpoint"] = {
        "endpoint": {"url": "http://server:8080", "apiFormat": "openai", "modelName": "m"}
    }
    return world


def _target() -> Iterator[Case]:
    path = "spec.endpoint"
    for name, value, expected in (
        ("name", "other", ["default/other"]),
        ("namespace", "elsewhere", ["elsewhere/chat"]),
    ):
        yield from case(
            KIND,
            f"{path}.inferenceService.{name}",
            value,
            lambda s: measured(s.subject),
            expected=expected,
        )
    for name, value, word in (
        ("url", "http://other:8080", "--api-base"),
        ("apiFormat", "cohere", "--api-backend"),
        ("modelName", "llama", "--api-model-name"),
    ):
        yield from case(KIND, f"{path}.endpoint.{name}", value, option(word), base=direct)
    facts = {"engine": "vLLM", "version": "0.9", "gpuType": "H100", "gpuCount": 1}
    for name, text, word in (
        ("engine", "SGLang", "--server-engine"),
        ("version", "1.2.3", "--server-version"),
        ("gpuType", "MI300", "--server-gpu-type"),
    ):
        yield from case(
            KIND,
            f"spec.serviceMetadata.{name}",
            text,
            option(word),
            also={"spec.serviceMetadata": facts},
        )
    yield from case(
        KIND,
        "spec.serviceMetadata.gpuCount",
        8,
        option("--server-gpu-count"),
        expected="8",
        also={"spec.serviceMetadata": facts},
    )


def _run() -> Iterator[Case]:
    for name, value, word, expected in (
        ("trafficScenarios", ["D(7,7)", "D(8,8)"], "--traffic-scenario", ["D(7,7)", "D(8,8)"]),
        ("numConcurrency", [3, 5], "--num-concurrency", ["3", "5"]),
        ("maxTimePerIteration", 7, "--max-time-per-run", "7"),
        ("maxRequestsPerIteration", 70, "--max-requests-per-run", "70"),
        ("resultFolderName", "run-1", "--experiment-folder-name", "run-1"),
        (
            "additionalRequestParams",
            {"temperature": "0.5"},
            "--additional-request-params",
            '{"temperature": 0.5}',
        ),
    ):
        yield from case(KIND, f"spec.{name}", value, option(word), expected=expected)
    yield from case(
        KIND,
        "spec.task",
        "text-to-embeddings",
        lambda s: bool(option("--batch-size")(s)),
        expected=True,
        also={"spec.numConcurrency": [4]},
    )


# --- where data comes from and results go ---------------------------------------------------------


def claims(seen: Seen) -> list[str]:
    found = (volume.get("persistentVolumeClaim") for volume in pod(seen)["volumes"])
    return [claim["claimName"] for claim in found if claim]


def secrets(seen: Seen) -> list[str]:
    return [source["secretRef"]["name"] for source in container(seen).get("envFrom") or ()]


def _places() -> Iterator[Case]:
    data, out = "spec.dataset", "spec.outputLocation"
    hub = {f"{data}.storageUri": "hf://org/data"}
    bucket = {f"{out}.storageUri": "s3://bucket/prefix"}
    yield from case(
        KIND, f"{data}.storageUri", "hf://org/data", option("--dataset-path"), expected="org/data"
    )
    yield from case(
        KIND,
        f"{data}.parameters",
        {"prompt_column": "question"},
        option("--dataset-prompt-column"),
        expected="question",
        also=hub,
    )
    yield from case(KIND, f"{out}.storageUri", "pvc://mine/run", claims, expected=["mine"])
    yield from case(
        KIND,
        f"{out}.parameters",
        {"aws_region": "eu-1"},
        option("--storage-aws-region"),
        expected="eu-1",
        also=bucket,
    )
    for place, also in ((data, hub), (out, bucket)):
        yield from case(KIND, f"{place}.key", "login", secrets, expected=["login"], also=also)
        for name, value in (
            ("path", "/raid/models/x"),
            ("schemaPath", "schema.json"),
            ("nodeSelector", {"pool": "gpu"}),
            ("nodeAffinity", {"requiredDuringSchedulingIgnoredDuringExecution": TERM}),
            ("downloadPolicy", "ReuseIfExists"),
        ):
            path = f"{place}.{name}"
            yield from case(
                KIND,
                path,
                value,
                lambda s, path=path: s.warned(f"{path} has no effect"),
                expected=True,
                also=also,
                state=REFUSED,
                why="a benchmark keeps no files on nodes: it has no effect, and a warning says so",
            )

    def token(seen: Seen) -> Any:
        env = {entry["name"]: entry for entry in container(seen)["env"]}
        return env["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["name"]

    yield from case(KIND, "spec.huggingFaceSecretReference.name", "hub", token)


# --- the pod --------------------------------------------------------------------------------------


def _pod() -> Iterator[Case]:
    path = "spec.podOverride"
    for name, value in (
        ("image", "own:2"),
        ("env", [{"name": "COLOUR", "value": "blue"}]),
        ("envFrom", [{"secretRef": {"name": "more"}}]),
        ("volumeMounts", [{"name": "scratch", "mountPath": "/scratch"}]),
        ("resources", {"limits": {"cpu": "7"}}),
    ):
        yield from case(
            KIND,
            f"{path}.{name}",
            value,
            lambda s, name=name, value=value: contains(container(s).get(name), value),
            expected=True,
        )
    for name in ("tolerations", "nodeSelector", "affinity", "volumes"):
        value = [{"key": "cpu", "operator": "Exists"}] if name == "tolerations" else POD[name]
        yield from case(
            KIND,
            f"{path}.{name}",
            value,
            lambda s, name=name, value=value: contains(pod(s).get(name), value),
            expected=True,
        )


# --- status ---------------------------------------------------------------------------------------


def status(seen: Seen) -> Object:
    """What the controller writes while it follows the Job."""
    live = seen.world.others[0] if seen.world.others else {}
    pods = seen.world.pods.get("benchmark", [])
    told = Told(done=1, total=4, scenario="D(1,1)", iteration=2)
    if live.get("status"):
        told = Told(outcome="Failed", reason="NoResults", message="every request got 404")
    return followed(seen.subject, live, pods, told, results="bench-results", now=NOW)


def _runs(world: World) -> None:
    running = {"name": "genai-bench", "state": {"running": {"startedAt": EARLIER}}}
    world.pods = {
        "benchmark": [{"metadata": {"name": "p"}, "status": {"containerStatuses": [running]}}]
    }
    world.others = [{"kind": "Job", "metadata": {"name": "bench"}, "spec": {}}]


def _ends(world: World) -> None:
    _runs(world)
    ended = {"type": "Failed", "status": "True", "lastTransitionTime": NOW}
    world.others[0]["status"] = {"conditions": [ended]}


def _status() -> Iterator[Case]:
    def at(name: str) -> Callable[[Seen], Any]:
        return lambda seen: status(seen)[name]

    yield from written(KIND, "status.state", "Running", at("state"), _runs)
    yield from written(KIND, "status.startTime", EARLIER, at("startTime"), _runs)
    yield from written(KIND, "status.completionTime", NOW, at("completionTime"), _ends)
    for name in ("failureMessage", "details"):
        yield from written(
            KIND,
            f"status.{name}",
            True,
            lambda s, name=name: "every request got 404" in status(s)[name],
            _ends,
        )

    def looked_at(world: World) -> None:
        world.benchmark["status"] = {"lastReconcileTime": EARLIER}

    yield from written(
        KIND, "status.lastReconcileTime", EARLIER, at("lastReconcileTime"), looked_at
    )
