"""Acts on HorizontalPodAutoscalers of Deployments, by the CPU and memory that pods use here.

What pods use is measured by whoever runs them (``usage``): seconds of processor time since a pod's
start, and bytes of memory now. Everything else is :mod:`ome.standalone.workloads.autoscale`.

One machine is not a cluster that grows: where pods of the target find no place, no more are asked
for than have one, for as long as a wish for fewer must hold (five minutes). And where the pods
that run keep the processors busy already nothing is added: it would only share them.

Metrics of other types (custom, external, of objects) have no source here; the autoscaler's
condition ``ScalingActive`` says so. Nothing is remembered on disk; after a restart the first wish
is the present count, as in Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, condition, is_deleting, metadata, uid_of
from ome.apimachinery.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, NODES
from ome.apimachinery.selectors import label_selector
from ome.kube import KubeError
from ome.standalone.workloads import autoscale as rules
from ome.standalone.workloads.pods import timestamp
from ome.standalone.workloads.shared import MANAGER, Shared

log = logging.getLogger(__name__)

PERIOD = 15.0
_BUSY = 0.8
"""Of the machine's processors."""
_HOLD_SECONDS = float(rules.DOWN_WINDOW)
_NAMES = {"cpu": "cpu resource utilization", "memory": "memory resource utilization"}

Usage = Callable[[Sequence[str]], Mapping[str, tuple[float, int]]]
"""Of pods by uid: (seconds of processor time since the start, bytes). Unknown ones are left out.
May block; it is called in a thread."""


@dataclass(slots=True)
class _Sample:
    at: float
    seconds: float
    cores: float | None = None


@dataclass(slots=True)
class _Known:
    """What is remembered of one autoscaler."""

    history: rules.History = field(default_factory=rules.History)
    most: int = 0
    """As many as have found a place, until ``most_until``."""
    most_until: float = 0.0


