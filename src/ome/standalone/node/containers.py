"""The containers of one pod as they really are: their shim, runs, probes and stops.

:class:`PodContainers` does what :mod:`podworker` decides. Containers are never started on a guess:
a start is over when the shim has answered, and after a restart of OME the shim is asked (or its
files are read) before anything else happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ome.apimachinery.objects import Object, key_of, uid_of
from ome.standalone.node import environment, images, lifecycle, probes, shimclient, volumes
from ome.standalone.node.context import NodeContext
from ome.standalone.node.environment import Missing
from ome.standalone.node.history import History
from ome.standalone.node.launch import LaunchError, Preparation, gpus_wanted, is_host_process
from ome.standalone.node.paths import PodFiles
from ome.standalone.node.probes import Prober
from ome.standalone.node.pulling import ImagePuller
from ome.standalone.node.record import PodRecord
from ome.standalone.node.shimclient import ContainerState, Shim, ShimError
from ome.standalone.node.status import Waiting

log = logging.getLogger("ome.node")

START_ANSWER = 30.0
DEFAULT_GRACE = 30.0
SHARED_ADDRESS = "127.0.0.1"


class PodContainers:
    """``attached`` is False until it is known what runs, also after a shim was lost."""

    def __init__(self, context: NodeContext, pod: Object, wake: Callable[[], None]) -> None:
        self.context, self.pod, self._wake = context, pod, wake
        self.uid = uid_of(pod)
        self.files = PodFiles(context.pods_dir / self.uid)
        self.record = PodRecord.load(self.files.record) or PodRecord(self.uid)
        self.history = History()
        self.attached = False
        self.released = False
        self.probers: dict[str, Prober] = {}
        self._puller = ImagePuller(context, wake)
        self._shim: Shim | None = None
        self._stops: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._surroundings: dict[str, probes.Surroundings] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- looking ---------------------------------------------------------------------------

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.pod.get("spec") or {}

    @property
    def has_shim(self) -> bool:
        return self._shim is not None

    @property
    def running(self) -> list[ContainerState]:
        return [s for s in self.history.newest() if s.running]

    def grace(self) -> float:
        value = self.spec.get("terminationGracePeriodSeconds")
        return float(value) if value is not None else DEFAULT_GRACE

    def is_stopping(self, id_: str) -> bool:
        return id_ in self._stops

    def runs(self) -> dict[str, lifecycle.Run]:
        """The present as :func:`lifecycle.decide` wants it."""
        result: dict[str, lifecycle.Run] = {}
        for container in environment.all_containers(self.spec):
            name = container["name"]
            latest = self.history.latest(name)
            prober = self.probers.get(latest.id) if latest else None
            started = bool(latest and latest.running and (prober is None or prober.started))
            result[name] = lifecycle.Run(latest, started, self.history.crash_count(name))
        return result

    def event(self, type_: str, reason: str, message: str) -> None:
        self.context.events.emit(self.pod, reason, message, type=type_)

    # -- taking up -------------------------------------------------------------------------

    async def attach(self) -> list[ContainerState]:
        """Finds out what runs; returns the containers that do. Raises ShimError to be called
        again."""
        self.history.crashes = {k: (v[0], v[1]) for k, v in self.record.crashes.items()}
        if self.files.directory.is_dir():
            for state in shimclient.saved_states(self.files.directory):
                self._note(state)
            try:
                self._shim = await Shim.connect(self.files.directory, self._on_state, self._on_gone)
            except ShimError as error:
                log.warning("pod %s: %s; it is replaced", key_of(self.pod), error)
            if self._shim is None:
                await self._bury()
        if self.spec.get("hostNetwork"):
            self.record.address = SHARED_ADDRESS
        else:
            self.record.address = self.context.address_for(self.uid, self.record.address)
        for state in self.running:
            known = self.record.devices.get(state.name, [])
            with contextlib.suppress(LookupError):
                self.context.devices.claim(self.uid, state.name, len(known), known)
        self.attached = True
        return self.running

    async def adopt(self, preparation: Preparation | None) -> None:
        """Goes on probing what runs, believing the last status until probes say otherwise."""
        log.info("pod %s: adopted, %d containers run", key_of(self.pod), len(self.running))
        shown = {
            entry["name"]: entry
            for kind in ("containerStatuses", "initContainerStatuses")
            for entry in (self.pod.get("status") or {}).get(kind) or ()
        }
        runtime = None
        if not is_host_process(self.pod):
            runtime = (await self.context.container_runtime()).runtime
        for container in environment.all_containers(self.spec):
            name = container["name"]
            state = self.history.latest(name)
            if state is None or not state.running:
                continue
            where = probes.Surroundings(
                self.record.address, probes.ports_of(container), {}, str(self.files.directory)
            )
            if preparation is not None:
                devices = self.record.devices.get(name, [])
                with contextlib.suppress(Missing, LaunchError):
                    where = preparation.launch(
                        container, state.attempt, devices, self._gpus_exist, runtime
                    ).surroundings
            last = shown.get(name) or {}
            same = last.get("restartCount") == state.attempt
            self._probe(
                container,
                state,
                where,
                started=bool(same and last.get("started")),
                ready=bool(same and last.get("ready")),
            )

    async def _bury(self) -> None:
        """The shim is gone: nothing of the pod may go on unseen."""
        for state in await asyncio.to_thread(shimclient.kill_leftovers, self.files.directory):
            self._note(state)
        if self.record.images:
            runtime = (await self.context.container_runtime()).runtime
            for state in self.history.newest():
                if runtime is not None:
                    await runtime.remove(images.container_name(self.pod, state.name, state.attempt))
        (self.files.directory / "shim.pid").unlink(missing_ok=True)

    @property
    def _gpus_exist(self) -> bool:
        return bool(self.context.devices.available)

    # -- what the shim says ----------------------------------------------------------------

    def _on_state(self, state: ContainerState) -> None:
        answer = self._answers.pop(state.id, None)
        if answer is not None and not answer.done():
            answer.set_result(None)
        self._note(state)
        self._wake()

    def _note(self, state: ContainerState) -> None:
        self.history.add(state)
        if state.running:
            return
        if prober := self.probers.pop(state.id, None):
            self._spawn(prober.stop())
        self._stops.pop(state.id, None)
        if self.history.count_crash(state, self.context.settings.back_off):
            self.record.crashes = {k: [*v] for k, v in self.history.crashes.items()}
            with contextlib.suppress(OSError):
                self.record.save(self.files.record)
        (self.files.directory / f"env.{state.id}").unlink(missing_ok=True)

    def _on_gone(self) -> None:
        self._shim = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ShimError("the shim ended while it started a container"))
        self._answers.clear()
        if not self.released:
            self.attached = False
            self._wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- starting --------------------------------------------------------------------------

    async def start(self, container: Mapping[str, Any], preparation: Preparation) -> Waiting | None:
        """Starts one container; None when it runs (or ended at once), else why it doesn't."""
        name = container["name"]
        runtime: images.ContainerRuntime | None = None
        if not preparation.host:
            detection = await self.context.container_runtime()
            runtime = detection.runtime
            if runtime is None:
                return self._no_runtime(container, detection.problem)
            pulling = self._puller.ensure(runtime, container, self.event)
            if pulling is not None:
                return pulling
        try:
            await self._launch(container, preparation, runtime)
        except Missing as error:
            self.event("Warning", "Failed", f"Error: {error}")
            return Waiting("CreateContainerConfigError", str(error))
        except (LaunchError, LookupError, ValueError) as error:
            self.event("Warning", "Failed", f"Error: {error}")
            return Waiting("CreateContainerError", str(error))
        state = self.history.latest(name)
        if state is not None and state.reason == "StartError":
            self.event("Warning", "Failed", f"Error: {state.message}")
        return None

    def _no_runtime(self, container: Mapping[str, Any], problem: str) -> Waiting:
        message = (
            f"image {container.get('image')} needs podman or docker: {problem}; "
            f"{self.context.settings.missing_runtime_hint()}"
        )
        self.event("Warning", "ContainerRuntimeMissing", message)
        return Waiting("ContainerRuntimeMissing", message)

    async def _launch(
        self,
        container: Mapping[str, Any],
        preparation: Preparation,
        runtime: images.ContainerRuntime | None,
    ) -> None:
        name, attempt = container["name"], self.history.next_attempt(container["name"])
        known = self.record.devices.get(name, [])
        devices = self.context.devices.claim(self.uid, name, gpus_wanted(container), known)
        if devices != known:
            self.record.devices[name] = devices
            self.record.save(self.files.record)
        launch = preparation.launch(container, attempt, devices, self._gpus_exist, runtime)
        if self._shim is None:
            self._shim = await Shim.start(
                self.context.script, self.files.directory, self._on_state, self._on_gone
            )
            if preparation.host and (missing := volumes.not_enforced(self.pod)):
                text = f"a host process runs without {'; '.join(missing)}"
                self.event("Normal", "NotEnforced", text)
        answer = asyncio.get_running_loop().create_future()
        self._answers[launch.command.id] = answer
        self._shim.start_container(launch.command)
        async with asyncio.timeout(START_ANSWER):
            await answer
        self._drop_old(name, attempt)
        state = self.history.latest(name)
        if state is None or state.reason == "StartError":
            return
        self.event("Normal", "Started", f"Started container {name}")
        if state.running:
            self._probe(container, state, launch.surroundings)
            if hook := (container.get("lifecycle") or {}).get("postStart"):
                self._spawn(self._post_start(hook, state, launch.surroundings))

    def _drop_old(self, name: str, attempt: int) -> None:
        """Runs before the previous one are forgotten, with their logs."""
        for path in self.files.logs(name).glob("*.log*"):
            number = path.name.partition(".")[0]
            if number.isdigit() and int(number) < attempt - 1:
                path.unlink(missing_ok=True)
        for id_ in self.history.forget_before(name, attempt - 1):
            if self._shim is not None:
                self._shim.forget(id_)

    # -- probes and hooks ------------------------------------------------------------------

    def _probe(
        self,
        container: Mapping[str, Any],
        state: ContainerState,
        where: probes.Surroundings,
        *,
        started: bool = False,
        ready: bool = False,
    ) -> None:
        name = container["name"]
        self._surroundings[state.id] = where

        def failed(kind: probes.ProbeKind, message: str) -> None:
            # A container that is still starting is not unwell: its startup probe says "not yet".
            type_ = "Normal" if kind == "startup" else "Warning"
            self.event(type_, "Unhealthy", f"{kind.capitalize()} probe failed: {message}")

        def condemn(kind: probes.ProbeKind, _message: str) -> None:
            text = f"Container {name} failed {kind} probe, will be restarted"
            self.event("Normal", "Killing", text)
            own = (container.get(f"{kind}Probe") or {}).get("terminationGracePeriodSeconds")
            self.stop(name, float(own) if own is not None else self.grace())

        self.probers[state.id] = Prober(
            container,
            where,
            self.context.session,
            begun=state.started / lifecycle.NANO,
            changed=self._wake,
            failed=failed,
            condemn=condemn,
            started=started,
            ready=ready,
        )

    async def _post_start(
        self, hook: Mapping[str, Any], state: ContainerState, where: probes.Surroundings
    ) -> None:
        outcome = await probes.attempt(hook, where, self.context.session, 600.0)
        if not outcome.ok:
            self.event("Warning", "FailedPostStartHook", outcome.message)
            self.stop(state.name, self.grace())

    # -- stopping --------------------------------------------------------------------------

    def stop(self, name: str, grace: float) -> bool:
        """Begins to stop a container; False where that has begun already (or it doesn't run)."""
        state = self.history.latest(name)
        if state is None or not state.running or state.id in self._stops:
            return False
        self._stops[state.id] = asyncio.create_task(self._stop_gracefully(state, grace))
        return True

    def stop_all(self, grace: float) -> None:
        for state in self.running:
            self.stop(state.name, grace)

    def hasten(self, state: ContainerState, grace: float, number: int = signal.SIGTERM) -> None:
        """Leaves a container less time than it had been given."""
        if self._shim is not None:
            self._shim.stop_container(state.id, number, grace)

    async def _stop_gracefully(self, state: ContainerState, grace: float) -> None:
        begun = time.monotonic()
        container: Mapping[str, Any] = next(
            (c for c in environment.all_containers(self.spec) if c["name"] == state.name), {}
        )
        handlers = container.get("lifecycle") or {}
        where = self._surroundings.get(state.id)
        if (hook := handlers.get("preStop")) and where is not None and grace > 0:
            outcome = await probes.attempt(hook, where, self.context.session, grace)
            if not outcome.ok:
                self.event("Warning", "FailedPreStopHook", outcome.message)
        number = getattr(signal, str(handlers.get("stopSignal") or "SIGTERM"), signal.SIGTERM)
        self.hasten(state, max(0.0, grace - (time.monotonic() - begun)), number)

    async def release(self) -> None:
        """Ends the shim of a pod in which nothing runs any more, and gives back its devices."""
        if self._shim is not None:
            self._shim.exit()
            await self._shim.ended()
        self._shim, self.attached = None, True
        self.context.devices.release(self.uid)

    async def remove(self) -> None:
        """Deletes all that is left of the pod on this machine."""
        await self.release()
        if self.record.images:
            await self._bury()
        self.released = True
        self.context.release(self.uid)
        if self.files.directory.is_dir():
            await asyncio.to_thread(volumes.remove_tree, self.files.directory)

    async def detach(self) -> None:
        """Leaves the containers running and forgets them."""
        for task in (*self._stops.values(), *self._tasks):
            task.cancel()
        await self._puller.stop()
        for prober in self.probers.values():
            await prober.stop()
        if self._shim is not None:
            await self._shim.close()
