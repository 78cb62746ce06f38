"""How long reviewing takes: one InferenceService in process, and the webhook over TLS on loopback.

Run: ``PYTHONPATH=src python benchmarks/admission.py [requests] [runtimes]``. Prints JSON; with
``--write`` it also goes to ``benchmarks/results/admission.json``. The webhook is asked by another
process over one kept connection, as an API server does, one review after the other and then by
eight connections at once. The service names a model and no runtime, so that every review chooses
among all runtimes; half of the requests are refused for three reasons.

Targets: under 1 ms in process (median), under 5 ms at the 99th percentile over loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ome.admission import OmeAdmission, pki
from ome.admission.registration import DEFAULTER, HOOKS
from ome.admission.views import LOOKED_AT, CachedView
from ome.api import resources as o
from ome.apimachinery.objects import Key, Object
from ome.apimachinery.resources import CONFIG_MAPS

RESULT = Path(__file__).parent / "results" / "admission.json"
VALIDATOR = next(h for h in HOOKS if h.resource is o.INFERENCE_SERVICES and not h.mutating)
ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM")
MODELS = 200
CONCURRENT = 8


class Cache:
    """A cache of one kind that never changes; objects are kept as bytes, as in an informer."""

    has_synced = True

    def __init__(self, *objects: Object) -> None:
        self._raw = {
            Key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): json.dumps(obj)
            for obj in objects
        }

    def get(self, namespace: str, name: str) -> Object | None:
        raw = self._raw.get(Key(namespace, name))
        return None if raw is None else json.loads(raw)

    def keys(self, namespace: str = "") -> list[Key]:
        return [key for key in self._raw if not namespace or key.namespace == namespace]

    def add_handler(self, fn: Callable[[Any, Any, Any], None]) -> None:
        """Nothing ever changes."""


def view(runtimes: int) -> CachedView:
    deploy = {"deploy": json.dumps({"defaultDeploymentMode": "RawDeployment"})}
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
        "data": deploy,
    }
    caches = {resource: Cache() for resource in LOOKED_AT}
    caches[CONFIG_MAPS] = Cache(config)
    caches[o.CLUSTER_SERVING_RUNTIMES] = Cache(*map(_runtime, range(runtimes)))
    caches[o.CLUSTER_BASE_MODELS] = Cache(*map(_model, range(MODELS)))
    return CachedView(caches)


def _runtime(index: int) -> Object:
    low = 1 + index % 70
    entry = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": f"4.{30 + index % 20}.0"},
        "modelArchitecture": ARCHITECTURES[index % len(ARCHITECTURES)],
        "autoSelect": index % 3 != 0,
        "priority": 1 + index % 2,
    }
    runner = {
        "name": "ome-container",
        "image": f"registry.example/engine:{index}",
        "args": [f"--option-{i}={i}" for i in range(12)],
        "env": [{"name": f"VARIABLE_{i}", "value": str(i)} for i in range(8)],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    return {
        "kind": "ClusterServingRuntime",
        "metadata": {"name": f"rt-{index:04d}"},
        "spec": {
            "supportedModelFormats": [entry],
            "modelSizeRange": {"min": f"{low}B", "max": f"{low + 4}B"},
            "engineConfig": {"runner": runner},
        },
    }


def _model(index: int) -> Object:
    return {
        "kind": "ClusterBaseModel",
        "metadata": {"name": f"model-{index}"},
        "spec": {
            "modelFormat": {"name": "safetensors", "version": "1.0.0"},
            "modelFramework": {"name": "transformers", "version": "4.41.0"},
            "modelArchitecture": "Gemma2ForCausalLM",
            "modelParameterSize": "12B",
        },
    }


def _service(index: int, *, bad: bool = False) -> Object:
    runner = {
        "name": "ome-container",
        "env": [{"name": f"V{i}", "value": "x"} for i in range(10)],
    }
    engine: Object = {"minReplicas": 1, "maxReplicas": 3, "runner": runner}
    annotations = {"ome.io/deploymentMode": "RawDeployment"}
    if bad:
        engine |= {"minReplicas": 9}
        annotations |= {"ome.io/autoscalerClass": "x", "ome.io/targetUtilizationPercentage": "0"}
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": f"service-{index}",
            "namespace": "default",
            "annotations": annotations,
        },
        "spec": {"model": {"name": f"model-{index % MODELS}"}, "engine": engine},
    }


def _figures(seconds: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(seconds, n=1000)
    shown = {
        "median_ms": statistics.median(seconds),
        "p99_ms": cut[989],
        "max_ms": max(seconds),
    }
    return {name: round(value * 1e3, 3) for name, value in shown.items()}


def in_process(found: CachedView, count: int) -> dict[str, float]:
    """The whole review: defaulting, all checks, choice of a runtime, warnings."""
    admission = OmeAdmission()
    taken = []
    for index in range(count):
        service = _service(index)
        begin = time.perf_counter()
        review = admission.review("CREATE", o.INFERENCE_SERVICES, service, None, found)
        taken.append(time.perf_counter() - begin)
        assert not review.errors
        assert "auto-selected" in review.warnings[0]
    return _figures(taken)


# --- over TLS -------------------------------------------------------------------------------------


async def over_tls(found: CachedView, count: int) -> dict[str, Any]:
    from ome.admission.webhook import WebhookServer

    data = pki.renew({}, ["127.0.0.1"], datetime.now(UTC), pki.Lifetimes())
    assert data is not None
    identity = pki.identity(data)
    server = WebhookServer(OmeAdmission(), found)
    await server.start("127.0.0.1")
    server.use(identity.certificate, identity.key)
    with tempfile.NamedTemporaryFile(suffix=".pem") as trust:
        trust.write(identity.authorities)
        trust.flush()
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--client", str(server.port), trust.name, str(count)),
            stdout=subprocess.PIPE,
        )
        out, _ = await client.communicate()
    await server.stop()
    assert client.returncode == 0
    result: dict[str, Any] = json.loads(out)
    return result


async def client(port: int, trust: str, count: int) -> None:
    import aiohttp

    context = ssl.create_default_context(cafile=trust)
    connector = aiohttp.TCPConnector(ssl=context, limit=CONCURRENT)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(hook: Any, index: int, bad: bool) -> float:
            body = _review(_service(index, bad=bad))
            begin = time.perf_counter()
            url = f"https://127.0.0.1:{port}{hook.path}"
            async with session.post(url, data=body) as answer:
                told = await answer.read()
            taken = time.perf_counter() - begin
            response = json.loads(told)["response"]
            assert response["allowed"] is not (bad and hook is VALIDATOR)
            return taken

        for index in range(50):  # connections, first decoding of the runtimes
            await ask(VALIDATOR, index, False)
        validated = [await ask(VALIDATOR, i, i % 2 == 1) for i in range(count)]
        defaulted = [await ask(DEFAULTER, i, False) for i in range(count)]
        gate = asyncio.Semaphore(CONCURRENT)

        async def one(index: int) -> float:
            async with gate:
                return await ask(VALIDATOR, index, index % 2 == 1)

        begin = time.perf_counter()
        crowded = await asyncio.gather(*(one(i) for i in range(count)))
        rate = count / (time.perf_counter() - begin)
    print(
        json.dumps(
            {
                "validate": _figures(validated),
                "default": _figures(defaulted),
                f"validate_{CONCURRENT}_at_once": {
                    **_figures(list(crowded)),
                    "reviews_per_second": round(rate),
                },
            }
        )
    )


def _review(obj: Object) -> bytes:
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "operation": "CREATE",
        "resource": {"group": o.GROUP, "version": o.VERSION, "resource": "inferenceservices"},
        "name": obj["metadata"]["name"],
        "namespace": "default",
        "object": obj,
        "oldObject": None,
        "dryRun": False,
    }
    kind = "AdmissionReview"
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": kind, "request": request}
    ).encode()


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if arguments[:1] == ["--client"]:
        asyncio.run(client(int(arguments[1]), arguments[2], int(arguments[3])))
        return
    count = int(arguments[0]) if arguments else 2000
    runtimes = int(arguments[1]) if len(arguments) > 1 else 100
    found = view(runtimes)
    in_process(found, 20)
    result: dict[str, Any] = {
        "requests": count,
        "runtimes": runtimes,
        "models": MODELS,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": [round(value, 1) for value in os.getloadavg()],
        "in_process": in_process(found, count),
        "webhook": asyncio.run(over_tls(found, count)),
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if "--write" in sys.argv:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text)
    met = result["in_process"]["median_ms"] < 1 and result["webhook"]["validate"]["p99_ms"] < 5
    print("targets met" if met else "TARGETS MISSED")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
