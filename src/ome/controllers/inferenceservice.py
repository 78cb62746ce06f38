"""Keeps every InferenceService's children and status what they should be.

One pass: look at the caches, decide (:mod:`ome.controllers.decide`), carry out the plan, write the
status if it changed. A pass never waits for anything: a first answer is asked for by a task beside
it, and whatever changes brings the service back. Problems that only an edit can solve are in the
status and not retried; the edit brings the service back as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Key, Object, is_deleting, key_of, metadata, uid_of
from ome.controllers import readiness, refusals
from ome.controllers.cluster import Cluster
from ome.controllers.decide import Decision, World, decide
from ome.controllers.executor import KindGone, NameTaken, execute
from ome.controllers.lag import LOOK_AGAIN_SECONDS, Lag
from ome.controllers.plan import Plan
from ome.controllers.recycling import recycle
from ome.controllers.story import is_progress
from ome.controllers.telling import Teller
from ome.controllers.waves import Waves
from ome.kube import Client, Events, KubeError, PatchType, Result
from ome.rendering import Observed
from ome.rendering.status import RENDERED, Answer, Problem, StatusInput, build
from ome.rendering.workload import crashed_pods

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = logging.getLogger("ome.controllers.inferenceservice")

_RETRY_ANSWER = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_LOG_LINES = 5
_SETTLED = ("Serving", "ScaledToZero", "SwitchedOff")
"""Reasons of a Ready that nothing is left to do for."""
PROGRESS_SECONDS = 1.0
"""So long at least lies between two statuses of a service that differ in progress alone."""
KIND_RETRY = 10.0
"""Seconds after which a service that waits for a missing kind looks again."""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class _Asking:
    """A first answer that is being asked for, or was refused."""

    version: str
    uid: str
    task: asyncio.Task[None] | None = None
    attempts: int = 0
    answer: Answer | None = None


class InferenceServices:
    """The reconciler. ``enqueue`` brings a service back, now or after some seconds."""

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        events: Events,
        *,
        http: Callable[[], ClientSession],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._events = events
        self._http = http
        self._waves = Waves()
        self._refused: dict[Key, int] = {}
        self._written: dict[Key, float] = {}
        self._own: dict[Key, str] = {}
        self._lag = Lag(cluster.version)
        self._teller = Teller(events)
        self._asking: dict[Key, _Asking] = {}
        self._tails: dict[Key, tuple[str, str]] = {}
        self.enqueue: Callable[[Key], None] = lambda _key: None
        self.look_for_kinds: Callable[[], None] = lambda: None
        """Called where a service waits for a kind that the cluster did not serve so far."""

    def resume(self) -> None:
        """Before the first look: what rolls counts, so that restarts never make a wave higher."""
        for label in self._cluster.rolling():
            for key in self._cluster.services_of_label(label):
                self._waves.hold(key)

    async def reconcile(self, key: Key) -> Result | None:
        service = self._cluster.services.get(key.namespace, key.name)
        if service is None:
            self._forget(key)
            return None
        if is_deleting(service):
            self._forget(key)
            await self._let_go(service)
            return None
        if self._lag.behind(key):
            return Result(LOOK_AGAIN_SECONDS)
        observed = self._cluster.observed(service)
        try:
            decision = self._decide(service, observed)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # A shape that nobody thought of. Nothing is touched; the queue tries again.
            text = f"OME stumbled over it ({type(error).__name__}: {error})"
            fix = "look for what is unusual in the service, its runtime or its model; report it"
            stumbled = Problem(RENDERED, "InternalError", text, fix)
            await self._report(service, Decision(Plan(service), problem=stumbled), observed)
            raise
        prober = self._cluster.settings.prober
        recycling = recycle(
            service,
            decision.rendered,
            observed,
            prober.unavailable_threshold_seconds,
            prober.startup,
            now(),
        )
        decision.plan.deletes.extend(recycling.deletes)
        again = recycling.again
        try:
            wrote = partial(self._lag.wrote, key)
            complete = await execute(decision.plan, self._client, self._events, wrote)
            self._refused.pop(key, None)
            if not complete:
                return Result(LOOK_AGAIN_SECONDS)  # and nothing is said of what was not seen
        except (NameTaken, KindGone, StatusError) as error:
            if isinstance(error, StatusError) and not refusals.is_refusal(error):
                raise
            attempts = self._refused[key] = self._refused.get(key, 0) + 1
            again = refusals.pause(error, attempts)
            decision = replace(decision, problem=refusals.problem_of(error), rendered=None)
        later = await self._report(service, decision, observed)
        if _waits_for_kind(decision):
            self.look_for_kinds()
            again = KIND_RETRY
        waits = [s for s in (again, later, self._teller.look_again(service)) if s is not None]
        return Result(min(waits)) if waits else None

    # -- deciding -----------------------------------------------------------------------------

    def _decide(self, service: Object, observed: Observed) -> Decision:
        key = key_of(service)
        namespace = key.namespace
        cluster = self._cluster
        world = World(
            service=service,
            settings=cluster.settings,
            runtimes=cluster.catalog.for_namespace(namespace),
            model=lambda kind, name: cluster.model(kind, name, namespace),
            model_names=lambda: cluster.model_names(namespace),
            model_state=cluster.model_state,
            accelerators=cluster.accelerator_classes(),
            observed=observed,
            weight=cluster.weight,
            capabilities=cluster.capabilities,
            may_roll=self._waves.holds(key),
        )
        decision = decide(world)
        if world.may_roll:
            return decision
        pending = decision.rendered is not None and bool(decision.rendered.pending)
        held = metadata(service).get("annotations", {}).get(c.A_HOLD_ROLLOUT) == "true"
        if not pending or held:
            self._leave_waves(key)
            return decision
        if not self._waves.acquire(key, cluster.settings.rollouts_at_once):
            return decision
        return decide(replace(world, may_roll=True))

    def _leave_waves(self, key: Key) -> None:
        for following in self._waves.release(key):
            self.enqueue(following)

    # -- reporting ----------------------------------------------------------------------------

    async def _report(
        self, service: Object, decision: Decision, observed: Observed
    ) -> float | None:
        """Writes the status; seconds after which to come back if it was too early for that."""
        key = key_of(service)
        pods = self._cluster.pods_of(service)
        asking = self._asking.get(key)
        if asking is not None and asking.uid != uid_of(service):
            self._forget(key)
            asking = None
        given = StatusInput(
            service=service,
            now=now(),
            rendered=decision.rendered,
            problem=decision.problem,
            selection=decision.selection,
            observed=observed,
            pods=pods,
            model=decision.wait,
            model_known=decision.model is not None,
            last_lines=await self._last_lines(pods),
            lost_nodes=self._cluster.lost_nodes(pods),
            answer=asking.answer if asking else None,
            answer_required=self._cluster.settings.completion_probe,
            ingress=decision.ingress,
            accelerators=decision.accelerators,
            changing=self._lag.awaited(key),
        )
        result = build(given)
        self._release_wave(key, result.status, decision)
        later = await self._write(service, result.status)
        if result.version:
            self._ask(service, result.version, decision)
        elif asking is not None and asking.task is None:
            self._asking.pop(key, None)
        return later

    def _release_wave(self, key: Key, status: Object, decision: Decision) -> None:
        if not self._waves.holds(key):
            return
        ready = cond.get(status["conditions"], cond.READY) or {}
        if decision.plan or ready.get("reason") not in _SETTLED:
            return
        self._leave_waves(key)

    async def _write(self, service: Object, status: Object) -> float | None:
        """Writes what has changed; of mere progress not more than one status a second."""
        old = service.get("status") or {}
        if old == status:
            return None
        key, clock = key_of(service), asyncio.get_running_loop().time()
        early = self._written.get(key, 0.0) + PROGRESS_SECONDS - clock
        if early > 0 and is_progress(old, status):
            return early
        self._written[key] = clock
        updated = {**service, "status": status}
        try:
            answer = await self._client.update(
                o.INFERENCE_SERVICES,
                updated,
                subresource="status",
                field_manager=c.MANAGER_STATUS,
            )
        except NotFound:
            return None
        self._lag.wrote(key, o.INFERENCE_SERVICES, answer)
        self._own[key] = str(metadata(answer).get("resourceVersion") or "")
        self._teller.changed(service, updated)
        return None

    async def _last_lines(self, pods: dict[str, list[Object]]) -> dict[str, str]:
        """The end of the log of pods that crashed without leaving a message."""
        found: dict[str, str] = {}
        for pod in (pod for group in pods.values() for pod in group[:3]):
            for name, container, previous in crashed_pods([pod])[:1]:
                key = key_of(pod)
                version = _restart_version(pod)
                cached = self._tails.get(key)
                if cached is None or cached[0] != version:
                    text = await self._tail(key, container, previous)
                    cached = self._tails[key] = (version, text)
                found[name] = cached[1]
        return found

    async def _tail(self, pod: Key, container: str, previous: bool) -> str:
        chunks = bytearray()
        try:
            async with asyncio.timeout(2.0):
                async for chunk in self._client.logs(
                    pod.name,
                    pod.namespace,
                    container=container,
                    previous=previous,
                    tail_lines=_LOG_LINES,
                    limit_bytes=4000,
                ):
                    chunks += chunk
        except (StatusError, KubeError, TimeoutError) as error:
            log.debug("no log of %s: %s", pod, error)
        return chunks.decode(errors="replace")

    # -- the first answer ---------------------------------------------------------------------

    def _ask(self, service: Object, version: str, decision: Decision) -> None:
        """Starts asking for an answer of this version, unless that is on its way already."""
        key = key_of(service)
        asking = self._asking.get(key)
        if asking is not None and asking.version == version:
            return
        self._stop_asking(key)
        asking = self._asking[key] = _Asking(version, uid_of(service))
        assert decision.rendered is not None
        asking.task = asyncio.create_task(
            self._ask_until_answered(key, asking, decision.rendered.url, decision.model),
            name=f"first answer of {key}",
        )

    async def _ask_until_answered(
        self, key: Key, asking: _Asking, url: str, model: Object | None
    ) -> None:
        """Asks again and again, slower and slower, until it answers or nobody cares any more."""
        while True:
            outcome = await readiness.ask(self._http(), url, model, key.name)
            asking.answer = Answer(asking.version, outcome.ok, outcome.message)
            if outcome.ok:
                asking.task = None
                self.enqueue(key)
                return
            self.enqueue(key)
            pause = _RETRY_ANSWER[min(asking.attempts, len(_RETRY_ANSWER) - 1)]
            asking.attempts += 1
            await asyncio.sleep(pause)

    def _stop_asking(self, key: Key) -> None:
        asking = self._asking.pop(key, None)
        if asking is not None and asking.task is not None:
            asking.task.cancel()

    def has_written(self, key: Key, version: str) -> bool:
        """Whether that version of the service is a status from here: it tells nothing new.

        It was written over the version that was looked at, else there was a conflict.
        """
        return bool(version) and self._own.get(key) == version

    # -- leaving ------------------------------------------------------------------------------

    def _forget(self, key: Key) -> None:
        self._written.pop(key, None)
        self._own.pop(key, None)
        self._lag.forget(key)
        self._refused.pop(key, None)
        self._teller.forget(key)
        self._stop_asking(key)
        self._leave_waves(key)

    async def _let_go(self, service: Object) -> None:
        """Children go with their owner; all that can hold a service back is our old finalizer."""
        finalizers = metadata(service).get("finalizers") or []
        if c.FINALIZER_INFERENCE_SERVICE not in finalizers:
            return
        index = finalizers.index(c.FINALIZER_INFERENCE_SERVICE)
        patch: list[Object] = [
            {
                "op": "test",
                "path": f"/metadata/finalizers/{index}",
                "value": c.FINALIZER_INFERENCE_SERVICE,
            },
            {"op": "remove", "path": f"/metadata/finalizers/{index}"},
        ]
        key = key_of(service)
        try:
            await self._client.patch(
                o.INFERENCE_SERVICES,
                key.name,
                patch,
                namespace=key.namespace,
                type=PatchType.JSON,
            )
        except NotFound:
            return

    async def close(self) -> None:
        """Stops asking."""
        tasks = [a.task for a in self._asking.values() if a.task is not None]
        for key in list(self._asking):
            self._stop_asking(key)
        await asyncio.gather(*tasks, return_exceptions=True)


def _waits_for_kind(decision: Decision) -> bool:
    problem, rendered = decision.problem, decision.rendered
    if problem is not None:
        return problem.code == "MissingKind"
    return rendered is not None and rendered.ingress_missing is not None


def _restart_version(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return ",".join(f"{s.get('name')}:{s.get('restartCount')}:{s.get('state')}" for s in statuses)
