"""What workload controllers ask about pods. Pure; times are epoch seconds."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ome.apimachinery.objects import (
    Object,
    annotations_of,
    condition,
    is_deleting,
    metadata,
    owner_reference,
)

HASH_LABEL = "pod-template-hash"
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def seconds(timestamp: str | None) -> float:
    """An RFC 3339 time as epoch seconds; 0 where there is none."""
    if not timestamp:
        return 0.0
    try:
        return dt.datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return 0.0


def timestamp(now: float) -> str:
    return dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(pod: Mapping[str, Any]) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Mapping[str, Any]) -> bool:
    """Counts towards ``replicas``: neither ended nor on its way out."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_ready(pod: Mapping[str, Any]) -> bool:
    return (condition(pod, "Ready") or {}).get("status") == "True"


def ready_since(pod: Mapping[str, Any]) -> float:
    ready = condition(pod, "Ready") or {}
    return seconds(ready.get("lastTransitionTime")) if ready.get("status") == "True" else 0.0


def available_at(pod: Mapping[str, Any], min_ready: float) -> float | None:
    """When the pod counts (or counted) as available; None while it isn't ready."""
    return ready_since(pod) + min_ready if is_ready(pod) else None


def restarts(pod: Mapping[str, Any]) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((s.get("restartCount") or 0 for s in statuses), default=0)


def deletion_rank(pod: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorts the pods that are missed least to the front."""
    cost = annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost") or "0"
    return (
        bool((pod.get("spec") or {}).get("nodeName")),
        phase(pod) == "Running",
        is_ready(pod),
        int(cost) if cost.lstrip("-").isdigit() else 0,
        -ready_since(pod),
        -restarts(pod),
        -seconds(metadata(pod).get("creationTimestamp")),
        metadata(pod).get("name") or "",
    )


def from_template(template: Mapping[str, Any], owner: Mapping[str, Any], namespace: str) -> Object:
    """A new pod of ``owner``; the server gives it a name."""
    meta = metadata(template)
    name = metadata(owner)["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            "namespace": namespace,
            "labels": dict(meta.get("labels") or {}),
            **({"annotations": dict(meta["annotations"])} if meta.get("annotations") else {}),
            **({"finalizers": list(meta["finalizers"])} if meta.get("finalizers") else {}),
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template.get("spec") or {},
    }


def short_hash(value: Any, length: int = 10) -> str:
    """A hash of JSON in letters that spell no words, the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(_SAFE))
        letters.append(_SAFE[digit])
    return "".join(letters)


def without_hash(template: Mapping[str, Any]) -> Object:
    """The template as its owner wrote it."""
    meta = dict(metadata(template))
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH_LABEL}
    meta.pop("creationTimestamp", None)
    meta.pop("labels", None)
    if labels:
        meta["labels"] = labels
    return {"metadata": meta, "spec": template.get("spec") or {}}


def set_condition(
    conditions: list[Object],
    type_: str,
    status: str,
    reason: str,
    message: str,
    now: str,
    *,
    touched: bool = False,
) -> list[Object]:
    """The list with this condition in its place; times change only when it does (or when it was
    ``touched``, as progress is)."""
    old = next((c for c in conditions if c.get("type") == type_), {})
    same = old.get("status") == status
    unchanged = same and old.get("reason") == reason and old.get("message") == message
    fresh: Object = {
        "type": type_,
        "status": status,
        "lastUpdateTime": old.get("lastUpdateTime", now) if unchanged and not touched else now,
        "lastTransitionTime": old.get("lastTransitionTime", now) if same else now,
        "reason": reason,
        "message": message,
    }
    others = [c for c in conditions if c.get("type") != type_]
    position = next((i for i, c in enumerate(conditions) if c.get("type") == type_), len(others))
    return [*others[:position], fresh, *others[position:]]
