"""What makes a BenchmarkJob invalid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.api import storage_uri
from ome.api.storage_uri import StorageURIError
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.benchmark import job, storage
from ome.benchmark.scenarios import IN_BATCHES, SCENARIOS


def benchmark_errors(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    return [*_endpoint(spec), *_scenarios(spec), *_parameters(spec), *_limits(spec), *_places(spec)]


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
        if isinstance(value, int | float) and value <= 0:
            yield FieldError(f"spec.{key}", f"{value:g} must be at least 1")
    for index, value in enumerate(spec.get("numConcurrency") or ()):
        if isinstance(value, int | float) and value <= 0:
            yield FieldError(f"spec.numConcurrency[{index}]", f"{value:g} must be at least 1")
    output = spec.get("outputLocation")
    if output is not None and not output.get("storageUri"):
        yield FieldError(
            "spec.outputLocation.storageUri",
            "say where the results go, for example pvc://results/run-1",
            "FieldValueRequired",
        )


def _places(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for key, known, what in (
        ("outputLocation", storage.WRITABLE, "results can't be written there"),
        ("dataset", storage.READABLE, "genai-bench can't read data from there"),
    ):
        uri = (spec.get(key) or {}).get("storageUri")
        if not uri:
            continue
        path = f"spec.{key}.storageUri"
        try:
            scheme = storage_uri.parse(str(uri)).scheme
        except StorageURIError as error:
            yield FieldError(path, str(error))
            continue
        if scheme not in known:
            forms = ", ".join(f"{name}://" for name in known)
            yield FieldError(path, f"{what}; use one of {forms}")


_ONLY_OF_MODELS = ("path", "schemaPath", "nodeSelector", "nodeAffinity", "downloadPolicy")
"""Of the type that models share: where nodes keep files, which a benchmark does not ask for."""


def benchmark_warnings(obj: Object, old: Object | None) -> list[str]:
    """What is stored although it can't come to a good end as it is, or has no effect."""
    spec = obj.get("spec") or {}
    found = []
    if lacking := job.unsupported(spec):
        found.append(f"{lacking[1]}: {lacking[0]}; {lacking[2]}")
    if spec.get("task") in IN_BATCHES and spec.get("numConcurrency"):
        found.append(
            f"spec.numConcurrency: genai-bench varies the size of batches for {spec['task']}, "
            "one request at a time; the numbers are taken as sizes of batches"
        )
    for index, scenario in enumerate(spec.get("trafficScenarios") or ()):
        if str(scenario).startswith("E(") and "," in str(scenario):
            found.append(
                f"spec.trafficScenarios[{index}]: an embedding has one length; "
                "the second number is left out"
            )
    parameters = (spec.get("outputLocation") or {}).get("parameters") or {}
    for name in sorted(storage.SECRET_PARAMETERS.keys() & parameters.keys()):
        found.append(
            f"spec.outputLocation.parameters.{name}: everybody who may read this object can read "
            f"it; put it into a Secret as {storage.SECRET_PARAMETERS[name]} and name that in "
            "spec.outputLocation.key"
        )
    found += [
        f"spec.{place}.{name} has no effect in a benchmark, which keeps no files on nodes"
        for place in ("dataset", "outputLocation")
        for name in _ONLY_OF_MODELS
        if (spec.get(place) or {}).get(name)
    ]
    if old is not None and (old.get("status") or {}).get("startTime"):
        found.append("the benchmark has begun and stays what it was; delete and create it anew")
    return found
