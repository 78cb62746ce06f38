"""One pod on this node: brings what runs in line with what its spec says, again and again.

Level-triggered: whatever happens (an edit, a state from the shim, a probe's verdict, a timer) only
wakes the worker, which then looks at everything. One call of :meth:`PodWorker.sync` at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import signal
import time

from ome.apimachinery.errors import Conflict, NotFound, StatusError
from ome.apimachinery.objects import Object, condition, is_deleting, key_of, metadata, uid_of
from ome.apimachinery.resources import PODS
from ome.kube import KubeError, PatchType
from ome.standalone.node import environment, lifecycle, status
from ome.standalone.node.containers import PodContainers
from ome.standalone.node.context import NodeContext
from ome.standalone.node.environment import Missing, PodFacts
from ome.standalone.node.launch import Preparation, gather, is_host_process
from ome.standalone.node.paths import PathError
from ome.standalone.node.shimclient import ShimError
from ome.standalone.node.status import ContainerView, PodView, Waiting
from ome.standalone.node.volumes import VolumeError

log = logging.getLogger("ome.node")

ABANDONED_GRACE = 2.0
"""For a pod that was deleted by force: its object can't be waited for any more."""
HOST_IP = "127.0.0.1"


def rfc3339_now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class PodWorker:
    """``done`` when nothing of the pod is left here."""

    def __init__(self, context: NodeContext, pod: Object) -> None:
        self.context = context
        self.uid, self.key = uid_of(pod), key_of(pod)
        self.pod: Object = pod
        self.gone = False
        self.done = False
        self.containers = PodContainers(context, pod, self.wake)
        self._wakeup = asyncio.Event()
        self._waiting: dict[str, Waiting] = {}
        self._written: Object = {}
        self._ended = ""
        self._fate = ("", "")
        self._deadline = 0.0
        self._retries = 0
        self._refresh_at = 0.0

    # -- the loop --------------------------------------------------------------------------

    def wake(self) -> None:
        self._wakeup.set()

    def update(self, pod: Object | None) -> None:
        """The API's news: a newer object, or None when the pod is no more."""
        if pod is None:
            self.gone = True
        else:
            self.pod = self.containers.pod = pod
        self.wake()

    async def run(self) -> None:
        """Until the pod is done or the task is cancelled, which leaves the pod running."""
        failures = 0
        try:
            while True:
                self._wakeup.clear()
                try:
                    delay = await self.sync()
                    failures = 0
                except (StatusError, KubeError, ShimError, OSError, TimeoutError) as error:
                    failures += 1
                    delay = min(0.5 * 2 ** min(failures, 6), 30.0)
                    log.warning("pod %s: %s; again in %.0f s", self.key, error, delay)
                except Exception as error:  # an object that we did not foresee must not stop us
                    failures += 1
                    delay = min(2.0 ** min(failures, 5), 30.0)
                    log.exception("pod %s could not be looked after", self.key)
                    self.containers.event("Warning", "FailedSync", f"{error!r}")
                if self.done:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._wakeup.wait()
        finally:
            await self.containers.detach()

    async def sync(self) -> float | None:
        """One look at everything. Returns after how many seconds to look again, None for never."""
        if self.containers.released:
            self.done = self.gone
            return None
        if not self.containers.attached:
            running = await self.containers.attach()
            if running and not self.gone:
                preparation = None
                with contextlib.suppress(Missing, VolumeError, PathError):
                    preparation = await self._prepare()
                await self.containers.adopt(preparation)
        if self.gone or is_deleting(self.pod):
            return await self._terminate()
        if status.is_terminal(self.pod):
            await self.containers.release()
            return None
        return await self._advance()

    # -- going on --------------------------------------------------------------------------

    async def _advance(self) -> float | None:
        now = time.time()
        delays: list[float] = []
        self._check_deadline(now, delays)
        decision = self._decide(now)
        if self._fate[0]:
            self.containers.stop_all(self.containers.grace())
            decision = lifecycle.Decision(phase="Failed", initialized=decision.initialized)
        for name in decision.stop:
            self.containers.stop(name, self.containers.grace())
        if decision.phase and not self.containers.running:
            self._ended = decision.phase
        if decision.start:
            retry = await self._start_all(decision.start)
            if retry is not None:
                delays.append(retry)
            decision = self._decide(time.time())
        for name, until in decision.delayed.items():
            self._back_off(name, until)
            delays.append(max(0.05, until - time.time()))
        await self._refresh(now, delays)
        await self._report(decision.initialized)
        if self._ended:
            await self.containers.release()
        return min(delays, default=None)

    def _decide(self, now: float) -> lifecycle.Decision:
        return lifecycle.decide(
            self.containers.spec, self.containers.runs(), now, self.context.settings.back_off
        )

    def _check_deadline(self, now: float, delays: list[float]) -> None:
        limit = self.containers.spec.get("activeDeadlineSeconds")
        begun = self.containers.record.start_time
        if not limit or not begun or self._fate[0]:
            return
        left = dt.datetime.fromisoformat(begun).timestamp() + float(limit) - now
        if left > 0:
            delays.append(left)
        else:
            self._fate = (
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            )

    def _back_off(self, name: str, until: float) -> None:
        state = self.containers.history.latest(name)
        ended = state.finished / lifecycle.NANO if state else time.time()
        waiting = Waiting(
            "CrashLoopBackOff",
            f"back-off {max(1, round(until - ended))}s restarting failed container={name} "
            f"pod={status.describe(self.pod)}",
        )
        if self._waiting.get(name) != waiting:
            self._waiting[name] = waiting
            text = f"Back-off restarting failed container {name}"
            self.containers.event("Warning", "BackOff", text)

    async def _start_all(self, names: tuple[str, ...]) -> float | None:
        """Starts containers; returns when to try again where something is missing."""
        record = self.containers.record
        record.namespace, record.name = self.key
        record.start_time = record.start_time or rfc3339_now()
        record.images = record.images or not is_host_process(self.pod)
        record.save(self.containers.files.record)
        try:
            preparation = await self._prepare()
        except (Missing, VolumeError, PathError) as error:
            missing = isinstance(error, Missing)
            reason = "CreateContainerConfigError" if missing else "ContainerCreating"
            self._waiting |= dict.fromkeys(names, Waiting(reason, str(error)))
            self.containers.event("Warning", "FailedMount", str(error))
            return self._retry_delay()
        blocked = False
        for container in environment.all_containers(self.containers.spec):
            name = container["name"]
            if name not in names:
                continue
            waiting = await self.containers.start(container, preparation)
            if waiting is None:
                self._waiting.pop(name, None)
            else:
                self._waiting[name] = waiting
                # A pull wakes us when it is over.
                blocked = blocked or waiting.reason != "ContainerCreating"
        if blocked:
            return self._retry_delay()
        self._retries = 0
        return None

    def _retry_delay(self) -> float:
        self._retries += 1
        return min(self.context.settings.config_retry * self._retries, 15.0)

    async def _prepare(self) -> Preparation:
        gathered = await gather(self.context.client, self.pod)
        self._refresh_at = time.time() + self.context.settings.refresh_volumes
        facts = PodFacts(
            self.containers.record.address,
            HOST_IP,
            self.context.node_name,
            self.context.allocatable,
        )
        return Preparation(
            self.pod,
            self.containers.files,
            facts,
            gathered,
            self.context.host_paths,
            self.context.settings,
        )

    async def _refresh(self, now: float, delays: list[float]) -> None:
        """Keeps mounted ConfigMaps and Secrets current, as the kubelet does."""
        kinds = {kind for v in self.containers.spec.get("volumes") or () for kind in v}
        wanted = kinds & {"configMap", "secret", "projected", "downwardAPI"}
        if not wanted or self._ended or not self.containers.running:
            return
        if now >= self._refresh_at:
            with contextlib.suppress(Missing, VolumeError, PathError):
                await self._prepare()
            self._refresh_at = now + self.context.settings.refresh_volumes
        delays.append(self._refresh_at - now)

    # -- the end ---------------------------------------------------------------------------

    async def _terminate(self) -> float | None:
        """Stops everything within the grace period, reports, and lets the API forget the pod."""
        seconds = ABANDONED_GRACE
        if not self.gone:
            given = metadata(self.pod).get("deletionGracePeriodSeconds")
            seconds = self.containers.grace() if given is None else float(given)
        now = time.monotonic()
        if not self._deadline or now + seconds < self._deadline:
            first = not self._deadline
            self._deadline = now + seconds
            for state in self.containers.running:
                if first:
                    text = f"Stopping container {state.name}"
                    self.containers.event("Normal", "Killing", text)
                if not (first and self.containers.stop(state.name, seconds)):
                    self.containers.hasten(state, seconds)
        if self.containers.running and self.containers.has_shim:
            if not self.gone:
                await self._report(initialized=self._was_initialized())
            if now > self._deadline + 1:
                for state in self.containers.running:
                    self.containers.hasten(state, 0, signal.SIGKILL)
            return max(0.2, self._deadline + 1 - now)
        await self._remove()
        return None

    async def _remove(self) -> None:
        if not self.gone and not status.is_terminal(self.pod):
            ended = self.containers.history.newest()
            if ended:
                self._ended = "Failed" if any(s.code for s in ended) else "Succeeded"
                await self._report(initialized=self._was_initialized())
        await self.containers.remove()
        if self.gone:
            self.done = True
            return
        with contextlib.suppress(NotFound, Conflict):
            await self.context.client.delete(
                PODS, self.key.name, self.key.namespace, uid=self.uid, grace_period_seconds=0
            )
        self.done = not metadata(self.pod).get("finalizers")

    def _was_initialized(self) -> bool:
        shown = condition({"status": self._written} if self._written else self.pod, "Initialized")
        return shown is None or shown.get("status") == "True"

    # -- telling ---------------------------------------------------------------------------

    def view(self, initialized: bool) -> PodView:
        own = self.containers
        over = bool(self._ended) or is_deleting(self.pod)
        views: dict[str, ContainerView] = {}
        for container in environment.all_containers(own.spec):
            name = container["name"]
            latest, previous = own.history.latest(name), own.history.previous(name)
            prober = own.probers.get(latest.id) if latest else None
            stopping = latest is not None and own.is_stopping(latest.id)
            views[name] = ContainerView(
                latest=latest,
                previous=previous,
                started=prober is not None and prober.started,
                ready=prober is not None and prober.ready and not stopping,
                waiting=None if over and latest else self._waiting.get(name),
                text=own.history.text_of(latest, own.files),
                previous_text=own.history.text_of(previous, own.files),
            )
        return PodView(
            containers=views,
            pod_ip=own.record.address,
            host_ip=HOST_IP,
            start_time=own.record.start_time or rfc3339_now(),
            initialized=initialized,
            sandbox=own.has_shim,
            phase=self._ended,
            reason=self._fate[0],
            message=self._fate[1],
        )

    async def _report(self, initialized: bool) -> None:
        """Writes the status where it differs from what was written before."""
        known = self.pod.get("status") or {}
        base = dict(self.pod)
        if self._written:
            own = {c["type"] for c in self._written["conditions"]}
            foreign = [c for c in known.get("conditions") or () if c["type"] not in own]
            base["status"] = {
                **self._written,
                "conditions": [*self._written["conditions"], *foreign],
            }
        wanted = status.compute(base, self.view(initialized), rfc3339_now())
        if wanted == (self._written or known):
            self._written = wanted
            return
        removed = dict.fromkeys(k for k in ("reason", "message") if k in known and k not in wanted)
        with contextlib.suppress(NotFound):
            await self.context.client.patch(
                PODS,
                self.key.name,
                {"metadata": {"uid": self.uid}, "status": wanted | removed},
                namespace=self.key.namespace,
                type=PatchType.MERGE,
                subresource="status",
                field_manager="ome-node",
            )
        self._written = wanted
