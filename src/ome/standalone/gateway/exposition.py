"""The gateway's figures as Prometheus' text. Imported by the first scrape, see ``metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from ome.standalone.gateway import lean
from ome.standalone.gateway.metrics import Metrics, Tally, Timing

lean.forbid_nothing()  # Prometheus' library can't be imported without ssl

from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402
from prometheus_client.core import (  # noqa: E402
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector  # noqa: E402


class _Figures(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        for figure in self._metrics.all():
            yield _timing(figure) if isinstance(figure, Timing) else _tally(figure)


def _tally(figure: Tally) -> Metric:
    kind = GaugeMetricFamily if figure.falls else CounterMetricFamily
    family = kind(figure.name, figure.text, labels=figure.labels)
    for labels, value in figure.values.items():
        family.add_metric(labels, value)
    return family


def _timing(figure: Timing) -> Metric:
    family = HistogramMetricFamily(figure.name, figure.text, labels=("service",))
    for service, spread in figure.values.items():
        family.add_metric((service,), list(spread.cumulative()), spread.sum)
    return family


def text(metrics: Metrics) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Figures(metrics))
    return generate_latest(registry)
