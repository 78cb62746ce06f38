"""The status of a BenchmarkJob, from what its Job, its pod and the pod's words say. Pure.

``Completed`` means that requests were answered: it takes the word of the program in the pod, not
only the Job's. An outcome is final: nothing that happens to the Job afterwards changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ome.api import benchmark as b
from ome.api import reasons
from ome.apimachinery.objects import Object, condition, metadata
from ome.benchmark import outcome, storage, summary
from ome.benchmark.outcome import Told
from ome.rendering import RenderError

OWN_TIMES = ("startTime", "completionTime", "lastReconcileTime")


def is_final(job: Mapping[str, Any]) -> bool:
    """What has been measured is never measured again, whatever has become of its Job."""
    status = job.get("status") or {}
    if status.get("state") == b.COMPLETED:
        return True
    return status.get("state") == b.FAILED and bool(status.get("completionTime"))


def has_begun(job: Mapping[str, Any]) -> bool:
    """Statuses of the implementation before this one may lack the time."""
    status = job.get("status") or {}
    return bool(status.get("startTime")) or status.get("state") == b.RUNNING


def waiting(job: Mapping[str, Any], sentence: str) -> Object:
    """Nothing runs yet; ``sentence`` says why."""
    return _status(job, b.PENDING, details=sentence)


def unrenderable(job: Mapping[str, Any], error: RenderError) -> Object:
    """No Job can be made of it until somebody changes something."""
    where = f"{error.field}: " if error.field else ""
    remedy = error.fix or reasons.remedy(error.code)
    fix = f". What to do: {remedy}" if remedy else ""
    text = f"{error.code}: {where}{error.message}{fix}"
    return _status(job, b.FAILED, failureMessage=text, details=text)


def lost(job: Mapping[str, Any], name: str, now: str) -> Object:
    entry = reasons.REASONS["JobGone"]
    return _failed(job, f"JobGone: {entry.message(job=name)}", None, "", now)


def followed(
    job: Mapping[str, Any],
    live: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    told: Told,
    *,
    results: str,
    now: str,
    aside: str = "",
) -> Object:
    """While there is a Job. ``aside`` is what else should be said of a failure."""
    if told.ended or _ended(live) is not None:
        return _finished(job, live, pods, told, results, now, aside)
    if (live.get("spec") or {}).get("suspend"):
        entry = reasons.REASONS["Suspended"]
        return _status(job, b.PENDING, details=f"Suspended: {entry.message()}", startTime=None)
    begun = _started(pods)
    if begun:
        return _status(job, b.RUNNING, details=summary.progress(told), startTime=begun)
    return _status(job, b.PENDING, details=_why_not_started(pods))


def _finished(
    job: Mapping[str, Any],
    live: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    told: Told,
    results: str,
    now: str,
    aside: str,
) -> Object:
    ended = _ended(live)
    at = str((ended or {}).get("lastTransitionTime") or now)
    begun = _started(pods) or (live.get("status") or {}).get("startTime")
    if not told.ended:
        told = _last_words(pods, told)
    if told.succeeded:
        status = _status(job, b.COMPLETED, details=summary.conclusion(told, results))
        return status | {"startTime": begun or at, "completionTime": at}
    if not told.ended and ended is not None and ended.get("type") == "Complete":
        # A Job of the earlier manager, whose pod tells us nothing.
        text = "the Job is complete; its results are where outputLocation says"
        status = _status(job, b.COMPLETED, details=text)
        return status | {"startTime": begun or at, "completionTime": at}
    text = _why_failed(told, pods, ended)
    status = _failed(job, f"{text}{aside}", told, results, at)
    return status | {"startTime": begun or at}


def _why_failed(
    told: Told, pods: Sequence[Mapping[str, Any]], ended: Mapping[str, Any] | None
) -> str:
    code, problem = told.reason, told.message
    if not told.ended:
        code, problem = "JobFailed", _pods_end(pods)
        if not problem and ended is not None:
            problem = f"{ended.get('reason')}: {ended.get('message')}"
    entry = reasons.REASONS.get(code) or reasons.REASONS["JobFailed"]
    return f"{entry.code}: {entry.message(problem=problem.rstrip('.'))}"


def _failed(job: Mapping[str, Any], text: str, told: Told | None, results: str, now: str) -> Object:
    kept = f". Before that: {summary.conclusion(told, results)}" if told and told.runs else ""
    status = _status(job, b.FAILED, failureMessage=text, details=f"{text}{kept}")
    return status | {"completionTime": now, "startTime": status.get("startTime") or now}


def _status(job: Mapping[str, Any], state: str, **facts: Any) -> Object:
    """With the times of the status so far; None takes one away."""
    old = job.get("status") or {}
    status = {key: old[key] for key in OWN_TIMES if old.get(key)}
    status.pop("completionTime", None)
    for key, value in facts.items():
        if value is None:
            status.pop(key, None)
        else:
            status[key] = value
    return {"state": state, **status}


def _ended(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for type_ in ("Complete", "Failed"):
        found = condition(live, type_)
        if found is not None and found.get("status") == "True":
            return found
    return None


# -- pods ----------------------------------------------------------------------------------------


def _containers(
    pods: Sequence[Mapping[str, Any]], kind: str = "containerStatuses"
) -> list[Mapping[str, Any]]:
    return [entry for pod in pods for entry in (pod.get("status") or {}).get(kind) or ()]


def _started(pods: Sequence[Mapping[str, Any]]) -> str:
    """When the container began; empty while it has not."""
    for entry in _containers(pods):
        state = entry.get("state") or {}
        for kind in ("running", "terminated"):
            if (state.get(kind) or {}).get("startedAt"):
                return str(state[kind]["startedAt"])
    return ""


def _why_not_started(pods: Sequence[Mapping[str, Any]]) -> str:
    for pod in pods:
        scheduled = condition(pod, "PodScheduled") or {}
        if scheduled.get("status") == "False":
            problem = scheduled.get("message") or scheduled.get("reason")
            hint = _hint(str(problem))
            return f"Unschedulable: pod {metadata(pod)['name']} can't be placed: {problem}{hint}"
    for entry in _containers(pods, "initContainerStatuses"):
        if (entry.get("state") or {}).get("running"):
            return "the dataset is being fetched"
    for entry in [*_containers(pods, "initContainerStatuses"), *_containers(pods)]:
        held = (entry.get("state") or {}).get("waiting") or {}
        if held.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            message = held.get("message") or "no message"
            return f"{held['reason']}: {message}{_hint(str(message))}"
        if 'volume "' in str(held.get("message") or ""):
            return _not_mounted(str(held["message"]))
    return "the pod starts" if pods else "waiting for the pod"


def _not_mounted(message: str) -> str:
    """A node that says so in the container's status (ours); others tell it in events only."""
    places = {storage.RESULTS_VOLUME: "OutputUnwritable", storage.DATASET_VOLUME: "DatasetUnusable"}
    code = next((code for name, code in places.items() if f'"{name}"' in message), "JobFailed")
    return (
        f"{code}: {message}. What to do: see that it can be mounted, and the benchmark starts by "
        "itself; or create the benchmark again with another place"
    )


