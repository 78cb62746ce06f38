"""What the object behind a component says about its replicas, whatever its kind.

A *replica* is what can answer by itself: a pod of a Deployment, a whole group of a LeaderWorkerSet,
a Ray cluster with its prober, a revision of a Knative Service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.objects import Object, condition, metadata


@dataclass(frozen=True)
class State:
    """``enough`` is the workload's own judgement that it can serve."""

    wanted: int
    available: int
    updated: int
    total: int
    seen: bool
    """The controller has seen the newest spec."""
    enough: bool
    unit: str = "replicas"
    refused: tuple[str, str] | None = None
    """Reason and message where pods can't even be created."""
    says: tuple[str, str] | None = None
    """Reason and message of the workload itself while it is not available."""
    overdue: bool = False
    """It takes longer than the workload was given."""

    @property
    def rolling(self) -> bool:
        """A version replaces another. Replicas that are only missing are no update."""
        return not self.seen or self.total > self.updated

    @property
    def serves(self) -> bool:
        return self.wanted == 0 or (self.enough and self.available > 0)


def read(workload: Object) -> State:
    """The state of a Deployment, LeaderWorkerSet or Knative Service."""
    kind, version = workload.get("kind"), str(workload.get("apiVersion") or "")
    if kind == "LeaderWorkerSet":
        return _groups(workload)
    if kind == "Service" and version.startswith("serving.knative.dev/"):
        return _revisions(workload)
    return _deployment(workload)


def _numbers(workload: Object) -> tuple[Mapping[str, Any], int, bool]:
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    seen = status.get("observedGeneration", 0) >= metadata(workload).get("generation", 0)
    return status, wanted, seen


def _deployment(workload: Object) -> State:
    status, wanted, seen = _numbers(workload)
    enough = condition(workload, "Available") or {}
    refused = condition(workload, "ReplicaFailure") or {}
    progress = condition(workload, "Progressing") or {}
    return State(
        wanted=wanted,
        available=int(status.get("availableReplicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        total=int(status.get("replicas") or 0),
        seen=seen,
        enough=enough.get("status") == "True",
        refused=(refused.get("reason") or "ReplicaFailure", str(refused.get("message")))
        if refused.get("status") == "True"
        else None,
        overdue=progress.get("reason") == "ProgressDeadlineExceeded",
    )


def _groups(workload: Object) -> State:
    """Ready groups are those whose every member is ready."""
    status, wanted, seen = _numbers(workload)
    if "observedGeneration" not in status:
        seen = bool(status)  # older controllers don't tell
    ready = int(status.get("readyReplicas") or 0)
    updating = (condition(workload, "UpdateInProgress") or {}).get("status") == "True"
    available = (condition(workload, "Available") or {}).get("status") == "True"
    progress = condition(workload, "Progressing") or {}
    return State(
        wanted=wanted,
        available=ready,
        updated=int(status.get("updatedReplicas") or 0),
        total=int(status.get("replicas") or 0),
        seen=seen,
        enough=available or updating or ready >= wanted,
        unit="groups",
        says=("GroupNotReady", str(progress["message"])) if progress.get("message") else None,
    )


def _revisions(workload: Object) -> State:
    status, _, seen = _numbers(workload)
    created = status.get("latestCreatedRevisionName")
    newest = bool(created) and status.get("latestReadyRevisionName") == created
    ready = (condition(workload, "Ready") or {}).get("status") == "True"
    has_one = bool(status.get("latestReadyRevisionName"))
    return State(
        wanted=1,
        available=1 if has_one else 0,
        updated=1 if newest else 0,
        total=1,
        seen=seen,
        enough=ready or (has_one and not newest),
        unit="revisions",
        says=_first_false(workload, ("ConfigurationsReady", "RoutesReady", "Ready")),
    )


def _first_false(workload: Object, types: Sequence[str]) -> tuple[str, str] | None:
    for type_ in types:
        entry = condition(workload, type_) or {}
        if entry.get("status") in ("False", "Unknown") and entry.get("message"):
            return str(entry.get("reason") or type_), str(entry["message"])
    return None


def revision_is_up(workload: Object) -> bool:
    """True where a Knative Service could serve, were it not for its route."""
    return any(
        (condition(workload, type_) or {}).get("status") == "True"
        for type_ in ("Ready", "ConfigurationsReady")
    )


def clusters(
    wanted: int, pairs: Sequence[tuple[Object | None, Object | None]], *, outdated: int = 0
) -> State:
    """Ray clusters, each with the Deployment that probes its engine."""
    ready = provisioned = 0
    says: tuple[str, str] | None = None
    for cluster, prober in pairs:
        status = (cluster or {}).get("status") or {}
        if status.get("state") == "failed" and says is None:
            says = ("RayClusterFailed", str(status.get("reason") or "the Ray cluster failed"))
        up = status.get("state") == "ready"
        provisioned += up
        answers = int(((prober or {}).get("status") or {}).get("availableReplicas") or 0) > 0
        ready += up and answers
        if up and not answers and says is None:
            name = metadata(cluster or {}).get("name")
            text = f"Ray cluster {name} runs, and its engine does not answer the prober yet"
            says = ("EngineStarting", text)
    return State(
        wanted=wanted,
        available=ready,
        updated=wanted - outdated,
        total=wanted,
        seen=True,
        enough=ready >= wanted,
        unit="Ray clusters",
        says=says,
    )
