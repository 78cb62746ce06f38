"""What a component's workload and pods say, as one verdict with one sentence.

The sentence names what is waited for, since when (a time, not an age, so that it stays the same
while nothing changes) and, where somebody can do something, what. The most telling cause wins:
what will never work by itself comes before what takes time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ome.api.reasons import KUBERNETES, REASONS
from ome.apimachinery.objects import Object, condition, is_deleting, metadata
from ome.rendering.causes import MEMORY_REMEDY, recognise
from ome.rendering.workloads import State, read

_IMAGE_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
)
_CONFIG_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
MODEL_REMEDY = "correct what the message names; nodes try again by themselves"
_AGAIN = "It is started again by itself. What to do: "
_CRASH_REMEDY = "correct what its log says, in the service, the runtime or the model"
_ROOM_REMEDIES = (
    ("free ports", "let the pods use other ports, take hostPort or hostNetwork away, or add nodes"),
    ("Insufficient nvidia.com/gpu", "ask for fewer GPUs, free some, or add nodes that have them"),
    ("Insufficient ", "ask for less in resources of the runner, free some, or add nodes"),
    ("untolerated taint", "give the component a toleration for the taint, or take the taint away"),
    ("unbound immediate PersistentVolumeClaims", "see why the claim is not bound"),
    ("persistentvolumeclaim", "create the claim, or correct the storage URI that names it"),
)
"""What helps, by the scheduler's words; the first that is in them counts."""
_REFUSED_REMEDY = "correct what the message names, in the service, the runtime or the namespace"
_SLOW = 6
"""From this rank on a finding is only a stage on the way."""
_ANY_ROOM = "change nodeSelector, affinity or resources so that a node fits, or add such nodes"
_QUIET_WAITS = frozenset({"ContainerCreating", "PodInitializing", ""})


@dataclass(frozen=True)
class Verdict:
    """``status`` is that of the component's condition."""

    status: str
    reason: str
    message: str
    rolling: bool = False
    """An update is on its way; what serves is (also) the previous version."""
    failure: Failure | None = None
    short: bool = False
    """It serves with fewer replicas than are wanted."""


@dataclass(frozen=True)
class Failure:
    """A container that can't be kept running."""

    container: str
    message: str
    exit_code: int | None = None
    time: str = ""
    pod: str = ""


@dataclass(frozen=True, order=True)
class _Finding:
    rank: int
    reason: str
    message: str
    failure: Failure | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Model:
    """What a pod that can't be placed may be waiting for; empty when the model is on a node."""

    waiting: str = ""
    reason: str = ""


def judge(
    component: str,
    workload: Object | State | None,
    pods: Sequence[Object],
    model: Model,
    last_lines: Mapping[str, str],
    lost_nodes: Mapping[str, str] | None = None,
    *,
    least: int | None = None,
    at_zero: str = "a request starts it",
) -> Verdict:
    """The state of one component. ``last_lines``: log tail by name of a pod that crashed;
    ``lost_nodes``: since when, by name of a node that does not answer; ``least``: replicas with
    which it serves, whatever an autoscaler wants beside; ``at_zero``: what starts a first one."""
    if workload is None:
        return Verdict("Unknown", "Creating", f"the {component} is being created")
    state = workload if isinstance(workload, State) else read(workload)
    wanted, unit = state.wanted, state.unit
    if wanted == 0:
        return _at_zero(component, at_zero, least)
    finding = _worst(component, pods, model, last_lines, state, lost_nodes or {})
    if state.overdue and finding is not None and finding.rank >= _SLOW:
        text = (
            f"{finding.message}; that takes longer than the {state.unit} are given. What to do: "
            f"see its log and its readiness probe, which may ask the wrong port or path"
        )
        finding = _Finding(finding.rank, "NotReadyInTime", text, finding.failure)
    if state.serves or (least is not None and state.available >= max(1, least)):
        message = f"{state.available} of {wanted} {component} {unit} are available"
        if not state.rolling:
            short = state.available < wanted
            why = finding.message if finding is not None else state.says[1] if state.says else ""
            if short and why:
                message = f"{message}: {why}"
            return Verdict("True", "Available", message, short=short)
        if state.seen:
            message = f"{message}; an update rolls, {state.updated} of {wanted} {unit} have it"
        else:
            message = f"{message}; a change is being taken up"
        if finding is None:
            return Verdict("True", "RollingUpdate", message, True)
        reason = "UpdateFailing" if finding.rank < _SLOW else "RollingUpdate"
        return Verdict("True", reason, f"{message}: {finding.message}", True, finding.failure)
    if finding is None and state.says is not None:
        reason, message = _known(state.says[0], "NotReady"), state.says[1]
        finding = _Finding(9, reason, f"the {component} is not available yet: {message}")
    if finding is None:
        finding = _Finding(9, "Starting", _starting(component, pods, wanted))
    return Verdict("False", finding.reason, finding.message, state.rolling, finding.failure)


