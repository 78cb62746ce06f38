"""The gateway's figures, served at ``/metrics`` in Prometheus' text form.

Labels are ids of services that exist, so a client can't make new series by inventing names.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "ome_gateway_requests_total",
            "Requests by service and answered status (0: the client went away first)",
            ["service", "code"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "ome_gateway_request_seconds",
            "From the request's head to the last byte of the answer",
            ["service"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.first_byte = Histogram(
            "ome_gateway_first_byte_seconds",
            "From the request's head to the first byte of the answer's body",
            ["service"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "ome_gateway_in_flight", "Requests being answered", ["service"], registry=self.registry
        )
        self.tokens = Counter(
            "ome_gateway_tokens_total",
            "Tokens as the engine counted them, where its answer says so",
            ["service", "kind"],
            registry=self.registry,
        )
        self.retries = Counter(
            "ome_gateway_retries_total",
            "Requests sent to another replica because one could not be reached",
            ["service"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)
