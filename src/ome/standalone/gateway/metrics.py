"""The gateway's figures, served at ``/metrics`` in Prometheus' text form.

Labels are ids of services that exist, so a client can't make new series by inventing names.

They are counted in plain numbers. Prometheus' library makes text of them, and is imported when
somebody scrapes for the first time: it costs 3 MB, which nobody should pay for who has no
Prometheus.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(slots=True)
class Tally:
    """One number for each combination of labels: a counter, or a gauge if it also falls."""

    name: str
    text: str
    labels: Sequence[str]
    falls: bool = False
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + by


@dataclass(slots=True)
class Spread:
    """How often a value fell between two of BUCKETS (the last: above all of them), and their
    sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def cumulative(self) -> Iterator[tuple[str, float]]:
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


@dataclass(slots=True)
class Timing:
    """Seconds, by service."""

    name: str
    text: str
    values: dict[str, Spread] = field(default_factory=dict)

    def observe(self, service: str, seconds: float) -> None:
        spread = self.values.setdefault(service, Spread())
        spread.counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        spread.sum += seconds


class Metrics:
    def __init__(self) -> None:
        self.requests = Tally(
            "ome_gateway_requests",
            "Requests by service and answered status (0: the client went away first)",
            ("service", "code"),
        )
        self.duration = Timing(
            "ome_gateway_request_seconds",
            "From the request's head to the last byte of the answer",
        )
        self.first_byte = Timing(
            "ome_gateway_first_byte_seconds",
            "From the request's head to the first byte of the answer's body",
        )
        self.in_flight = Tally(
            "ome_gateway_in_flight", "Requests being answered", ("service",), falls=True
        )
        self.tokens = Tally(
            "ome_gateway_tokens",
            "Tokens as the engine counted them, where its answer says so",
            ("service", "kind"),
        )
        self.retries = Tally(
            "ome_gateway_retries",
            "Requests sent to another replica because one could not be reached",
            ("service",),
        )

    def all(self) -> tuple[Tally | Timing, ...]:
        return (
            *(self.requests, self.duration, self.first_byte),
            *(self.in_flight, self.tokens, self.retries),
        )

    def text(self) -> bytes:
        from ome.standalone.gateway.exposition import text

        return text(self)
