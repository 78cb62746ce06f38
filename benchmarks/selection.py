"""How long it takes to choose among 500 runtimes, and to decide about one service.

Run: ``PYTHONPATH=src python benchmarks/selection.py [runtimes] [rounds]``. Prints JSON; with
``--write`` it also goes to ``benchmarks/results/selection.json``.

``select``           every runtime judged by every criterion
``select_with_memory`` the same, and the model's need compared with the accelerators of those that
                     fit
``every_sentence``   the same as ``select``, and every loser's reasons in words
``render``           all children of one service on the chosen runtime
``decide``           selection, accelerators, rendering and the plan of one service

Targets: ``select`` and ``select_with_memory`` under 1 ms, ``render`` under 3 ms (medians).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ome.controllers.decide import World, decide
from ome.controllers.fitting import Fitting
from ome.controllers.settings import OperatorSettings
from ome.rendering import RenderInput, render
from ome.selection import Runtime, SelectionInput, select_runtime

RESULT = Path(__file__).parent / "results" / "selection.json"
ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM")
CLASSES = {"l40s": "48Gi", "a100": "80Gi", "h100": "80Gi", "h200": "141Gi"}


def _runtime(index: int) -> Runtime:
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
        "image": "docker.io/vllm/vllm-openai:v1",
        "args": ["--model=$(MODEL_PATH)", "--max-model-len=8192", "--tensor-parallel-size=1"],
        "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    spec = {
        "supportedModelFormats": [entry],
        "modelSizeRange": {"min": f"{low}B", "max": f"{low + 4}B"},
        "acceleratorRequirements": {"acceleratorClasses": list(CLASSES)},
        "engineConfig": {"runner": runner},
    }
    return Runtime.of(
        {"kind": "ClusterServingRuntime", "metadata": {"name": f"rt-{index:04d}"}, "spec": spec}
    )


def _accelerator(name: str, memory: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "discovery": {"nodeSelector": {"gpu": name}},
            "capabilities": {"memoryGB": memory},
            "resources": [{"name": "nvidia.com/gpu", "quantity": "1"}],
        },
    }


MODEL: dict[str, Any] = {
    "kind": "ClusterBaseModel",
    "metadata": {"name": "m"},
    "spec": {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "modelArchitecture": "Gemma2ForCausalLM",
        "modelParameterSize": "12B",
        "storage": {"storageUri": "hf://org/m", "path": "/raid/models/m"},
        "modelConfiguration": {
            "shape": {
                "layers": 42,
                "hidden": 3584,
                "heads": 16,
                "kv_heads": 8,
                "head_size": 256,
                "value_size": 256,
                "vocabulary": 256000,
                "tables": 1,
                "full_layers": 21,
                "window_layers": 21,
                "window": 4096,
            }
        },
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "s", "namespace": "d", "uid": "u"},
    "spec": {
        "model": {"name": "m"},
        "engine": {"minReplicas": 1, "maxReplicas": 3},
        "acceleratorSelector": {"policy": "BestFit"},
    },
}


def _measure(work: Callable[[], object], rounds: int) -> dict[str, float]:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return {
        "median_ms": round(statistics.median(taken), 3),
        "p99_ms": round(statistics.quantiles(taken, n=100)[98], 3),
    }


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    count = numbers[0] if numbers else 500
    rounds = numbers[1] if len(numbers) > 1 else 500
    runtimes = [_runtime(index) for index in range(count)]
    classes = {name: _accelerator(name, memory) for name, memory in CLASSES.items()}
    given = SelectionInput(SERVICE, MODEL, runtimes)
    world = World(
        service=SERVICE,
        settings=OperatorSettings(),
        runtimes=runtimes,
        model=lambda _kind, _name: MODEL,
        accelerators=classes,
    )
    decision = decide(world)
    assert decision.problem is None, decision.problem
    assert decision.selection is not None and decision.selection.winner is not None
    winner = decision.selection.winner
    rendering = RenderInput(
        service=SERVICE,
        config=world.settings,
        model=MODEL,
        runtime=winner.runtime.raw,
        entry=winner.entry.raw if winner.entry else None,
        accelerators={k: v.winner for k, v in decision.accelerators.items() if v.winner},
    )

    def with_memory() -> None:
        fitting = Fitting(SERVICE, MODEL, classes)
        select_runtime(SelectionInput(SERVICE, MODEL, runtimes, memory=fitting.too_large))

    def with_reasons() -> None:
        for candidate in select_runtime(given).candidates:
            _ = candidate.reasons

    works: dict[str, Callable[[], object]] = {
        "select": lambda: select_runtime(given),
        "select_with_memory": with_memory,
        "every_sentence": with_reasons,
        "render": lambda: render(rendering),
        "decide": lambda: decide(world),
    }
    result = {
        "runtimes": count,
        "rounds": rounds,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": [round(value, 1) for value in os.getloadavg()],
        **{name: _measure(work, rounds) for name, work in works.items()},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if "--write" in sys.argv:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
