"""Objects that the tests of benchmarks vary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ome.api.config import BenchmarkPod
from ome.benchmark.job import BenchmarkChildren, BenchmarkInput

Object = dict[str, Any]
SERVICE_ENDPOINT: Object = {"inferenceService": {"name": "chat", "namespace": "llms"}}
INSIDE = "http://chat.llms.svc.cluster.local:8080"
CLUSTER = BenchmarkPod(image="genai-bench:1")
HOST = BenchmarkPod(
    image="host", host_process=True, command=("/opt/python",), python="/data/bench/python"
)


def benchmark(name: str = "bench", **spec: Any) -> Object:
    given = {
        "endpoint": SERVICE_ENDPOINT,
        "task": "text-to-text",
        "maxTimePerIteration": 5,
        "maxRequestsPerIteration": 100,
        "outputLocation": {"storageUri": "pvc://results/run-1"},
        **spec,
    }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": {"name": name, "namespace": "measuring", "uid": "b-1"},
        "spec": {k: v for k, v in given.items() if v is not None},
    }


def service(**more: Any) -> Object:
    return {
        "metadata": {"name": "chat", "namespace": "llms"},
        "spec": {"model": {"name": "tiny"}, "engine": {}},
        "status": {"url": "http://chat.example.com/path", "address": {"url": INSIDE}},
        **more,
    }


def model(**storage: Any) -> Object:
    described = {"storageUri": "hf://example/tiny", "path": "/raid/models/tiny", **storage}
    return {
        "kind": "ClusterBaseModel",
        "metadata": {"name": "tiny"},
        "spec": {"storage": {k: v for k, v in described.items() if v}},
    }


def direct(**more: Any) -> Object:
    return {"endpoint": {"url": "http://server:9000/", "apiFormat": "openai", **more}}


def given(job: Object, **more: Any) -> BenchmarkInput:
    facts = {"settings": CLUSTER, "program": {"__main__.py": "pass"}, "service": service()}
    return BenchmarkInput(job=job, **{**facts, "model": model(), **more})


def check_golden(path: Path, rendered: BenchmarkChildren) -> None:
    """Remove the file to have it written anew."""
    text = yaml.safe_dump_all([rendered.job, rendered.program], sort_keys=True)
    written = not path.exists()
    if written:
        path.write_text(text)
    assert not written, f"{path} was written; look at it and commit it"
    assert path.read_text() == text
