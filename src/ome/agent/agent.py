"""The node's model agent: keeps on this machine's disk what the cluster's models want here.

The model: for every model there is a wanted state (:class:`~ome.agent.target.Target`, from the
model and this node) and an actual one (:class:`~ome.agent.records.Record` and what lies on disk).
``_reconcile`` compares the two and takes the next step; it is called whenever the model, the node,
the node's ConfigMap, a pod on this node or a download changes, and every few minutes.

Guarantees: a restart downloads nothing again and takes Ready from nobody; at most ``slots``
downloads run; files are deleted only when no model on this node wants them, no model's label keeps
them and no pod has them mounted; and what the node says of a model that is gone goes too, whatever
was missed while the agent was away. The agent never writes a model's spec.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome.agent import entries, removal
from ome.agent.catalog import Catalog, base_of
from ome.agent.credentials import Credentials
from ome.agent.downloads import Downloads, Job
from ome.agent.failures import SECRET_LOOK, Failed, Failures
from ome.agent.identity import WEIGHTS, data_key, described, is_model_label, key_of, label_key
from ome.agent.leaving import Leaving
from ome.agent.messages import Done, Failure, Task
from ome.agent.paths import PathMap
from ome.agent.process import run_worker
from ome.agent.ranking import rank_by_need
from ome.agent.records import Record, Records
from ome.agent.stats import Stats
from ome.agent.status import NodeStatus
from ome.agent.target import Target, keeps_files, on_a_claim, target_of
from ome.agent.verifying import Verifying
from ome.api import constants as c
from ome.api.resources import BASE_MODELS, CLUSTER_BASE_MODELS, FINE_TUNED_WEIGHTS
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Key, Object, labels_of, metadata
from ome.apimachinery.resources import CONFIG_MAPS, NODES, PODS
from ome.kube import Client, Controller, Informer, KubeError, Result
from ome.storage.errors import StorageError

log = logging.getLogger("ome.agent")
_RESYNC = 300.0


class NodeModelAgent:
    """``progress_every``: seconds between two writes of a download's progress.

    ``host_path_map`` maps absolute paths of the API to real folders; it gets ``/raid/models`` ->
    ``models_root`` where it does not say otherwise. ``transfer_options`` go to
    :class:`ome.storage.engine.Options`.
    """

    def __init__(
        self,
        client: Client,
        node_name: str,
        models_root: Path,
        *,
        host_path_map: Mapping[str, Path] | None = None,
        namespace: str = "ome",
        slots: int = 2,
        progress_every: float = 10.0,
        transfer_options: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._root = models_root
        self._namespace = namespace
        self._progress_every = progress_every
        self._options = dict(transfer_options or {})
        self._clock = clock
        models_root.mkdir(parents=True, exist_ok=True)
        self._paths = PathMap({c.DEFAULT_MODELS_ROOT: models_root, **(host_path_map or {})})
        self._records = Records(models_root)
        self._status = NodeStatus(client, node_name, namespace)
        self._failures = Failures(clock, wall, rng or random.Random())
        self._downloads = Downloads(slots, run_worker, self._rank, self._job_changed)
        self._credentials = Credentials(client, namespace)
        self._controller = Controller("model-agent", self._reconcile, workers=4)
        self.stats = Stats(models_root, self._downloads.counts)
        self._cluster_models = Informer(client, CLUSTER_BASE_MODELS)
        self._models = Informer(client, BASE_MODELS)
        self._weights = Informer(client, FINE_TUNED_WEIGHTS)
        by_name = f"metadata.name={node_name}"
        self._nodes = Informer(client, NODES, field_selector=by_name)
        self._maps = Informer(client, CONFIG_MAPS, namespace, field_selector=by_name)
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={node_name}")
        self._catalog = Catalog(
            self._cluster_models, self._models, self._weights, self._nodes, node_name
        )
        self._leaving = Leaving(
            self._catalog, self._paths, self._records, self._status, self._pods.list
        )
        self._verifying = Verifying(self._records, self._downloads, self.stats)
        self._last_progress: dict[Key, float] = {}

    # -- for those who run it -----------------------------------------------------------------

    async def run(self) -> None:
        """Works until cancelled. Running downloads are stopped and go on at the next start."""
        informers = self.informers()
        async with asyncio.TaskGroup() as tasks:
            for informer in informers:
                tasks.create_task(informer.run())
            for informer in informers:
                await informer.synced()
            self._begin()
            tasks.create_task(self._downloads.run())
            tasks.create_task(self._controller.run())
            tasks.create_task(self._housekeeping())

    def progress(self) -> dict[Key, dict[str, Any]]:
        """Live figures of all downloads, fresher than what the ConfigMap says."""
        found = {}
        for key, job in self._downloads.running():
            if job.progress.updated:
                found[key] = entries.progress_of(job.progress)
        return found

    def controllers(self) -> list[Controller]:
        return [self._controller]

    # -- what wakes it up ---------------------------------------------------------------------

    def informers(self) -> list[Informer]:
        """What it has read, or not yet: for readiness and metrics."""
        return [
            self._cluster_models,
            self._models,
            self._weights,
            self._nodes,
            self._maps,
            self._pods,
        ]

    def _begin(self) -> None:
        self._saw_map()
        self._saw_node()
        for informer in (self._cluster_models, self._models):
            informer.add_handler(lambda _, old, new: self._model_changed((new or old).key))
        self._weights.add_handler(
            lambda _, old, new: self._controller.enqueue(Key(WEIGHTS, (new or old).key.name))
        )
        self._nodes.add_handler(lambda *_: self._node_changed())
        self._maps.add_handler(lambda *_: self._map_changed())
        self._pods.add_handler(lambda *_: self._pods_changed())
        for record in self._records:
            self._controller.enqueue(record.key)

    def _node_changed(self) -> None:
        self._saw_node()
        self._enqueue_all()

    def _map_changed(self) -> None:
        self._saw_map()
        self._enqueue_all()

    def _pods_changed(self) -> None:
        for key in self._leaving.waiting:
            self._controller.enqueue(key)

    def _model_changed(self, key: Key) -> None:
        """The model, and the weights that are loaded beside it."""
        self._controller.enqueue(key)
        for weights in self._weights.list():
            if base_of(weights) == key:
                self._controller.enqueue(key_of(weights))

    def _saw_map(self) -> None:
        self._status.saw_config_map(self._maps.get(self._namespace, self._node_name))

    def _saw_node(self) -> None:
        self._status.saw_labels(labels_of(self._nodes.get("", self._node_name) or {}))

    def _enqueue_all(self) -> None:
        for model in self._catalog.all():
            self._controller.enqueue(key_of(model))
        for record in self._records:
            self._controller.enqueue(record.key)

    def _job_changed(self, key: Key, ended: bool) -> None:
        """Progress is told at most every ``progress_every`` seconds, an end at once."""
        now = self._clock()
        last = self._last_progress.get(key)
        if ended or last is None or now - last >= self._progress_every:
            self._last_progress[key] = now
            self._controller.enqueue(key)

    async def _housekeeping(self) -> None:
        """Clear away what is left of models that are gone, now and then."""
        while True:
            try:
                await self._collect()
            except (OSError, StorageError, StatusError, KubeError) as error:
                log.warning("could not clear away leftovers under %s: %s", self._root, error)
            await asyncio.sleep(_RESYNC)
            self._enqueue_all()

    async def _collect(self) -> None:
        models = self._catalog.all()
        data = {data_key(key_of(m)) for m in models} | {data_key(r.key) for r in self._records}
        labels = {label_key(key_of(m)) for m in models} | {label_key(r.key) for r in self._records}
        for name in [n for n in self._status.entries if n not in data]:
            await self._status.remove_data_key(name)
        for name in [n for n in self._status.labels if is_model_label(n) and n not in labels]:
            await self._status.remove_label(name)
        wanted = frozenset(self._catalog.wanted_paths(self._paths))
        gone = await asyncio.to_thread(removal.collect, self._root, wanted, self._in_use_before)
        for path in gone:
            log.info("deleted %s: nobody wants it any more", path)

    # -- one model ----------------------------------------------------------------------------

    async def _reconcile(self, key: Key) -> Result | None:
        model = self._catalog.get(key)
        if self._catalog.node() is None:
            return Result(5.0)  # the node registers itself a moment later
        if model is None or not self._catalog.wanted(model):
            await self._downloads.cancel(key)
            self._failures.forget(key)
            self._last_progress.pop(key, None)
            return await self._leaving.leave(key, model)
        self._leaving.waiting.discard(key)
        try:
            target = target_of(model, self._paths)
            self._catalog.refuse_conflict(target, self._paths)
        except StorageError as error:
            await self._downloads.cancel(key)
            return await self._report(key, _refused(model, error))
        record = self._records.get(key)
        if record is not None and await self._satisfies(record, target):
            return await self._keep(target, model, record)
        return await self._bring(target, model, record)

    async def _satisfies(self, record: Record, target: Target) -> bool:
        if record.fingerprint != target.fingerprint or record.path != str(target.path):
            return False
        return await asyncio.to_thread(record.intact)

    async def _keep(self, target: Target, model: Object, record: Record) -> Result | None:
        """The files are here. Say so, and read all of them again where somebody asked for it."""
        self._failures.forget(target.key)
        if record.keep != keeps_files(model):
            record = replace(record, keep=keeps_files(model))
            self._records.put(record)
        record, verifying = await self._verifying.advance(target, record)
        if not record.fingerprint:
            return await self._bring(target, model, record)  # damaged
        entry = entries.ready(record.config, record.warnings, record.verified, verifying)
        await self._status.set(target.key, c.NODE_MODEL_READY, entry)
        return Result(_RESYNC)

    async def _bring(self, target: Target, model: Object, record: Record | None) -> Result | None:
        key = target.key
        if target.how == "nothing":
            note = f"nothing to fetch: no package here serves vendor://{target.spec.container}/"
            await self._status.set(key, c.NODE_MODEL_READY, entries.ready(None, [note]))
            return Result(_RESYNC)
        failed = self._failures.get(target)
        job = self._downloads.get(key)
        if job is not None and job.fingerprint != target.fingerprint:
            await self._downloads.cancel(key)
            job = None
        if job is not None and job.result is not None:
            return await self._ended(target, model, job.result)
        if job is None:
            if failed is not None and not await self._try_again(target, failed):
                return await self._report(key, failed)
            if missing := self._missing_base(model):
                await self._status.set(key, c.NODE_MODEL_UPDATING, entries.waiting_for(missing))
                return Result(_RESYNC)
            job = await self._start(target)
        old = record.config if record is not None else None
        ahead = 0 if job.runner is not None else self._downloads.ahead_of(key)
        damage = record.verified if record is not None and not record.fingerprint else None
        entry = entries.updating(old, job.progress, ahead, failed, damage)
        await self._status.set(key, c.NODE_MODEL_UPDATING, entry)
        return None

    def _missing_base(self, model: Object) -> str:
        """What weights wait for, because they have to be compared with it; empty for nothing."""
        base = base_of(model)
        if base is None:
            return ""
        found = self._catalog.get(base)
        if found is None or on_a_claim(found) or self._base_folder(base):
            return ""
        return f"{described(base)}, its base model, on this node"

    def _base_folder(self, base: Key) -> str:
        record = self._records.get(base)
        return record.path if record is not None and record.intact() else ""

    async def _start(self, target: Target) -> Job:
        job = Job(target.key, target.fingerprint, lambda: self._task(target), str(target.path))
        await self._downloads.put(job)
        return job

    async def _task(self, target: Target) -> Task:
        """The worker's task, with the credentials as they are now."""
        spec = replace(target.spec, credentials=await self._credentials.read(target))
        reuse = [r.path for r in self._records if r.managed] if target.reuse else []
        weights = None
        if target.weights is not None:
            model = self._catalog.get(target.key)
            base = base_of(model) if model is not None else None
            weights = {**target.weights, "base": self._base_folder(base) if base else ""}
        return Task(
            how="local" if target.how == "local" else "download",
            spec=spec,
            destination=str(target.path),
            data_key=data_key(target.key),
            include=target.include,
            exclude=target.exclude,
            reuse=tuple(reuse),
            keep_replaced=bool(removal.pod_using(self._pods.list(), target.path, self._paths)),
            skip_parsing=target.skip_parsing,
            weights=weights,
            options=self._options,
        )

    async def _ended(self, target: Target, model: Object, result: Done | Failure) -> Result | None:
        job = self._downloads.get(target.key)
        await self._downloads.cancel(target.key)
        self.stats.ended(target.key, result, job.seconds if job is not None else 0.0)
        previous = self._records.get(target.key)
        if isinstance(result, Done):
            result = self._remember(target, model, result, previous)
        if isinstance(result, Failure):
            failed = self._failures.add(target, result, self._credentials.version(target.key))
            log.warning("%s: %s", described(target.key), result.message)
            return await self._report(target.key, failed)
        self._failures.forget(target.key)
        if previous is not None and previous.path != str(target.path):
            await self._leaving.erase(previous)
        log.info("%s is on this node: %s", described(target.key), target.path)
        self._model_changed(target.key)
        return None

    def _remember(
        self, target: Target, model: Object, done: Done, previous: Record | None
    ) -> Done | Failure:
        """Write down that the files are here; a disk that does not take it is a failure."""
        record = Record(
            namespace=target.key.namespace,
            name=target.key.name,
            uid=target.uid,
            path=str(target.path),
            fingerprint=target.fingerprint,
            revision=done.revision,
            managed=target.how == "download",
            keep=keeps_files(model),
            config=done.config,
            warnings=list(done.warnings),
            verified=previous.verified if previous is not None else None,
        )
        try:
            self._records.put(record)
        except OSError as error:
            return Failure(
                "DiskError",
                f"{self._root} can't be written: {error.strerror}",
                "make it writable and free some space; OME tries again by itself",
                retryable=True,
            )
        return done

    async def _report(self, key: Key, failed: Failed) -> Result | None:
        await self._status.set(key, c.NODE_MODEL_FAILED, entries.failed(failed))
        due = self._failures.due_in(failed)
        return Result(SECRET_LOOK if due is None else min(SECRET_LOOK, max(0.1, due)))

    async def _try_again(self, target: Target, failed: Failed) -> bool:
        due = self._failures.due_in(failed)
        if due is not None and due <= 0:
            return True
        if failed.failure.retryable or not target.secret:
            return False
        await self._credentials.read(target)
        if self._credentials.version(target.key) == failed.secret_version:
            return False
        self._failures.forget(target.key)
        return True

    def _in_use_before(self, folder: Path, moment: float) -> str:
        return removal.pod_using(self._pods.list(), folder, self._paths, before=moment)

    async def _rank(self, keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        models = {key: self._catalog.get(key) for key in keys}
        return await rank_by_need(self._client, models)


def _refused(model: Object, error: StorageError) -> Failed:
    """A spec that can't be: said as a failure that only an edit cures."""
    since = str(metadata(model).get("creationTimestamp") or "")
    failure = Failure(error.reason, error.message, error.remedy)
    return Failed(failure, "", 0, 1, entries.parse_timestamp(since), None, "")