def _at_zero(component: str, starts: str, least: int | None) -> Verdict:
    if least:
        text = f"the {component} was scaled to zero; it is set to {least} again"
        return Verdict("False", "Starting", text)
    if starts:
        return Verdict("True", "ScaledToZero", f"the {component} is scaled to zero; {starts}")
    text = (
        f"the {component} is at zero replicas, and nothing starts one. What to do: set "
        f"spec.{component}.minReplicas to 1 or more"
    )
    return Verdict("False", "SwitchedOff", text)


def _starting(component: str, pods: Sequence[Object], wanted: int) -> str:
    """Nothing is wrong with any pod, and there are not enough that count as available yet."""
    living = [pod for pod in pods if not is_deleting(pod)]
    if not living:
        return f"the {component} starts; no pod exists yet"
    return f"{len(living)} of {wanted} {component} pods are up, not counted as available yet"


def _worst(
    component: str,
    pods: Iterable[Object],
    model: Model,
    last_lines: Mapping[str, str],
    state: State,
    lost: Mapping[str, str],
) -> _Finding | None:
    findings = [
        found
        for pod in pods
        if not is_deleting(pod)
        and (found := _pod(component, pod, model, last_lines, lost)) is not None
    ]
    if state.refused is not None:
        reason, message = state.refused
        remedy = "raise the quota, or ask for less" if "quota" in message else _REFUSED_REMEDY
        text = f"pods of the {component} can't be created: {message}. What to do: {remedy}"
        findings.append(_Finding(0, reason, text))
    return min(findings, default=None)


def _pod(
    component: str,
    pod: Object,
    model: Model,
    last_lines: Mapping[str, str],
    lost: Mapping[str, str],
) -> _Finding | None:
    name, status = metadata(pod)["name"], pod.get("status") or {}
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    if node in lost:
        text = (
            f"pod {name} is on node {node}, which does not answer since {lost[node]}. Kubernetes "
            "makes another pod when it gives the node up. What to do: bring the node back, or "
            "delete the pod"
        )
        return _Finding(1, "NodeLost", text)
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "True":
        return None
    if status.get("phase") == "Failed":
        detail = status.get("message") or status.get("reason") or "no reason given"
        text = f"pod {name} failed: {detail}. What to do: see the events of the pod"
        return _Finding(1, _known(status.get("reason"), "PodFailed"), text)
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        return _unschedulable(component, name, scheduled, model)
    containers = [
        *(("initContainerStatuses", entry) for entry in status.get("initContainerStatuses") or ()),
        *(("containerStatuses", entry) for entry in status.get("containerStatuses") or ()),
    ]
    found = [
        finding
        for kind, entry in containers
        if (finding := _container(name, kind, entry, last_lines.get(name, ""))) is not None
    ]
    if found:
        return min(found)
    since = metadata(pod).get("creationTimestamp") or ""
    placed = f" on node {node}" if node else ""
    if ready is not None and status.get("phase") == "Running":
        since = ready.get("lastTransitionTime") or since
        text = f"pod {name} runs{placed} and is not ready since {since}"
        return _Finding(7, "EngineStarting", text)
    return _Finding(8, "Starting", f"pod {name} is being created{placed} since {since}")


def _unschedulable(
    component: str, name: str, scheduled: Mapping[str, Any], model: Model
) -> _Finding:
    if model.waiting:
        text = f"the {component} waits for its model: {model.waiting}"
        if model.reason == "ModelFailed":
            text = f"{text}. What to do: {MODEL_REMEDY}"
        return _Finding(6, model.reason or "ModelNotReady", text)
    since = scheduled.get("lastTransitionTime") or ""
    said = str(scheduled.get("message") or "").rstrip(".")
    remedy = next((what for words, what in _ROOM_REMEDIES if words in said), _ANY_ROOM)
    text = f"pod {name} can't be placed on any node since {since}: {said}. What to do: {remedy}"
    return _Finding(4, _known(scheduled.get("reason"), "Unschedulable"), text)


