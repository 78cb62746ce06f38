"""The node: watches the pods that are bound to it and runs a worker for each.

* Its own end changes nothing for the pods: workers let go of their shims, which keep the
  containers. The next start takes them up again. Only what no longer exists in the API is
  removed, once the first complete list has been read.
* The Node object is created or corrected at the start (labels and annotations of others stay), its
  status is written when it changed, and a Lease is renewed as the sign of life.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ome.apimachinery.errors import AlreadyExists, BadRequest, NotFound, StatusError
from ome.apimachinery.objects import Object, condition, metadata, uid_of
from ome.apimachinery.resources import LEASES, NAMESPACES, NODES, PODS
from ome.kube import Client, Events, Informer, KubeError, PatchType
from ome.standalone.node import environment, images, logs, machine, shimclient, usage, volumes
from ome.standalone.node.context import Devices, NodeContext, Settings
from ome.standalone.node.paths import HostPathMap, PodFiles
from ome.standalone.node.podworker import PodWorker, rfc3339_now
from ome.standalone.node.record import PodRecord
from ome.standalone.node.shimclient import Shim

log = logging.getLogger("ome.node")

LEASE_NAMESPACE = "kube-node-lease"
MANAGER = "ome-node"
SWEEP_GRACE = 5.0


class NodeAgent:
    """``container_runtime``: a program to use instead of what is on PATH. ``capacity`` overrides
    what was measured (``{"nvidia.com/gpu": "2"}``)."""

    def __init__(
        self,
        client: Client,
        name: str,
        data_dir: Path,
        *,
        host_path_map: Mapping[str, Path] | None = None,
        container_runtime: images.ContainerRuntime | str | None = None,
        capacity: Mapping[str, str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.client, self.name = client, name
        self.pods_dir = data_dir / "pods"
        self.settings = settings or Settings()
        self.ready = asyncio.Event()
        """Set once the Node object exists and every pod of an earlier run was taken up."""
        self._data_dir = data_dir
        self._host_paths = HostPathMap(dict(host_path_map or {}))
        self._runtime = container_runtime
        self._overrides = dict(capacity or {})
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._context: NodeContext | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Until cancelled."""
        self.pods_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.pods_dir.chmod(0o700)
        gpus = machine.detect_gpus()
        if machine.GPU in self._overrides:
            gpus = gpus[: int(self._overrides[machine.GPU])] or [
                str(n) for n in range(int(self._overrides[machine.GPU]))
            ]
        amounts = machine.capacity(self.pods_dir, len(gpus)) | self._overrides
        events = Events(self.client, "ome-node")
        context = self._context = NodeContext(
            self.client,
            events,
            self.name,
            self.pods_dir,
            shimclient.compiled_script(self._data_dir / "run"),
            self._host_paths,
            Devices(gpus),
            amounts,
            self.settings,
            self._runtime,
        )
        self._reserve_addresses(context)
        informer = Informer(self.client, PODS, field_selector=f"spec.nodeName={self.name}")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                registration = tasks.create_task(self._register(amounts), name="node object")
                tasks.create_task(self._heartbeat(), name="node lease")
                informer.add_handler(self._on_pod)
                tasks.create_task(informer.run(), name="node pods")
                await informer.synced()
                await self._sweep({uid_of(p) for p in informer.list()})
                await registration
                self.ready.set()
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            with contextlib.suppress(StatusError, KubeError, TimeoutError):
                await events.close()
            await context.session.close()

    # -- pods ------------------------------------------------------------------------------

    def _reserve_addresses(self, context: NodeContext) -> None:
        """Pods that may still run keep their addresses, before new ones ask for any."""
        for directory in self.pods_dir.iterdir():
            record = PodRecord.load(PodFiles(directory).record)
            if record is not None and record.address not in ("", "127.0.0.1"):
                context.address_for(directory.name, record.address)

    def _on_pod(self, event: str, old: Any, new: Any) -> None:
        pod = (new if new is not None else old).object()
        uid = uid_of(pod)
        known = self._workers.get(uid)
        if event == "DELETED":
            if known is not None:
                known[0].update(None)
            return
        if known is not None:
            known[0].update(pod)
            return
        assert self._context is not None and self._tasks is not None
        worker = PodWorker(self._context, pod)
        task = self._tasks.create_task(self._work(worker), name=f"pod {worker.key}")
        self._workers[uid] = (worker, task)

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:
            log.exception("the worker of pod %s failed; its containers are left alone", worker.key)
        finally:
            self._workers.pop(worker.uid, None)

    async def _sweep(self, living: set[str]) -> None:
        """Removes what is left of pods that were deleted while nobody looked."""
        for directory in sorted(self.pods_dir.iterdir()):
            if directory.is_dir() and directory.name not in living:
                log.info("removing what is left of pod %s", directory.name)
                try:
                    await remove_pod(directory)
                except (OSError, shimclient.ShimError) as error:
                    log.warning("pod %s could not be removed: %s", directory.name, error)
                if self._context is not None:
                    self._context.release(directory.name)

    # -- the Node object -------------------------------------------------------------------

    async def _register(self, amounts: Mapping[str, str]) -> None:
        """Creates or corrects the Node, again and again until it worked."""
        node: Object = {
            "apiVersion": NODES.api_version,
            "kind": NODES.kind,
            "metadata": {"name": self.name, "labels": machine.labels(self.name)},
        }
        pause = 0.2
        while True:
            try:
                try:
                    live = await self.client.create(NODES, node, field_manager=MANAGER)
                except AlreadyExists:
                    live = await self._correct_labels()
                await self._write_status(live, amounts)
                return
            except (StatusError, KubeError, TimeoutError) as error:
                log.warning("the Node object could not be written: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    async def _correct_labels(self) -> Object:
        live = await self.client.get(NODES, self.name)
        own = machine.labels(self.name)
        shown = metadata(live).get("labels") or {}
        if all(shown.get(k) == v for k, v in own.items()):
            return live
        return await self.client.patch(
            NODES, self.name, {"metadata": {"labels": own}}, field_manager=MANAGER
        )

    async def _write_status(self, live: Object, amounts: Mapping[str, str]) -> None:
        """Kubernetes' conditions and capacity; a second start of the same version is silent."""
        ready = condition(live, "Ready") or {}
        now = rfc3339_now()
        since = ready.get("lastTransitionTime") if ready.get("status") == "True" else now
        wanted = machine.node_status(
            self.name, amounts, await self._runtime_version(), now, since or now
        )
        if _without_times(wanted) == _without_times(live.get("status") or {}):
            return
        await self.client.patch(
            NODES,
            self.name,
            {"status": wanted},
            type=PatchType.MERGE,
            subresource="status",
            field_manager=MANAGER,
        )

    async def _runtime_version(self) -> str:
        """Not asked of a runtime here: that may take seconds and is needed by few pods."""
        return "ome://1"

    async def _heartbeat(self) -> None:
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace"}
        namespace["metadata"] = {"name": LEASE_NAMESPACE}
        created = False
        while True:
            try:
                created = await self._renew(namespace, created)
            except (StatusError, KubeError, TimeoutError) as error:
                log.debug("the node lease was not renewed: %s", error)
            await asyncio.sleep(self.settings.heartbeat)

    async def _renew(self, namespace: Object, created: bool) -> bool:
        moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": int(self.settings.heartbeat * 4),
            "renewTime": moment,
        }
        if created:
            try:
                await self.client.patch(
                    LEASES,
                    self.name,
                    {"spec": spec},
                    namespace=LEASE_NAMESPACE,
                    field_manager=MANAGER,
                )
                return True
            except NotFound:
                created = False
        with contextlib.suppress(AlreadyExists):
            await self.client.create(NAMESPACES, namespace, field_manager=MANAGER)
        lease: Object = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self.name, "namespace": LEASE_NAMESPACE},
            "spec": spec,
        }
        try:
            await self.client.create(LEASES, lease, field_manager=MANAGER)
        except AlreadyExists:
            return True
        return True

    # -- logs ------------------------------------------------------------------------------

    async def logs(
        self,
        pod: Object,
        *,
        container: str,
        follow: bool,
        tail_lines: int | None,
        since_seconds: int | None,
        previous: bool,
        timestamps: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]:
        """The API server's PodLogs. Raises BadRequest with kubectl's usual words."""
        name = metadata(pod).get("name")
        names = [c["name"] for c in environment.all_containers(pod.get("spec") or {})]
        mains = [c["name"] for c in (pod.get("spec") or {}).get("containers") or ()]
        if not container and len(mains) > 1:
            raise BadRequest(
                f"a container name must be specified for pod {name}, choose one of: {names}"
            )
        container = container or mains[0]
        if container not in names:
            raise BadRequest(f"container {container} is not valid for pod {name}")
        files = PodFiles(self.pods_dir / uid_of(pod))
        attempts = sorted(
            int(p.name.partition(".")[0])
            for p in files.logs(container).glob("*.log")
            if p.name.partition(".")[0].isdigit()
        )
        if previous and len(attempts) < 2:
            raise BadRequest(
                f'previous terminated container "{container}" in pod "{name}" not found'
            )
        if not attempts:
            raise BadRequest(
                f'container "{container}" in pod "{name}" is waiting to start: '
                f"{_waiting_reason(pod, container)}"
            )
        attempt = attempts[-2] if previous else attempts[-1]
        since = (
            dt.datetime.now(dt.UTC) - dt.timedelta(seconds=since_seconds) if since_seconds else None
        )
        return logs.stream(
            files.log(container, attempt),
            follow=follow and not previous,
            tail=tail_lines,
            since=since,
            timestamps=timestamps,
            limit_bytes=limit_bytes,
            finished=lambda: self._finished(uid_of(pod), container, attempt),
        )

    def usage(self, uids: Sequence[str]) -> Mapping[str, tuple[float, int]]:
        """Of pods by uid: seconds of processor time since their start, and bytes. Blocks."""
        return usage.of_pods(self.pods_dir, uids)

    def _finished(self, uid: str, container: str, attempt: int) -> bool:
        known = self._workers.get(uid)
        if known is None:
            return True
        latest = known[0].containers.history.latest(container)
        return latest is None or latest.attempt != attempt or not latest.running


