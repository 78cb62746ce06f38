"""The status of a pod, computed from its spec and its containers. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.objects import Object, condition, metadata, uid_of
from ome.standalone.node.lifecycle import NANO, is_sidecar
from ome.standalone.node.shimclient import ContainerState


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerView:
    """All that the status says about one container. ``text`` is the end of the failed log."""

    latest: ContainerState | None = None
    previous: ContainerState | None = None
    started: bool = False
    ready: bool = False
    waiting: Waiting | None = None
    text: str = ""
    previous_text: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    containers: Mapping[str, ContainerView]
    pod_ip: str
    host_ip: str
    start_time: str
    initialized: bool
    sandbox: bool
    phase: str = ""
    """Set when the pod has ended."""
    reason: str = ""
    message: str = ""


def rfc3339(ns: int) -> str:
    moment = dt.datetime.fromtimestamp(ns / NANO, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def container_id(pod: Mapping[str, Any], state: ContainerState) -> str:
    return f"ome://{uid_of(pod)}/{state.name}/{state.attempt}"


def terminated(pod: Mapping[str, Any], state: ContainerState, text: str) -> Object:
    reason = state.reason
    if not reason:
        reason = "OOMKilled" if state.oom else "Completed" if state.code == 0 else "Error"
    message = state.message or (text if state.code != 0 else "")
    return {
        "exitCode": state.code,
        **({"signal": state.signal} if state.signal else {}),
        "reason": reason,
        **({"message": message} if message else {}),
        "startedAt": rfc3339(state.started),
        "finishedAt": rfc3339(state.finished),
        "containerID": container_id(pod, state),
    }


def container_status(
    pod: Mapping[str, Any], container: Mapping[str, Any], view: ContainerView, default: Waiting
) -> Object:
    latest = view.latest
    state: Object
    last: Object = {}
    if latest is not None and latest.running:
        state = {"running": {"startedAt": rfc3339(latest.started)}}
        if view.previous is not None:
            last = {"terminated": terminated(pod, view.previous, view.previous_text)}
    elif latest is not None and view.waiting is None:
        state = {"terminated": terminated(pod, latest, view.text)}
        if view.previous is not None:
            last = {"terminated": terminated(pod, view.previous, view.previous_text)}
    else:
        waiting = view.waiting or default
        state = {"waiting": {"reason": waiting.reason}}
        if waiting.message:
            state["waiting"]["message"] = waiting.message
        if latest is not None:
            last = {"terminated": terminated(pod, latest, view.text)}
    running = latest is not None and latest.running
    return {
        "name": container["name"],
        "image": container.get("image") or "",
        "imageID": "",
        **({"containerID": container_id(pod, latest)} if latest is not None else {}),
        "state": state,
        "lastState": last,
        "ready": _is_ready(container, view),
        "started": running and view.started,
        "restartCount": latest.attempt if latest is not None else 0,
    }


def _is_ready(container: Mapping[str, Any], view: ContainerView) -> bool:
    return view.latest is not None and view.latest.running and view.ready


def phase_of(spec: Mapping[str, Any], view: PodView) -> str:
    if view.phase:
        return view.phase
    if not view.initialized:
        return "Pending"
    states = [view.containers[c["name"]].latest for c in spec.get("containers") or ()]
    return "Pending" if any(s is None for s in states) else "Running"


def compute(pod: Mapping[str, Any], view: PodView, now: str) -> Object:
    """The whole status. Conditions that belong to others (readiness gates) are kept; a condition's
    transition time changes only with its status."""
    spec = pod.get("spec") or {}
    inits: Sequence[Mapping[str, Any]] = spec.get("initContainers") or ()
    mains: Sequence[Mapping[str, Any]] = spec.get("containers") or ()
    creating = Waiting("ContainerCreating")
    blocked = Waiting("PodInitializing")
    status: Object = {
        "phase": phase_of(spec, view),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "podIP": view.pod_ip,
        "podIPs": [{"ip": view.pod_ip}],
        "startTime": view.start_time,
        "qosClass": qos_class(spec),
        "containerStatuses": [
            container_status(
                pod,
                c,
                view.containers[c["name"]],
                creating if view.initialized or not inits else blocked,
            )
            for c in mains
        ],
    }
    if inits:
        statuses = [container_status(pod, c, view.containers[c["name"]], blocked) for c in inits]
        for container, entry in zip(inits, statuses, strict=True):
            done = entry["state"].get("terminated")
            if not is_sidecar(container):
                entry["ready"] = bool(done) and done["exitCode"] == 0
        status["initContainerStatuses"] = statuses
    for key, value in (("reason", view.reason), ("message", view.message)):
        if value:
            status[key] = value
    status["conditions"] = _conditions(pod, status, view, now)
    return status


def qos_class(spec: Mapping[str, Any]) -> str:
    guaranteed, any_set = True, False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            any_set = any_set or name in limits or name in requests
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _conditions(
    pod: Mapping[str, Any], status: Mapping[str, Any], view: PodView, now: str
) -> list[Object]:
    ended = bool(view.phase)
    unready = [c["name"] for c in status["containerStatuses"] if not c["ready"]]
    unready += [
        c["name"]
        for c, s in zip(
            status.get("initContainerStatuses") or (),
            (pod.get("spec") or {}).get("initContainers") or (),
            strict=False,
        )
        if is_sidecar(s) and not c["ready"]
    ]
    incomplete = [c["name"] for c in status.get("initContainerStatuses") or () if not c["ready"]]
    gates = [g.get("conditionType") for g in (pod.get("spec") or {}).get("readinessGates") or ()]
    closed = [g for g in gates if (condition(pod, str(g)) or {}).get("status") != "True"]
    why_unready = ""
    reason = ""
    if ended:
        reason = "PodCompleted" if view.phase == "Succeeded" else "PodFailed"
    elif unready:
        reason = "ContainersNotReady"
        why_unready = f"containers with unready status: [{' '.join(unready)}]"
    containers_ready = not reason
    wanted: list[tuple[str, bool, str, str]] = [
        ("PodReadyToStartContainers", view.sandbox and not ended, "", ""),
        (
            "Initialized",
            view.initialized,
            "" if view.initialized else "ContainersNotInitialized",
            ""
            if view.initialized
            else f"containers with incomplete status: [{' '.join(incomplete)}]",
        ),
        (
            "Ready",
            containers_ready and not closed,
            reason or ("ReadinessGatesNotReady" if closed else ""),
            why_unready
            or (
                f"corresponding condition of pod readiness gate {closed[0]!r} is not True"
                if closed and not reason
                else ""
            ),
        ),
        ("ContainersReady", containers_ready, reason, why_unready),
        ("PodScheduled", True, "", ""),
    ]
    own = {entry[0] for entry in wanted}
    result: list[Object] = [
        dict(c)
        for c in (pod.get("status") or {}).get("conditions") or ()
        if c.get("type") not in own
    ]
    for type_, true, why, message in wanted:
        old = condition(pod, type_)
        value = "True" if true else "False"
        since = old.get("lastTransitionTime") if old and old.get("status") == value else None
        result.append(
            {
                "type": type_,
                "status": value,
                **({"reason": why} if why else {}),
                **({"message": message} if message else {}),
                "lastProbeTime": None,
                "lastTransitionTime": since or now,
            }
        )
    return result


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def describe(pod: Mapping[str, Any]) -> str:
    meta = metadata(pod)
    return f"{meta.get('name')}_{meta.get('namespace')}({uid_of(pod)})"