def _hint(message: str) -> str:
    """What to do about a Secret that is not there, or has no such key, and about a claim."""
    if "persistentvolumeclaim" in message:
        return ". What to do: create the claim; the benchmark starts by itself then"
    if "secret" not in message.lower():
        return ""
    return ". What to do: create the Secret with that key; the benchmark starts by itself then"


def _last_words(pods: Sequence[Mapping[str, Any]], told: Told) -> Told:
    """From where Kubernetes keeps them, where the log is gone."""
    for entry in _containers(pods):
        message = ((entry.get("state") or {}).get("terminated") or {}).get("message")
        found = outcome.read(str(message or ""))
        if found.ended:
            return Told(
                runs=told.runs, outcome=found.outcome, reason=found.reason, message=found.message
            )
    return told


def _pods_end(pods: Sequence[Mapping[str, Any]]) -> str:
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("phase") == "Failed" and status.get("message"):
            return f"pod {metadata(pod)['name']}: {status.get('reason')}: {status['message']}"
    for entry in _containers(pods):
        ended = (entry.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            said = " ".join(str(ended.get("message") or "").split())[-500:]
            words = f": {said}" if said else ""
            code = f"{ended['exitCode']} ({ended.get('reason')})"
            return f"container {entry['name']} ended with {code}{words}"
    return ""