class _Problem(Exception):  # noqa: N818 - what the status says
    """Why nothing can be scaled: reason and message of a condition."""

    def __init__(self, type_: str, reason: str, message: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.type, self.reason, self.message = type_, reason, message
        self.passes = passes
        """By itself, or it is meant to be so: no reason for an event."""


class Autoscaler:
    def __init__(
        self,
        shared: Shared,
        usage: Usage | None,
        *,
        period: float = PERIOD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._usage = usage
        self._period = period
        self._clock = clock
        self._autoscalers = shared.informer(HORIZONTAL_POD_AUTOSCALERS)
        self._deployments = shared.informer(DEPLOYMENTS)
        self._nodes = shared.informer(NODES)
        self._samples: dict[str, _Sample] = {}
        self._memory: dict[str, int] = {}
        self._known: dict[str, _Known] = {}

    async def run(self) -> None:
        """Looks at all of them every ``period`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._period)
            found = [obj for obj in self._autoscalers.list() if not is_deleting(obj)]
            living = {uid_of(obj) for obj in found}
            self._known = {uid: known for uid, known in self._known.items() if uid in living}
            if not found:
                continue
            await self._measure()
            for autoscaler in found:
                try:
                    await self._look(autoscaler)
                except (StatusError, KubeError, TimeoutError) as error:
                    log.warning("autoscaler %s: %s", metadata(autoscaler)["name"], error)

    async def _measure(self) -> None:
        if self._usage is None:
            return
        uids = [uid_of(pod) for pod in self._shared.pods.list()]
        used = await asyncio.to_thread(self._usage, uids)
        now = self._clock()
        samples = {}
        for uid, (seconds, _) in used.items():
            before = self._samples.get(uid)
            sample = samples[uid] = _Sample(now, seconds)
            if before is not None and now > before.at:
                sample.cores = max(0.0, seconds - before.seconds) / (now - before.at)
        self._samples = samples
        self._memory = {uid: size for uid, (_, size) in used.items()}

    # -- one autoscaler ------------------------------------------------------------------------

    async def _look(self, autoscaler: Object) -> None:
        known = self._known.setdefault(uid_of(autoscaler), _Known())
        before = autoscaler.get("status") or {}
        status: Object = {
            "observedGeneration": metadata(autoscaler).get("generation", 0),
            "currentReplicas": before.get("currentReplicas", 0),
            "desiredReplicas": before.get("desiredReplicas", 0),
            "conditions": list(before.get("conditions") or ()),
        }
        if before.get("lastScaleTime"):
            status["lastScaleTime"] = before["lastScaleTime"]
        try:
            await self._scale(autoscaler, known, status)
        except _Problem as problem:
            _set(status, problem.type, "False", problem.reason, problem.message)
            if not problem.passes and problem.reason != (
                condition(autoscaler, problem.type) or {}
            ).get("reason"):
                self._shared.events.warning(autoscaler, problem.reason, problem.message)
        await self._shared.write_status(HORIZONTAL_POD_AUTOSCALERS, autoscaler, status)

    async def _scale(self, autoscaler: Object, known: _Known, status: Object) -> None:
        spec = autoscaler["spec"]
        namespace = metadata(autoscaler)["namespace"]
        name = _target(spec)
        deployment = self._deployments.get(namespace, name)
        if deployment is None:
            text = f"there is no Deployment {name} in namespace {namespace}"
            raise _Problem("AbleToScale", "FailedGetScale", text)
        given = deployment["spec"].get("replicas")
        current = 1 if given is None else int(given)
        status["currentReplicas"] = int((deployment.get("status") or {}).get("replicas") or 0)
        _set(status, "AbleToScale", "True", "SucceededGetScale", "the target can be scaled")
        if current == 0:
            status["desiredReplicas"] = 0
            text = "scaling is disabled since the replica count of the target is zero"
            raise _Problem("ScalingActive", "ScalingDisabled", text, passes=True)
        pods = self._pods(deployment)
        low, high = rules.low_high(spec)
        if not low <= current <= high:
            target, limit, why = min(max(current, low), high), "", "Current number of replicas "
            why += "above Spec.MaxReplicas" if current > high else "below Spec.MinReplicas"
        else:
            wished, why = self._wish(spec, current, pods, status)
            target, limit = rules.bounded(self._clock(), current, wished, spec, known.history)
        fitting = self._fitting(known, pods, low)
        if fitting is not None and target > fitting:
            target, limit = fitting, "NoPlace"
        if target > current >= low and self._machine_is_busy():
            target, limit = current, "MachineBusy"
        _set(status, "ScalingLimited", "True" if limit else "False", *_limited(limit))
        status["desiredReplicas"] = target
        if target != current:
            await self._set_replicas(namespace, name, target)
            known.history.note_change(self._clock(), target - current)
            status["lastScaleTime"] = timestamp(time.time())
            message = f"New size: {target}; reason: {why}"
            self._shared.events.normal(autoscaler, "SuccessfulRescale", message)

    def _pods(self, deployment: Object) -> list[Object]:
        wanted = label_selector(deployment["spec"].get("selector"))
        return [
            pod
            for pod in self._shared.pods.list(metadata(deployment)["namespace"])
            if wanted.matches(metadata(pod).get("labels") or {})
            and not is_deleting(pod)
            and (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
        ]

    def _wish(
        self, spec: Object, current: int, pods: Sequence[Object], status: Object
    ) -> tuple[int, str]:
        """(the most that any metric wants, why), and what was measured into ``status``."""
        wishes: list[tuple[int, str]] = []
        problem: _Problem | None = None
        measured: list[Object] = []
        for metric in spec.get("metrics") or _DEFAULT_METRICS:
            try:
                found, name = self._of_metric(metric, current, pods)
            except _Problem as error:
                problem = error
                continue
            present: Object = {"averageValue": quantity.canonical(_as_quantity(name, found))}
            if found.utilization is not None:
                present["averageUtilization"] = found.utilization
            measured.append({"type": "Resource", "resource": {"name": name, "current": present}})
            direction = "above" if found.replicas > current else "below"
            wishes.append((found.replicas, f"{_NAMES[name]} {direction} target"))
        status["currentMetrics"] = measured
        most = max(wishes, default=(current, ""))
        if problem is not None and most[0] <= current:
            raise problem
        text = "the replica count was computed from what the pods use"
        _set(status, "ScalingActive", "True", "ValidMetricFound", text)
        return most

    def _of_metric(
        self, metric: Mapping[str, Any], current: int, pods: Sequence[Object]
    ) -> tuple[rules.Wish, str]:
        resource = metric.get("resource") or {}
        name = resource.get("name")
        if metric.get("type") != "Resource" or name not in _NAMES:
            text = (
                f"metrics of type {metric.get('type')} have no source on this machine: only the "
                "resources cpu and memory are measured"
            )
            raise _Problem("ScalingActive", "InvalidMetricSourceType", text)
        if self._usage is None:
            text = "nothing measures what pods use here"
            raise _Problem("ScalingActive", "FailedGetResourceMetric", text)
        target = resource.get("target") or {}
        utilization = target.get("averageUtilization")
        value = None
        if utilization is None:
            value = float(quantity.parse(target.get("averageValue") or "0"))
        figures = [self._figure(pod, name) for pod in pods]
        if utilization is not None and any(not f.requested for f in figures):
            text = f"a pod of the target requests no {name}, so there is no share of it to speak of"
            raise _Problem("ScalingActive", "FailedGetResourceMetric", text)
        found = rules.wish(current, figures, utilization=utilization, value=value)
        if found is None:
            text = f"there are no figures of the {name} of ready pods yet"
            raise _Problem("ScalingActive", "FailedGetResourceMetric", text, passes=True)
        return found, name

    def _figure(self, pod: Object, name: str) -> rules.Figure:
        sample, uid = self._samples.get(uid_of(pod)), uid_of(pod)
        used = sample.cores if sample is not None else None
        if name == "memory":
            size = self._memory.get(uid)
            used = None if size is None else float(size)
        return rules.Figure(used, _requested(pod, name), name == "memory" or _counts(pod))

    def _fitting(self, known: _Known, pods: Sequence[Object], low: int) -> int | None:
        """As many replicas as have a place, where some have found none lately."""
        now = self._clock()
        placed = [pod for pod in pods if (pod.get("spec") or {}).get("nodeName")]
        refused = [
            pod
            for pod in pods
            if (condition(pod, "PodScheduled") or {}).get("reason") == "Unschedulable"
        ]
        if refused:
            known.most, known.most_until = max(1, low, len(placed)), now + _HOLD_SECONDS
        return known.most if now < known.most_until else None

    def _machine_is_busy(self) -> bool:
        used = sum(sample.cores or 0.0 for sample in self._samples.values())
        amounts = [
            ((node.get("status") or {}).get("allocatable") or {}).get("cpu")
            for node in self._nodes.list()
        ]
        cores = sum(float(quantity.parse(amount)) for amount in amounts if amount is not None)
        return used >= _BUSY * cores

    async def _set_replicas(self, namespace: str, name: str, count: int) -> None:
        await self._shared.client.patch(
            DEPLOYMENTS,
            name,
            {"spec": {"replicas": count}},
            namespace=namespace,
            subresource="scale",
            field_manager=f"{MANAGER}-hpa",
        )


_DEFAULT_METRICS: Sequence[Object] = (
    {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    },
)


def _target(spec: Mapping[str, Any]) -> str:
    reference = spec.get("scaleTargetRef") or {}
    if reference.get("kind") != "Deployment":
        text = f"only Deployments are scaled on this machine, not a {reference.get('kind')}"
        raise _Problem("AbleToScale", "FailedGetScale", text)
    return str(reference.get("name"))


def _limited(limit: str) -> tuple[str, str]:
    texts = {
        "": ("DesiredWithinRange", "the desired count is within the acceptable range"),
        "TooFewReplicas": ("TooFewReplicas", "the desired replica count is less than the minimum"),
        "TooManyReplicas": ("TooManyReplicas", "the desired replica count is above the maximum"),
        "ScaleUpLimit": ("ScaleUpLimit", "the desired replica count grows faster than allowed"),
        "ScaleDownLimit": ("ScaleDownLimit", "it shrinks faster than allowed"),
        "MachineBusy": (
            "MachineBusy",
            "the processors of this machine are busy already; more replicas would only share them",
        ),
        "NoPlace": ("NoPlace", "more replicas would find no place on this machine"),
    }
    return texts[limit]


def _as_quantity(name: str, found: rules.Wish) -> str:
    return f"{round(found.average * 1000)}m" if name == "cpu" else str(round(found.average))


def _requested(pod: Object, name: str) -> float:
    total = 0.0
    for container in (pod.get("spec") or {}).get("containers") or ():
        given = container.get("resources") or {}
        amount = (given.get("requests") or {}).get(name, (given.get("limits") or {}).get(name))
        if amount is None:
            return 0.0
        total += float(quantity.parse(amount))
    return total


def _counts(pod: Object) -> bool:
    """Whether its CPU says something: a pod that loads its model is busy, and will not stay so."""
    ready = condition(pod, "Ready")
    started = (pod.get("status") or {}).get("startTime")
    if ready is None or not started:
        return False
    if ready.get("status") == "True":
        return True
    changed = _seconds(ready.get("lastTransitionTime") or started)
    begun = _seconds(started)
    if time.time() < begun + rules.STARTING_SECONDS:
        return False
    return changed > begun + rules.NEVER_READY_SECONDS


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _set(status: Object, type_: str, value: str, reason: str, message: str) -> None:
    """As in Kubernetes: the time changes with the status only."""
    conditions = status["conditions"]
    old = next((entry for entry in conditions if entry.get("type") == type_), None)
    since = timestamp(time.time())
    if old is not None and old.get("status") == value and old.get("lastTransitionTime"):
        since = old["lastTransitionTime"]
    entry = {
        "type": type_,
        "status": value,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    status["conditions"] = sorted(
        [*(c for c in conditions if c.get("type") != type_), entry], key=lambda c: c["type"]
    )
