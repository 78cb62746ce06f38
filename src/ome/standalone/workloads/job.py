"""What a Job wants next: a pure function of it and its pods.

Completions, parallelism, ``backoffLimit``, ``activeDeadlineSeconds``, ``suspend`` and
``ttlSecondsAfterFinished`` are followed. Indexed completion is not: such a Job fails
with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ome.apimachinery.objects import Object, condition, is_deleting, metadata, uid_of
from ome.standalone.workloads import pods as podrules
from ome.standalone.workloads.pods import seconds, set_condition, timestamp

FINISHED = ("Complete", "Failed")


@dataclass(frozen=True, slots=True)
class Plan:
    """``create`` new pods, ``delete`` these (names); ``remove`` says that the Job's time to live is
    over. ``look_again``: seconds."""

    create: int = 0
    delete: tuple[str, ...] = ()
    status: Object = field(default_factory=dict)
    look_again: float | None = None
    remove: bool = False


def labels_for(job: Mapping[str, Any]) -> dict[str, str]:
    name, uid = metadata(job)["name"], uid_of(job)
    return {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }


def finished(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The condition that ended the Job."""
    for type_ in FINISHED:
        entry = condition(job, type_)
        if entry is not None and entry.get("status") == "True":
            return entry
    return None


def back_off(failures: int) -> float:
    return 0.0 if failures == 0 else float(min(10 * 2 ** (failures - 1), 360))


def plan(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: float) -> Plan:
    spec = job.get("spec") or {}
    before = job.get("status") or {}
    if (end := finished(job)) is not None:
        active = tuple(metadata(p)["name"] for p in pods if podrules.is_active(p))
        ttl = spec.get("ttlSecondsAfterFinished")
        if ttl is None:
            return Plan(delete=active, status=dict(before))
        left = seconds(end.get("lastTransitionTime")) + float(ttl) - now
        return Plan(
            delete=active,
            status=dict(before),
            remove=left <= 0,
            look_again=left if left > 0 else None,
        )
    succeeded = [p for p in pods if podrules.phase(p) == "Succeeded"]
    failed = [p for p in pods if podrules.phase(p) == "Failed"]
    active = tuple(
        metadata(p)["name"] for p in pods if not podrules.is_terminal(p) and not is_deleting(p)
    )
    restarted = sum(podrules.restarts(p) for p in pods if not podrules.is_terminal(p))
    status: Object = {
        k: v
        for k, v in before.items()
        if k in ("startTime", "completionTime", "conditions", "uncountedTerminatedPods")
    }
    stamp = timestamp(now)
    suspended = bool(spec.get("suspend"))
    if suspended:
        status.pop("startTime", None)  # its time begins anew when it goes on
    else:
        status.setdefault("startTime", stamp)
    begun = seconds(status.get("startTime")) or now
    verdict = _verdict(spec, len(succeeded), len(failed) + restarted, len(active), now - begun)
    ready = sum(1 for p in pods if podrules.is_ready(p) and podrules.is_active(p))
    counts = {"active": len(active), "succeeded": len(succeeded), "failed": len(failed)}
    if verdict is not None:
        counts["active"], ready = 0, 0
        type_, reason, message = verdict
        status["conditions"] = _stamped(before, type_, reason, message, stamp)
        if type_ == "Complete":
            status["completionTime"] = stamp
        status |= {k: v for k, v in counts.items() if v} | {"ready": ready}
        ttl = spec.get("ttlSecondsAfterFinished")
        return Plan(delete=active, status=status, look_again=float(ttl) if ttl else None)
    status |= {k: v for k, v in counts.items() if v} | {"ready": ready}
    deadline = spec.get("activeDeadlineSeconds")
    later = [begun + float(deadline) - now] if deadline and not suspended else []
    if suspended:
        return Plan(delete=active, status=status)
    wanted = _wanted(spec, len(succeeded))
    if len(active) > wanted:
        return Plan(delete=active[wanted:], status=status, look_again=min(later, default=None))
    missing = wanted - len(active)
    if missing and failed:
        ended = max(_ended(p) for p in failed)
        pause = ended + back_off(len(failed)) - now
        if pause > 0:
            return Plan(status=status, look_again=min([*later, pause]))
    return Plan(create=missing, status=status, look_again=min(later, default=None))


def _wanted(spec: Mapping[str, Any], succeeded: int) -> int:
    parallelism = spec.get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions = spec.get("completions")
    if completions is None:
        return 0 if succeeded else parallelism
    return max(0, min(parallelism, int(completions) - succeeded))


def _verdict(
    spec: Mapping[str, Any], succeeded: int, failures: int, active: int, age: float
) -> tuple[str, str, str] | None:
    if spec.get("completionMode") == "Indexed":
        return "Failed", "NotSupported", "completionMode Indexed is not supported on one machine"
    limit = spec.get("backoffLimit")
    if failures > (6 if limit is None else int(limit)):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = spec.get("activeDeadlineSeconds")
    if deadline and age >= float(deadline) and not spec.get("suspend"):
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    completions = spec.get("completions")
    if completions is None:
        # Without a count one success ends the Job, once the pods beside it have ended too.
        complete = succeeded > 0 and active == 0
    else:
        complete = succeeded >= int(completions)
    if complete:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _stamped(
    before: Mapping[str, Any], type_: str, reason: str, message: str, stamp: str
) -> list[Object]:
    conditions = [dict(c) for c in before.get("conditions") or ()]
    changed = set_condition(conditions, type_, "True", reason, message, stamp)
    for entry in changed:
        entry.setdefault("lastProbeTime", entry.pop("lastUpdateTime", stamp))
    return changed


def _ended(pod: Mapping[str, Any]) -> float:
    times = [
        seconds(((s.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for s in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return max(times, default=0.0)


def pod_of(job: Mapping[str, Any]) -> Object:
    """A new pod of the Job."""
    template = (job.get("spec") or {}).get("template") or {}
    pod = podrules.from_template(template, job, metadata(job)["namespace"])
    pod["metadata"]["labels"] = {**pod["metadata"]["labels"], **labels_for(job)}
    pod["spec"] = {**pod["spec"]}
    if pod["spec"].get("restartPolicy") not in ("OnFailure", "Never"):
        pod["spec"]["restartPolicy"] = "Never"
    return pod