def _waiting_reason(pod: Mapping[str, Any], container: str) -> str:
    status = pod.get("status") or {}
    for kind in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(kind) or ():
            if entry.get("name") == container:
                waiting = (entry.get("state") or {}).get("waiting") or {}
                return str(waiting.get("reason") or "ContainerCreating")
    return "ContainerCreating"


def _without_times(status: Mapping[str, Any]) -> Object:
    result = {k: v for k, v in status.items() if k != "images"}
    result["conditions"] = [
        {k: v for k, v in c.items() if not k.startswith("last")}
        for c in status.get("conditions") or ()
    ]
    return result


async def remove_pod(directory: Path, grace: float = SWEEP_GRACE) -> None:
    """Stops what runs of a pod that the API no longer knows, and deletes its directory."""
    states: dict[str, shimclient.ContainerState] = {}
    changed = asyncio.Event()

    def on_state(state: shimclient.ContainerState) -> None:
        states[state.id] = state
        changed.set()

    try:
        shim = await Shim.connect(directory, on_state, changed.set)
    except shimclient.ShimError:
        shim = None
    if shim is None:
        await asyncio.to_thread(shimclient.kill_leftovers, directory)
    else:
        for state in states.values():
            if state.running:
                shim.stop_container(state.id, 15, grace)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace + 2):
                while any(s.running for s in states.values()):
                    changed.clear()
                    await changed.wait()
        shim.exit()
        await shim.ended()
    record = PodRecord.load(PodFiles(directory).record)
    if record is not None and record.images:
        await _remove_images(directory.name, list(states.values()))
    await asyncio.to_thread(volumes.remove_tree, directory)


async def _remove_images(uid: str, states: list[shimclient.ContainerState]) -> None:
    runtime = (await images.detect()).runtime
    if runtime is None:
        return
    pod: Object = {"metadata": {"uid": uid}}
    for state in states:
        with contextlib.suppress(TimeoutError, OSError):
            await runtime.remove(images.container_name(pod, state.name, state.attempt))


async def stop_everything(data_dir: Path, grace: float = 10.0) -> int:
    """For ``ome down`` when no OME runs: stops all pods of this data directory and returns how many
    there were. Their objects stay; a later start runs them anew."""
    folder = data_dir / "pods"
    directories = [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []
    results = await asyncio.gather(
        *(remove_pod(directory, grace) for directory in directories), return_exceptions=True
    )
    for directory, result in zip(directories, results, strict=True):
        if isinstance(result, BaseException):
            log.warning("pod %s could not be stopped: %s", directory.name, result)
    return len(directories)
