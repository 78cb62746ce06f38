"""Ray clusters that run and whose engine does not answer are made anew.

Ray knows whether its pods run, the prober beside each cluster whether the engine answers. A cluster
that is ready while its prober is not has gone wrong inside, and nothing but a new one helps. Since
when that is so stands on the cluster (``raycluster/unavailable-since``, taken from the prober's own
status); after ``multinodeProber.unavailableThresholdSeconds`` it is deleted, and the next look
makes it again. An engine that has not answered yet in this cluster's life has its time to start on
top. A cluster without prober is left alone: the prober is made, nothing is known yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ome.api import external as x
from ome.apimachinery.objects import Object, is_deleting, key_of, metadata, uid_of
from ome.controllers.plan import Delete, owns
from ome.rendering import Observed, Rendered
from ome.rendering.ray import prober_of, unavailable_since

_MOMENT = timedelta(seconds=60)
"""A prober that failed so soon after the cluster was made never saw it answer."""


@dataclass(frozen=True)
class Recycling:
    """``again``: seconds until a cluster will be due that is not yet; None without any."""

    deletes: tuple[Delete, ...] = ()
    again: float | None = None


def recycle(
    service: Object,
    rendered: Rendered | None,
    observed: Observed,
    threshold_seconds: int,
    startup: Mapping[str, int],
    now: str,
) -> Recycling:
    """``startup`` is the prober's startup probe; ``now`` RFC 3339 in UTC."""
    wanted = {c.workload for c in rendered.components.values()} if rendered else set()
    if x.RAY_CLUSTERS not in wanted:
        return Recycling()
    budget = startup.get("failureThreshold", 0) * startup.get("periodSeconds", 0)
    starting = timedelta(seconds=budget + startup.get("initialDelaySeconds", 0))
    deletes, left = [], []
    for name, cluster in observed.of(x.RAY_CLUSTERS).items():
        prober = prober_of(name, observed)
        since = unavailable_since(cluster, prober)
        if since is None or is_deleting(cluster) or not owns(service, cluster):
            continue
        born = max(_born(cluster), _born(prober or {}))
        patience = timedelta(seconds=threshold_seconds)
        if _time(since) <= born + _MOMENT:
            patience += starting
        rest = (max(_time(since), born) + patience - _time(now)).total_seconds()
        if rest > 0:
            left.append(rest)
            continue
        text = (
            f"delete RayCluster {name}, whose engine does not answer since {since}; it is made anew"
        )
        deletes.append(Delete(x.RAY_CLUSTERS, key_of(cluster), uid_of(cluster), text))
    return Recycling(tuple(deletes), min(left, default=None))


def _born(obj: Object) -> datetime:
    return _time(metadata(obj).get("creationTimestamp") or "1970-01-01T00:00:00Z")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
