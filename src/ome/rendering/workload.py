"""What a component's workload and pods say, as one verdict with one sentence.

The sentence names what is waited for, since when (a time, not an age, so that it stays the same
while nothing changes) and, where somebody can do something, what. The most telling cause wins:
what will never work by itself comes before what takes time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ome.apimachinery.objects import Object, condition, is_deleting, metadata
from ome.rendering.workloads import State, read

_IMAGE_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
)
_CONFIG_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_CRASH_REMEDY = (
    "It is started again by itself. What to do: correct what its log says, in the service, the "
    "runtime or the model"
)
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
) -> Verdict:
    """The state of one component. ``last_lines``: log tail by name of a pod that crashed."""
    if workload is None:
        return Verdict("Unknown", "Creating", f"the {component} is being created")
    state = workload if isinstance(workload, State) else read(workload)
    wanted, unit = state.wanted, state.unit
    if wanted == 0:
        return Verdict(
            "True", "ScaledToZero", f"the {component} is scaled to zero; a request starts it"
        )
    finding = _worst(component, pods, model, last_lines, state)
    if state.serves:
        message = f"{state.available} of {wanted} {component} {unit} are available"
        if not state.rolling:
            return Verdict("True", "Available", message)
        message = f"{message}; an update rolls, {state.updated} of {wanted} {unit} have it"
        if finding is not None:
            message = f"{message}: {finding.message}"
        return Verdict("True", "RollingUpdate", message, True, finding.failure if finding else None)
    if finding is None and state.says is not None:
        reason, message = state.says
        finding = _Finding(9, reason, f"the {component} is not available yet: {message}")
    if finding is None:
        finding = _Finding(9, "Starting", _starting(component, pods, wanted))
    return Verdict("False", finding.reason, finding.message, state.rolling, finding.failure)


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
) -> _Finding | None:
    findings = [
        found
        for pod in pods
        if not is_deleting(pod) and (found := _pod(component, pod, model, last_lines)) is not None
    ]
    if state.refused is not None:
        reason, message = state.refused
        findings.append(_Finding(0, reason, f"pods of the {component} can't be created: {message}"))
    return min(findings, default=None)


def _pod(
    component: str, pod: Object, model: Model, last_lines: Mapping[str, str]
) -> _Finding | None:
    name, status = metadata(pod)["name"], pod.get("status") or {}
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "True":
        return None
    if status.get("phase") == "Failed":
        detail = status.get("message") or status.get("reason") or "no reason given"
        return _Finding(1, status.get("reason") or "PodFailed", f"pod {name} failed: {detail}")
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
    where = (pod.get("spec") or {}).get("nodeName")
    placed = f" on node {where}" if where else ""
    return _Finding(8, "Starting", f"pod {name} is being created{placed} since {since}")


def _unschedulable(
    component: str, name: str, scheduled: Mapping[str, Any], model: Model
) -> _Finding:
    if model.waiting:
        text = f"the {component} waits for its model: {model.waiting}"
        return _Finding(6, model.reason or "ModelNotReady", text)
    since = scheduled.get("lastTransitionTime") or ""
    text = f"pod {name} can't be placed on any node since {since}: {scheduled.get('message')}"
    return _Finding(4, scheduled.get("reason") or "Unschedulable", text)


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
                "Check runner.image and imagePullSecrets"
            )
            return _Finding(1, reason, text)
        if reason in _CONFIG_REASONS:
            return _Finding(1, reason, f"container {name} of pod {pod} can't be made: {detail}")
        if previous is not None:
            return _crashed(pod, name, previous, entry, tail)
        if reason not in _QUIET_WAITS:
            return _Finding(3, reason, f"container {name} of pod {pod} waits: {detail}")
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
    why = {137: " (killed: out of memory?)", 139: " (segmentation fault)"}.get(code or 0, "")
    if ended.get("reason") == "OOMKilled":
        why = " (out of memory: give it more, or use a smaller model)"
    count = "1 restart" if restarts == 1 else f"{restarts} restarts"
    text = f"container {name} of pod {pod} exited with code {code}{why}, {count}"
    if said:
        text = f"{text}. It said last: {_shortened(said)}"
    failure = Failure(name, _shortened(said) or text, code, ended.get("finishedAt") or "", pod)
    text = f"{text}. {_CRASH_REMEDY}"
    return _Finding(2, "CrashLoopBackOff" if restarts else "ContainerFailed", text, failure)


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
