"""genai-bench's command line for a BenchmarkJob.

What only the running server can say (the name of the model, where none is given) and what only the
pod can see (whether the model's files hold a tokenizer) is left to the program in the pod, which
takes this same command line and completes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ome.benchmark import scenarios
from ome.rendering.errors import RenderError

WORDS: Final = "words"
"""As tokenizer: there is none; words count as tokens."""
TOKENIZER_VARIABLE: Final = "MODEL_TOKENIZER"
"""In ``podOverride.env``: the tokenizer to use, a path or a name at the Hugging Face hub."""
_HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")
_ASK_FOR_MODEL: Final = "openai"
_RERANKS: Final = "vllm"
"""What genai-bench calls OpenAI's API where it has a way to rerank, whatever the engine."""
_A100: Final = {False: "A100-80G", True: "A100-40G"}


def command_line(
    spec: Mapping[str, Any],
    *,
    backend: str,
    base: str,
    model: str,
    tokenizer: str,
    small_a100: bool = False,
    storage: Sequence[str] = (),
    dataset: Sequence[str] = (),
) -> list[str]:
    """All words after ``genai-bench``."""
    task = str(spec.get("task"))
    if not model and backend != _ASK_FOR_MODEL:
        raise _nameless(spec, backend)
    called = _RERANKS if task == "text-to-rerank" else backend
    words = ["benchmark", "--api-backend", called, "--api-base", base]
    if model:
        words += ["--api-model-name", model]
    words += ["--task", scenarios.TASKS.get(task, task)]
    words += ["--max-time-per-run", str(spec.get("maxTimePerIteration"))]
    words += ["--max-requests-per-run", str(spec.get("maxRequestsPerIteration"))]
    words += ["--model-tokenizer", tokenizer]
    for scenario in spec.get("trafficScenarios") or ():
        words += ["--traffic-scenario", scenarios.normal(str(scenario))]
    for count in spec.get("numConcurrency") or ():
        option = "--batch-size" if task in scenarios.IN_BATCHES else "--num-concurrency"
        words += [option, str(count)]
    if spec.get("resultFolderName"):
        words += ["--experiment-folder-name", str(spec["resultFolderName"])]
    words += _server(spec.get("serviceMetadata"), small_a100)
    words += _parameters(spec.get("additionalRequestParams"))
    return [*words, *dataset, *storage]


def _nameless(spec: Mapping[str, Any], backend: str) -> RenderError:
    direct = (spec.get("endpoint") or {}).get("endpoint")
    return RenderError(
        "InvalidSpec",
        f"a server that speaks {backend} can't be asked for the name of its model",
        field="spec.endpoint.endpoint.modelName" if direct else "spec.endpoint.inferenceService",
        fix="name the model"
        if direct
        else "measure it by its URL, with apiFormat and modelName: spec.endpoint.endpoint",
    )


def _server(facts: Mapping[str, Any] | None, small_a100: bool) -> list[str]:
    if not facts:
        return []
    gpu = str(facts.get("gpuType"))
    gpu = _A100[small_a100] if gpu == "A100" else gpu
    words = ["--server-engine", str(facts.get("engine")), "--server-gpu-type", gpu]
    words += ["--server-version", str(facts.get("version"))]
    return [*words, "--server-gpu-count", str(facts.get("gpuCount"))]


def _parameters(given: Mapping[str, str] | None) -> list[str]:
    """As JSON, each value as what it reads like: ``"0.5"`` is a number."""
    values = {name: _value(text) for name, text in sorted((given or {}).items())}
    if values.get("ignore_eos") is False:
        del values["ignore_eos"]  # genai-bench would ask a person whether that is meant
    if not values:
        return []
    return ["--additional-request-params", json.dumps(values, sort_keys=True)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def tokenizer_of_endpoint(spec: Mapping[str, Any], model: str) -> str:
    """For a server that we only know by its address."""
    for entry in (spec.get("podOverride") or {}).get("env") or ():
        if entry.get("name") == TOKENIZER_VARIABLE and entry.get("value"):
            return str(entry["value"])
    return model if _HUB_NAME.fullmatch(model) else WORDS


def runs(spec: Mapping[str, Any]) -> int:
    """How many runs genai-bench will make."""
    task = str(spec.get("task"))
    shapes = len(spec.get("trafficScenarios") or ())
    if not shapes:
        shapes = 1 if spec.get("dataset") else scenarios.DEFAULT_COUNTS.get(task, 1)
    batches = task in scenarios.IN_BATCHES
    default = scenarios.BATCH_SIZES if batches else scenarios.CONCURRENCIES
    return shapes * (len(spec.get("numConcurrency") or ()) or default)
