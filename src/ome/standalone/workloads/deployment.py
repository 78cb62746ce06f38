"""What a Deployment wants next: a pure function of it and its ReplicaSets.

The rules are Kubernetes': one ReplicaSet per pod template, found again by comparing templates;
``RollingUpdate`` keeps within ``maxSurge`` and ``maxUnavailable``; ``Recreate`` waits for the old
pods to be gone; revisions, history limit, pause and progress deadline as ``kubectl rollout`` reads
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ome.apimachinery.objects import Object, annotations_of, condition, metadata, owner_reference
from ome.standalone.workloads.pods import (
    HASH_LABEL,
    seconds,
    set_condition,
    short_hash,
    timestamp,
    without_hash,
)

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = (
    REVISION,
    DESIRED,
    MAXIMUM,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision-history",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``scale``: ReplicaSet name -> replicas. ``annotate``: ReplicaSet name (or "" for the
    Deployment) -> annotations to set. ``look_again``: seconds."""

    create: Object | None = None
    scale: Mapping[str, int] = field(default_factory=dict)
    annotate: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delete: tuple[str, ...] = ()
    status: Object = field(default_factory=dict)
    look_again: float | None = None


def bounds(spec: Mapping[str, Any]) -> tuple[int, int]:
    """``maxSurge`` and ``maxUnavailable`` as numbers of pods. Both zero would stand still, so the
    latter is then 1."""
    desired = replicas_of(spec)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", "25%"), desired, up=True)
    unavailable = _amount(rolling.get("maxUnavailable", "25%"), desired, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, desired)


