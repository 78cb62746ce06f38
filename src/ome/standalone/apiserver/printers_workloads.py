"""Columns of pods and of the kinds that make them."""

from __future__ import annotations

from typing import Any

from ome.apimachinery.objects import Object, condition
from ome.standalone.apiserver.durations import human, parse, since
from ome.standalone.apiserver.printing import (
    NONE,
    UNKNOWN,
    Printer,
    columns,
    joined,
    labels_text,
    name_and_age,
    parts,
    selector_text,
)


def _template_cells(spec: Object) -> list[str]:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or []
    return [joined(c["name"] for c in containers), joined(c.get("image", "") for c in containers)]


# -- pods ----------------------------------------------------------------------------------


def _pod(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    containers = status.get("containerStatuses") or []
    ready = sum(1 for c in containers if c.get("ready"))
    gates = spec.get("readinessGates") or []
    fulfilled = sum(
        1 for g in gates if (condition(obj, g["conditionType"]) or {}).get("status") == "True"
    )
    addresses = [a["ip"] for a in status.get("podIPs") or ()] or [status.get("podIP")]
    return [
        name,
        f"{ready}/{len(spec.get('containers') or [])}",
        pod_status(obj),
        _restarts(spec, status),
        age,
        joined(filter(None, addresses)),
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{fulfilled}/{len(gates)}" if gates else NONE,
    ]


def _restarts(spec: Object, status: Object) -> str:
    """Restarts of the init containers while they run, then those of the others."""
    _, initialising = _init_word(spec, status)
    listed = status.get("initContainerStatuses" if initialising else "containerStatuses") or []
    count = sum(c.get("restartCount") or 0 for c in listed)
    ends = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for c in listed]
    times = [t for t in map(parse, ends) if t is not None]
    if count and times:
        newest = max(times).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{count} ({since(newest)} ago)"
    return str(count)


def pod_status(obj: Object) -> str:
    """The word for a pod's state: the most telling of its phase and its containers' states."""
    spec, status = parts(obj)
    word = status.get("reason") or status.get("phase") or "Unknown"
    for entry in status.get("conditions") or ():
        if entry.get("type") == "PodScheduled" and entry.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    early, initialising = _init_word(spec, status)
    if initialising:
        word = early
    else:
        word = _container_word(obj, status, word)
    if "deletionTimestamp" in obj["metadata"]:
        word = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _init_word(spec: Object, status: Object) -> tuple[str, bool]:
    """What the first unfinished init container does; whether there is one."""
    total = len(spec.get("initContainers") or [])
    sidecars = {
        c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"
    }
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended is not None and ended.get("exitCode") == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if ended is not None:
            return f"Init:{_ended_word(ended)}", True
        if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}", True
        return f"Init:{index}/{total}", True
    return "", False


def _container_word(obj: Object, status: Object, word: str) -> str:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            word = state["waiting"]["reason"]
        elif state.get("terminated") is not None:
            word = _ended_word(state["terminated"])
        elif state.get("running") is not None and container.get("ready"):
            running = True
    if word == "Completed" and running:
        ready = (condition(obj, "Ready") or {}).get("status") == "True"
        word = "Running" if ready else "NotReady"
    return word


def _ended_word(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    if ended.get("signal"):
        return f"Signal:{ended['signal']}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


# -- controllers of pods -------------------------------------------------------------------


def _deployment(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    return [
        name,
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age,
        *_template_cells(spec),
        selector_text(spec.get("selector")),
    ]


def _replica_set(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    return [
        name,
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age,
        *_template_cells(spec),
        selector_text(spec.get("selector")),
    ]


def _stateful_set(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name, ready, age, *_template_cells(spec)]


def _daemon_set(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    selector = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [
        name,
        *(status.get(c, 0) for c in counts),
        labels_text(selector),
        age,
        *_template_cells(spec),
        selector_text(spec.get("selector")),
    ]


def _job(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    wanted = spec.get("completions")
    if wanted is None:
        wanted = f"1 of {spec.get('parallelism', 1)}" if spec.get("parallelism", 1) > 1 else 1
    return [
        name,
        _job_status(obj),
        f"{status.get('succeeded', 0)}/{wanted}",
        _job_duration(status),
        age,
        *_template_cells(spec),
        selector_text(spec.get("selector")),
    ]


def _job_status(obj: Object) -> str:
    def is_true(type_: str) -> bool:
        return (condition(obj, type_) or {}).get("status") == "True"

    if is_true("Complete"):
        return "Complete"
    if is_true("Failed"):
        return "Failed"
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    if is_true("Suspended"):
        return "Suspended"
    return "FailureTarget" if is_true("FailureTarget") else "Running"


def _job_duration(status: Object) -> str:
    start, end = parse(status.get("startTime")), parse(status.get("completionTime"))
    if start is None:
        return ""
    if end is None:
        return since(status["startTime"])
    return human((end - start).total_seconds())


def _autoscaler(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name,
        f"{target.get('kind')}/{target.get('name')}",
        joined(_metric(m, status) for m in spec.get("metrics") or ()),
        spec.get("minReplicas", UNKNOWN),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age,
    ]


def _metric(metric: Object, status: Object) -> str:
    """``cpu: 40%/80%``: what is measured and what is wanted."""
    source = metric.get(metric["type"][0].lower() + metric["type"][1:]) or {}
    subject = source.get("name") or (source.get("metric") or {}).get("name") or ""
    wanted = _metric_value(source.get("target") or {})
    now = UNKNOWN
    for current in status.get("currentMetrics") or ():
        field: Object = next((v for k, v in current.items() if k != "type"), {})
        if (field.get("name") or (field.get("metric") or {}).get("name") or "") == subject:
            now = _metric_value(field.get("current") or {})
    return f"{subject}: {now}/{wanted}" if subject else f"{now}/{wanted}"


def _metric_value(value: Object) -> str:
    if value.get("averageUtilization") is not None:
        return f"{value['averageUtilization']}%"
    if value.get("averageValue") is not None:
        return f"{value['averageValue']} (avg)"
    return str(value["value"]) if value.get("value") is not None else UNKNOWN


def _disruption_budget(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        name,
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        status.get("disruptionsAllowed", 0),
        age,
    ]


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "Pod"): Printer(
        columns("Name|Ready|Status|Restarts|Age||IP|Node|Nominated Node|Readiness Gates"), _pod
    ),
    ("apps", "Deployment"): Printer(
        columns("Name|Ready|Up-to-date|Available|Age||Containers|Images|Selector"), _deployment
    ),
    ("apps", "ReplicaSet"): Printer(
        columns("Name|Desired#|Current#|Ready#|Age||Containers|Images|Selector"), _replica_set
    ),
    ("apps", "StatefulSet"): Printer(columns("Name|Ready|Age||Containers|Images"), _stateful_set),
    ("apps", "DaemonSet"): Printer(
        columns(
            "Name|Desired|Current|Ready|Up-to-date|Available|Node Selector|Age||"
            "Containers|Images|Selector"
        ),
        _daemon_set,
    ),
    ("batch", "Job"): Printer(
        columns("Name|Status|Completions|Duration|Age||Containers|Images|Selector"), _job
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Printer(
        columns("Name|Reference|Targets|MinPods|MaxPods#|Replicas#|Age"), _autoscaler
    ),
    ("policy", "PodDisruptionBudget"): Printer(
        columns("Name|Min Available|Max Unavailable|Allowed Disruptions#|Age"),
        _disruption_budget,
    ),
}
