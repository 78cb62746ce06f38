"""BenchmarkJob: what admission decides. What its controller does with the rest is still to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import Case, Open, case
from tests.contract.world import Seen, World

KIND = "BenchmarkJob"
OPEN_PLACES = (Open(KIND, r"(spec|status)\..*", "benchmark controller"),)


def refuses(path: str) -> Callable[[Seen], Any]:
    return lambda seen: path in seen.refusals


def cases() -> Iterator[Case]:
    for path, value, wrong, also in (
        ("task", "text-to-embeddings", "trafficScenarios[0]", {"trafficScenarios": ["D(1,1)"]}),
        ("trafficScenarios", ["nonsense"], "trafficScenarios[0]", {}),
        ("numConcurrency", [0], "numConcurrency[0]", {}),
        ("maxTimePerIteration", 0, "maxTimePerIteration", {}),
        ("maxRequestsPerIteration", 0, "maxRequestsPerIteration", {}),
        (
            "additionalRequestParams", {"temperature": "warm"},
            "additionalRequestParams.temperature", {},
        ),
        ("outputLocation.storageUri", "", "outputLocation.storageUri", {}),
    ):  # fmt: skip
        set_before: dict[str, Any] = {f"spec.{name}": v for name, v in also.items()}
        yield from case(
            KIND, f"spec.{path}", value, refuses(f"spec.{wrong}"), expected=True,
            base=World, also=set_before,
        )  # fmt: skip
