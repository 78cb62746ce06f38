"""How long one runtime selection takes among 500 runtimes, with every candidate judged.

Run: ``PYTHONPATH=src python benchmarks/selection.py [runtimes] [rounds]``. Prints the median and
the 99th percentile in milliseconds, once for judging alone and once with every loser's sentences.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from ome.selection import Runtime, SelectionInput, select_runtime

ARCHITECTURES = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma2ForCausalLM")


def _runtime(index: int) -> Runtime:
    low = 1 + index % 70
    entry = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": f"4.{30 + index % 20}.0"},
        "modelArchitecture": ARCHITECTURES[index % len(ARCHITECTURES)],
        "autoSelect": index % 3 != 0,
        "priority": 1 + index % 2,
    }
    spec = {
        "supportedModelFormats": [entry],
        "modelSizeRange": {"min": f"{low}B", "max": f"{low + 4}B"},
    }
    return Runtime.of(
        {"kind": "ClusterServingRuntime", "metadata": {"name": f"rt-{index:04d}"}, "spec": spec}
    )


def _measure(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    runtimes = [_runtime(index) for index in range(count)]
    service = {"metadata": {"name": "s", "namespace": "d"}, "spec": {"engine": {}}}
    model = {
        "kind": "ClusterBaseModel",
        "metadata": {"name": "m"},
        "spec": {
            "modelFormat": {"name": "safetensors", "version": "1.0.0"},
            "modelFramework": {"name": "transformers", "version": "4.41.0"},
            "modelArchitecture": "Gemma2ForCausalLM",
            "modelParameterSize": "12B",
        },
    }
    given = SelectionInput(service, model, runtimes)
    assert select_runtime(given).winner is not None

    def with_reasons() -> None:
        for candidate in select_runtime(given).candidates:
            _ = candidate.reasons

    for name, work in (("judge", lambda: select_runtime(given)), ("with sentences", with_reasons)):
        median, high = _measure(work, rounds)
        print(f"{name}: {count} runtimes, median {median:.3f} ms, p99 {high:.3f} ms")


if __name__ == "__main__":
    main()