def _amount(value: object, total: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = total * float(value[:-1]) / 100
        return math.ceil(share) if up else math.floor(share)
    return int(str(value if value is not None else 0))


def replicas_of(spec: Mapping[str, Any]) -> int:
    value = spec.get("replicas")
    return 1 if value is None else int(value)


def _wanted(rs: Mapping[str, Any]) -> int:
    return replicas_of(rs.get("spec") or {})


def _count(rs: Mapping[str, Any], key: str) -> int:
    return int((rs.get("status") or {}).get(key) or 0)


def _age(rs: Mapping[str, Any]) -> tuple[float, str]:
    meta = metadata(rs)
    return seconds(meta.get("creationTimestamp")), meta.get("name") or ""


def revision_of(obj: Mapping[str, Any]) -> int:
    text = annotations_of(obj).get(REVISION) or "0"
    return int(text) if text.isdigit() else 0


def current(
    deployment: Mapping[str, Any], sets: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The ReplicaSet of the present template: the oldest that has it."""
    template = without_hash((deployment.get("spec") or {}).get("template") or {})
    same = [
        rs for rs in sets if without_hash((rs.get("spec") or {}).get("template") or {}) == template
    ]
    return min(same, key=_age, default=None)


def new_replica_set(
    deployment: Mapping[str, Any], revision: int, replicas: int, taken: frozenset[str]
) -> Object:
    """The ReplicaSet to create. A name that another template already has gets another hash."""
    spec, meta = deployment["spec"], metadata(deployment)
    template = without_hash(spec.get("template") or {})
    salt = 0
    digest = short_hash(template)
    while f"{meta['name']}-{digest}" in taken:
        salt += 1
        digest = short_hash([template, salt])
    labels = {**(metadata(template).get("labels") or {}), HASH_LABEL: digest}
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    copied = {k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": copied | _counts(spec) | {REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            **({"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}),
            "selector": selector,
            "template": {**template, "metadata": {**metadata(template), "labels": labels}},
        },
    }


def _counts(spec: Mapping[str, Any]) -> dict[str, str]:
    desired = replicas_of(spec)
    return {DESIRED: str(desired), MAXIMUM: str(desired + bounds(spec)[0])}


def plan(
    deployment: Mapping[str, Any],
    sets: Sequence[Mapping[str, Any]],
    old_pods: int,
    now: float,
) -> Plan:
    """``sets`` are the Deployment's own; ``old_pods`` counts pods of other templates that still
    exist (``Recreate`` waits for them)."""
    spec = deployment["spec"]
    paused = bool(spec.get("paused"))
    new = current(deployment, sets)
    old = sorted((rs for rs in sets if rs is not new), key=_age)
    revision = max((revision_of(rs) for rs in old), default=0) + 1
    annotate: dict[str, dict[str, str]] = {}
    create: Object | None = None
    scale: dict[str, int] = {}
    if new is None and not paused:
        taken = frozenset(metadata(rs)["name"] for rs in sets)
        first = _first_size(spec, old, old_pods)
        create = new_replica_set(deployment, revision, first, taken)
    if new is not None:
        wanted = _counts(spec)
        if not paused:
            wanted[REVISION] = str(max(revision, revision_of(new)))
        shown = annotations_of(new)
        if missing := {k: v for k, v in wanted.items() if shown.get(k) != v}:
            annotate[metadata(new)["name"]] = missing
        scale = _scales(spec, new, old, old_pods, paused)
        revision = int(wanted.get(REVISION, revision_of(new)))
    if not paused and annotations_of(deployment).get(REVISION) != str(revision):
        annotate[""] = {REVISION: str(revision)}
    if paused and new is None:
        scale = _paused_scales(spec, old)
    status, look_again = _status(deployment, new, old, create, scale, now)
    complete = _complete(spec, status)
    return Plan(
        create=create,
        scale=scale,
        annotate=annotate,
        delete=_surplus(spec, old) if complete and not paused else (),
        status=status,
        look_again=look_again,
    )


def _first_size(spec: Mapping[str, Any], old: Sequence[Mapping[str, Any]], old_pods: int) -> int:
    desired = replicas_of(spec)
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        return 0 if old_pods or any(_wanted(rs) for rs in old) else desired
    surge, _ = bounds(spec)
    return max(0, min(desired, desired + surge - sum(_wanted(rs) for rs in old)))


def _scales(
    spec: Mapping[str, Any],
    new: Mapping[str, Any],
    old: Sequence[Mapping[str, Any]],
    old_pods: int,
    paused: bool,
) -> dict[str, int]:
    desired = replicas_of(spec)
    if paused:
        return _paused_scales(spec, [*old, new])
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        downs = {metadata(rs)["name"]: 0 for rs in old if _wanted(rs)}
        if downs or old_pods:
            return downs
        return {} if _wanted(new) == desired else {metadata(new)["name"]: desired}
    return _rolling(spec, new, old)


def _paused_scales(spec: Mapping[str, Any], sets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """While paused only the size follows, in the newest ReplicaSet that has pods."""
    active = [rs for rs in sets if _wanted(rs)] or list(sets[-1:])
    if not active:
        return {}
    others = sum(_wanted(rs) for rs in active[:-1])
    target = max(0, replicas_of(spec) - others)
    return {} if _wanted(active[-1]) == target else {metadata(active[-1])["name"]: target}


def _rolling(
    spec: Mapping[str, Any], new: Mapping[str, Any], old: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    desired = replicas_of(spec)
    surge, unavailable = bounds(spec)
    scale: dict[str, int] = {}
    total = _wanted(new) + sum(_wanted(rs) for rs in old)
    target = _wanted(new)
    if target > desired:
        target = desired
    elif target < desired:
        target = min(desired, target + max(0, desired + surge - total))
    if target != _wanted(new):
        scale[metadata(new)["name"]] = target
    allowed = total - (desired - unavailable)
    allowed -= max(0, _wanted(new) - _count(new, "availableReplicas"))
    left = {metadata(rs)["name"]: _wanted(rs) for rs in old}
    for rs in old:  # pods that serve nobody go first: nothing is lost with them
        name = metadata(rs)["name"]
        idle = min(left[name] - min(left[name], _count(rs, "availableReplicas")), max(0, allowed))
        left[name] -= idle
        allowed -= idle
    available = sum(_count(rs, "availableReplicas") for rs in (new, *old))
    spare = max(0, min(allowed, available - (desired - unavailable)))
    for rs in old:
        name = metadata(rs)["name"]
        drop = min(left[name], spare)
        left[name] -= drop
        spare -= drop
    for rs in old:
        name = metadata(rs)["name"]
        if left[name] != _wanted(rs):
            scale[name] = left[name]
    return scale


def _surplus(spec: Mapping[str, Any], old: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    limit = spec.get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    idle = [
        rs
        for rs in old
        if not _wanted(rs)
        and not _count(rs, "replicas")
        and not metadata(rs).get("deletionTimestamp")
    ]
    idle.sort(key=lambda rs: (revision_of(rs), _age(rs)))
    return tuple(metadata(rs)["name"] for rs in idle[: max(0, len(idle) - keep)])


def _complete(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    desired = replicas_of(spec)
    return bool(
        status.get("updatedReplicas", 0) == desired
        and status.get("replicas", 0) == desired
        and status.get("availableReplicas", 0) == desired
    )


def _status(
    deployment: Mapping[str, Any],
    new: Mapping[str, Any] | None,
    old: Sequence[Mapping[str, Any]],
    create: Mapping[str, Any] | None,
    scale: Mapping[str, int],
    now: float,
) -> tuple[Object, float | None]:
    before = deployment.get("status") or {}
    every = [*old, *([new] if new is not None else [])]
    total = sum(_count(rs, "replicas") for rs in every)
    available = sum(_count(rs, "availableReplicas") for rs in every)
    wanted = sum(_wanted(rs) for rs in every)
    counts = {
        "replicas": total,
        "updatedReplicas": _count(new, "replicas") if new is not None else 0,
        "readyReplicas": sum(_count(rs, "readyReplicas") for rs in every),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    status: Object = {"observedGeneration": metadata(deployment).get("generation") or 0}
    status |= {k: v for k, v in counts.items() if v}
    conditions, look_again = _conditions(deployment, new, create, counts, before, now)
    failed = next((c for rs in every if (c := condition(rs, "ReplicaFailure"))), None)
    conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    if failed and failed.get("status") == "True":
        previous = list(before.get("conditions") or ())
        conditions += [
            c
            for c in set_condition(
                previous,
                "ReplicaFailure",
                "True",
                failed.get("reason") or "FailedCreate",
                failed.get("message") or "",
                timestamp(now),
            )
            if c["type"] == "ReplicaFailure"
        ]
    status["conditions"] = conditions
    return status, look_again


def _conditions(
    deployment: Mapping[str, Any],
    new: Mapping[str, Any] | None,
    create: Mapping[str, Any] | None,
    counts: Mapping[str, int],
    before: Mapping[str, Any],
    now: float,
) -> tuple[list[Object], float | None]:
    spec, stamp = deployment["spec"], timestamp(now)
    conditions: list[Object] = [dict(c) for c in before.get("conditions") or ()]
    desired, unavailable = replicas_of(spec), bounds(spec)[1]
    if counts["availableReplicas"] >= desired - unavailable:
        conditions = set_condition(
            conditions,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            stamp,
        )
    else:
        conditions = set_condition(
            conditions,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            stamp,
        )
    shown = condition(before_object(before), "Progressing") or {}
    deadline = spec.get("progressDeadlineSeconds")
    name = metadata(new or create or deployment)["name"]
    if spec.get("paused"):
        if shown.get("reason") != "DeploymentPaused":
            conditions = set_condition(
                conditions,
                "Progressing",
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused",
                stamp,
            )
        return conditions, None
    if create is not None:
        text = f'Created new replica set "{name}"'
        return (
            set_condition(
                conditions, "Progressing", "True", "NewReplicaSetCreated", text, stamp, touched=True
            ),
            None,
        )
    if _complete(spec, counts):
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return (
            set_condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", text, stamp),
            None,
        )
    if _progressed(before, counts) or not shown or shown.get("reason") == "DeploymentPaused":
        text = f'ReplicaSet "{name}" is progressing.'
        conditions = set_condition(
            conditions, "Progressing", "True", "ReplicaSetUpdated", text, stamp, touched=True
        )
        return conditions, float(deadline) + 1 if deadline else None
    if not deadline or shown.get("reason") == "ProgressDeadlineExceeded":
        return conditions, None
    if shown.get("reason") == "NewReplicaSetAvailable":
        return conditions, None  # complete before: a pod that fails later is not a failed rollout
    left = seconds(shown.get("lastUpdateTime")) + float(deadline) - now
    if left > 0:
        return conditions, left + 1
    text = f'ReplicaSet "{name}" has timed out progressing.'
    return (
        set_condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", text, stamp),
        None,
    )


def before_object(status: Mapping[str, Any]) -> Object:
    return {"status": status}


def _progressed(before: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    def was(key: str) -> int:
        return int(before.get(key) or 0)

    return (
        counts["updatedReplicas"] > was("updatedReplicas")
        or counts["readyReplicas"] > was("readyReplicas")
        or counts["availableReplicas"] > was("availableReplicas")
        or counts["replicas"] - counts["updatedReplicas"] < was("replicas") - was("updatedReplicas")
    )
