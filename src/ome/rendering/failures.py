"""Where a model failed to load, for the older summary ``status.modelStatus``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ome.api import constants as c
from ome.apimachinery.objects import Object, labels_of, metadata
from ome.rendering.workload import Failure


def whereabouts(failure: Failure, pods: Iterable[Mapping[str, Any]]) -> Object:
    """``location`` is the pod; ``modelRevisionName`` what the pod was made from."""
    pod = next((pod for pod in pods if metadata(pod)["name"] == failure.pod), None)
    if pod is None:
        return {}
    found: Object = {"location": failure.pod}
    owners: Sequence[Mapping[str, Any]] = metadata(pod).get("ownerReferences") or ({},)
    revision = labels_of(pod).get(c.L_KNATIVE_REVISION) or owners[0].get("name")
    if revision:
        found["modelRevisionName"] = revision
    return found
