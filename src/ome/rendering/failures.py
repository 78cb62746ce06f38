"""Where and how often a model failed to load, for the older summary ``status.modelStatus``."""

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


def failed_copies(pods: Iterable[Mapping[str, Any]]) -> int:
    """Pods of which a container has ended badly and is not running again."""
    return sum(1 for pod in pods if any(map(_broken, _containers(pod))))


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _broken(container: Mapping[str, Any]) -> bool:
    state = container.get("state") or {}
    ended = state.get("terminated")
    if ended is None and state.get("waiting") is not None:
        ended = (container.get("lastState") or {}).get("terminated")
    return ended is not None and ended.get("exitCode") != 0
