"""Which services may be at zero, and for how long they stay."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gateway.objects import service

from ome.standalone.gateway.routes import read_service, seconds_of


def described(annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    obj = service("a")
    obj["metadata"]["annotations"] = annotations or {}
    obj["spec"].update(spec)
    return read_service(obj)


def test_only_what_allows_zero_is_scaled_to_zero() -> None:
    assert described().from_zero == ()
    assert described(engine={"minReplicas": 1}).from_zero == ()
    assert described(engine={"minReplicas": 0}, router={"minReplicas": 0}).from_zero == (
        "engine",
        "router",
    )


def test_a_count_that_belongs_to_somebody_else_is_left_alone() -> None:
    external = {"ome.io/autoscalerClass": "external"}
    assert described(external, engine={"minReplicas": 0}).from_zero == ()


def test_a_service_may_say_how_long() -> None:
    found = described(
        {"ome.io/scale-to-zero-after": "30m", "ome.io/scale-from-zero-timeout": "90"},
        engine={"minReplicas": 0},
    )
    assert (found.idle_seconds, found.wake_seconds) == (1800, 90)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2), ("1.5m", 90), ("1h", 3600), ("7", 7), (" 7s ", 7),
     ("", None), (None, None), ("soon", None), ("-1s", None), ("9" * 40, None)],
)  # fmt: skip
def test_durations(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
