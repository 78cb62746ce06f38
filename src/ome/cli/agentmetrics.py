"""The agent's figures for Prometheus, under the names that dashboards know already."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ome.agent.stats import BUCKETS, Stats
from ome.storage.disk import free_bytes

_MODEL = ("model_type", "namespace", "name")


class AgentMetrics(Collector):
    """Read when somebody scrapes."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        stats = self._stats
        for name, text, more, values in (
            ("downloads_success", "Models that were brought here.", (), stats.successes),
            ("downloads_failed", "Attempts that failed, by reason.", ("reason",), stats.failures),
            ("download_bytes", "Bytes of the models that were brought here.", (), stats.bytes),
            (
                "verifications",
                "How often all bytes were read again.",
                ("result",),
                stats.verifications,
            ),
        ):
            family = CounterMetricFamily(f"model_agent_{name}", text, labels=(*_MODEL, *more))
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family
        yield self._durations()
        running, waiting = stats.jobs()
        jobs = GaugeMetricFamily("model_agent_downloads", "Downloads now.", labels=("state",))
        jobs.add_metric(["running"], running)
        jobs.add_metric(["waiting"], waiting)
        yield jobs
        yield GaugeMetricFamily(
            "model_agent_disk_free_bytes",
            "What may still be written in the models root.",
            value=free_bytes(stats.root),
        )

    def _durations(self) -> Metric:
        durations = self._stats.durations
        buckets: list[tuple[str, float]] = []
        seen = 0
        for limit, count in zip((*BUCKETS, "+Inf"), durations.counts, strict=True):
            seen += count
            buckets.append((str(limit), seen))
        return HistogramMetricFamily(
            "model_agent_download_duration_seconds",
            "Time of downloads that came to an end.",
            buckets=buckets,
            sum_value=durations.total,
        )
