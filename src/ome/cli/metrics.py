"""What the operator and the agent measure, for Prometheus.

Counters and histograms are fed by the hooks of :mod:`ome.kube` (requests, reconciles, queues);
what is a state (queue depth, cache size, who leads) is read when somebody scrapes. Every instance
has a registry of its own, so several can live in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ome import __version__
from ome.apimachinery.objects import Key
from ome.kube import Controller, Informer, Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One process's metrics. ``request`` is an observer for :class:`ome.kube.Client`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Gauge("ome_build_info", "Version that runs.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self._requests = Counter(
            "ome_api_requests",
            "Requests to the Kubernetes API, watches when they end; code 0: no answer.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "ome_api_request_duration_seconds",
            "Time of requests to the Kubernetes API, without watches.",
            ["verb"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reconciles = Counter(
            "ome_reconcile",
            "Looks at an object, by kind and how they ended.",
            ["controller", "outcome"],
            registry=self.registry,
        )
        self._reconcile_seconds = Histogram(
            "ome_reconcile_duration_seconds",
            "Time of one look at an object.",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._queue_seconds = Histogram(
            "ome_queue_latency_seconds",
            "How long an object was ready to be looked at before it was.",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self._requests.labels(verb, resource or "other", str(code)).inc()
        if verb != "watch":
            self._request_seconds.labels(verb).observe(seconds)

    def measure(self, controllers: Iterable[Controller]) -> None:
        """Hooks into controllers that do not run yet."""
        for controller in controllers:
            controller.observer = self._reconciled
            controller.queue.observer = self._queue_seconds.labels(controller.name).observe

    def _reconciled(self, controller: str, _key: Key, outcome: Outcome, seconds: float) -> None:
        self._reconciles.labels(controller, outcome.value).inc()
        self._reconcile_seconds.labels(controller).observe(seconds)

    def read(
        self,
        informers: Callable[[], Iterable[Informer]],
        controllers: Callable[[], Iterable[Controller]] = tuple,
        leads: Callable[[], bool] | None = None,
    ) -> None:
        """What to ask when somebody scrapes."""
        self.registry.register(_States(informers, controllers, leads))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _States(Collector):
    def __init__(
        self,
        informers: Callable[[], Iterable[Informer]],
        controllers: Callable[[], Iterable[Controller]],
        leads: Callable[[], bool] | None,
    ) -> None:
        self._informers = informers
        self._controllers = controllers
        self._leads = leads

    def collect(self) -> Iterator[Metric]:
        yield from self._caches()
        depth = GaugeMetricFamily(
            "ome_queue_depth", "Objects that wait to be looked at.", labels=["controller", "state"]
        )
        for controller in self._controllers():
            queue = controller.queue
            depth.add_metric([controller.name, "ready"], len(queue))
            depth.add_metric([controller.name, "delayed"], queue.delayed)
            depth.add_metric([controller.name, "working"], queue.working)
        yield depth
        if self._leads is not None:
            yield GaugeMetricFamily(
                "ome_leader", "1 where this replica acts.", value=float(self._leads())
            )

    def _caches(self) -> Iterator[Metric]:
        size = GaugeMetricFamily("ome_cache_objects", "Objects held.", labels=["resource"])
        synced = GaugeMetricFamily(
            "ome_cache_synced", "1 once a kind has been read.", labels=["resource"]
        )
        counted = {
            name: CounterMetricFamily(f"ome_watch_{name}", text, labels=["resource"])
            for name, text in (
                ("starts", "Watches that were started; the first one is no restart."),
                ("lists", "Readings of everything."),
                ("expirations", "Watches that fell behind too far."),
                ("failures", "Failed requests for lists and watches."),
                ("events", "Changes heard of."),
            )
        }
        totals: dict[str, list[float]] = {}
        for informer in self._informers():
            stats = informer.stats
            found = (
                len(informer),
                float(informer.has_synced),
                stats.watches,
                stats.lists,
                stats.expired,
                stats.failures,
                stats.events,
            )
            sums = totals.setdefault(str(informer.resource), [0.0, 1.0, 0, 0, 0, 0, 0])
            for place, value in enumerate(found):
                sums[place] = min(sums[place], value) if place == 1 else sums[place] + value
        for resource, (count, ready, *rest) in totals.items():
            size.add_metric([resource], count)
            synced.add_metric([resource], ready)
            for family, value in zip(counted.values(), rest, strict=True):
                family.add_metric([resource], value)
        yield size
        yield synced
        yield from counted.values()
