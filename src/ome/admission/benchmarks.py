"""What makes a BenchmarkJob invalid."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

_PAIR = r"\([0-9]+,[0-9]+\)"
_IMAGE = r"I\([0-9]+,[0-9]+(,[0-9]+)?\)"
SCENARIOS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "text-to-text": (
        re.compile(rf"N{_PAIR}/{_PAIR}|U{_PAIR}(/{_PAIR})?|D{_PAIR}"),
        "D(100,100), N(480,240)/(300,150) or U(50,100)/(200,250)",
    ),
    "text-to-embeddings": (re.compile(r"E\([0-9]+(,[0-9]+)?\)"), "E(256)"),
    "image-to-text": (re.compile(_IMAGE), "I(512,512)"),
    "image-to-embeddings": (re.compile(_IMAGE), "I(512,512)"),
}


def benchmark_errors(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    return [*_endpoint(spec), *_scenarios(spec), *_parameters(spec), *_limits(spec)]


def _endpoint(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    endpoint = spec.get("endpoint") or {}
    given = [key for key in ("endpoint", "inferenceService") if endpoint.get(key) is not None]
    if not given:
        yield FieldError(
            "spec.endpoint",
            "say what to measure: endpoint.inferenceService or endpoint.endpoint",
            "FieldValueRequired",
        )
    elif len(given) == 2:
        yield FieldError(
            "spec.endpoint",
            "inferenceService and endpoint exclude each other; remove one",
            "FieldValueForbidden",
        )


def _scenarios(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    task = str(spec.get("task"))
    if task not in SCENARIOS:
        return  # the schema says which tasks there are
    pattern, example = SCENARIOS[task]
    for index, scenario in enumerate(spec.get("trafficScenarios") or ()):
        if not pattern.fullmatch(str(scenario).replace(" ", "")):
            yield FieldError(
                f"spec.trafficScenarios[{index}]",
                f"{scenario!r} is no scenario for {task}; write for example {example}",
            )


def _parameters(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    given = spec.get("additionalRequestParams") or {}
    temperature = given.get("temperature")
    if temperature is not None:
        try:
            float(temperature)
        except ValueError:
            yield FieldError(
                "spec.additionalRequestParams.temperature", f"{temperature!r} must be a number"
            )
    if given.get("ignore_eos") not in (None, "true", "false"):
        yield FieldError(
            "spec.additionalRequestParams.ignore_eos",
            f"{given['ignore_eos']!r} must be true or false",
        )


def _limits(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for key in ("maxTimePerIteration", "maxRequestsPerIteration"):
        value = spec.get(key)
        if isinstance(value, int) and value <= 0:
            yield FieldError(f"spec.{key}", f"{value} must be at least 1")
    for index, value in enumerate(spec.get("numConcurrency") or ()):
        if isinstance(value, int) and value <= 0:
            yield FieldError(f"spec.numConcurrency[{index}]", f"{value} must be at least 1")
    output = spec.get("outputLocation")
    if output is not None and not output.get("storageUri"):
        yield FieldError(
            "spec.outputLocation.storageUri",
            "say where the results go, for example pvc://results/run-1",
            "FieldValueRequired",
        )