def _container(pod: str, kind: str, entry: Mapping[str, Any], tail: str) -> _Finding | None:
    state = entry.get("state") or {}
    name = entry.get("name") or ""
    waiting, ended = state.get("waiting"), state.get("terminated")
    previous = (entry.get("lastState") or {}).get("terminated")
    if waiting is not None:
        reason = waiting.get("reason") or ""
        detail = waiting.get("message") or reason
        if reason == "ContainerRuntimeMissing":
            return _Finding(0, reason, f"container {name} of pod {pod} can't start here: {detail}")
        if reason in _IMAGE_REASONS:
            text = (
                f"the image of container {name} can't be pulled ({reason}): {detail}. "
                "What to do: check runner.image and imagePullSecrets"
            )
            return _Finding(1, reason, text)
        if reason in _CONFIG_REASONS:
            text = (
                f"container {name} of pod {pod} can't be made: {detail}. What to do: create or "
                "correct what the message names"
            )
            return _Finding(1, reason, text)
        if previous is not None:
            return _crashed(pod, name, previous, entry, tail)
        if reason not in _QUIET_WAITS:
            text = f"container {name} of pod {pod} waits ({reason}): {detail}"
            return _Finding(3, _known(reason, "Starting"), text)
        return None
    if ended is not None:
        if kind == "initContainerStatuses" and ended.get("exitCode") == 0:
            return None
        return _crashed(pod, name, ended, entry, tail)
    running = state.get("running")
    if running is not None and not entry.get("ready"):
        if previous is not None and int(entry.get("restartCount") or 0) > 0:
            crashed = _crashed(pod, name, previous, entry, tail)
            return _Finding(5, crashed.reason, crashed.message, crashed.failure)
        since = running.get("startedAt") or ""
        if kind == "initContainerStatuses":
            return _Finding(7, "Initializing", f"init container {name} runs since {since}")
        return _Finding(
            7,
            "EngineStarting",
            f"container {name} of pod {pod} runs since {since} and is not ready yet",
        )
    return None


def _crashed(
    pod: str, name: str, ended: Mapping[str, Any], entry: Mapping[str, Any], tail: str
) -> _Finding:
    code = ended.get("exitCode")
    restarts = int(entry.get("restartCount") or 0)
    said = (ended.get("message") or tail or "").strip()
    cause = recognise(said)
    reason, remedy = "CrashLoopBackOff" if restarts else "ContainerFailed", _CRASH_REMEDY
    why = {137: " (killed: out of memory?)", 139: " (segmentation fault)"}.get(code or 0, "")
    if ended.get("reason") == "OOMKilled":
        why = " (killed: it needs more memory than its limit)"
        reason, remedy = "OOMKilled", MEMORY_REMEDY
    elif cause is not None:
        why, reason, remedy = f" ({cause.meaning})", cause.code, cause.remedy
    count = "1 restart" if restarts == 1 else f"{restarts} restarts"
    text = f"container {name} of pod {pod} exited with code {code}{why}, {count}"
    if said:
        text = f"{text}. It said last: {_shortened(said)}"
    failure = Failure(name, _shortened(said) or text, code, ended.get("finishedAt") or "", pod)
    return _Finding(2, reason, f"{text}. {_AGAIN}{remedy}", failure)


def _known(reason: object, otherwise: str) -> str:
    """Kubernetes' reason where it is one of the closed list."""
    return str(reason) if reason in REASONS or reason in KUBERNETES else otherwise


def _shortened(text: str, limit: int = 600) -> str:
    """The end of a text: what a program says last is why it died."""
    lines = " | ".join(line.strip() for line in text.splitlines() if line.strip())
    return lines if len(lines) <= limit else f"…{lines[-limit:]}"


def crashed_pods(pods: Iterable[Object]) -> list[tuple[str, str, bool]]:
    """(pod, container, from the previous run) of containers whose last lines would explain."""
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        for entry in status.get("containerStatuses") or ():
            state = entry.get("state") or {}
            last = (entry.get("lastState") or {}).get("terminated")
            now = state.get("terminated")
            ended = now or last
            if entry.get("ready") or ended is None or ended.get("message"):
                continue
            # A waiting container has not run again: its log is still the one of the crash.
            previous = now is None and state.get("running") is not None
            found.append((metadata(pod)["name"], entry["name"], previous))
    return found


def broken_pods(pods: Iterable[Object]) -> int:
    """How many have a container that ended and is not ready again."""
    count = 0
    for pod in pods:
        for entry in (pod.get("status") or {}).get("containerStatuses") or ():
            states = (entry.get("state") or {}, entry.get("lastState") or {})
            if not entry.get("ready") and any(state.get("terminated") for state in states):
                count += 1
                break
    return count
