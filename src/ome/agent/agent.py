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
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome.agent import entries, removal
from ome.agent.downloads import Downloads, Job
from ome.agent.failures import SECRET_LOOK, Failed, Failures
from ome.agent.messages import Done, Failure, Task
from ome.agent.paths import PathMap
from ome.agent.process import run_worker
from ome.agent.ranking import rank_by_need
from ome.agent.records import Record, Records
from ome.agent.status import NodeStatus
from ome.agent.target import Target, data_key, keeps_files, label_key, target_of, wanted_here
from ome.api import constants as c
from ome.api.resources import BASE_MODELS, CLUSTER_BASE_MODELS
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Key, Object, key_of, labels_of, metadata
from ome.apimachinery.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from ome.kube import Client, Controller, Informer, Result
from ome.storage.credentials import decode_secret
from ome.storage.errors import StorageError

log = logging.getLogger("ome.agent")
_RESYNC = 300.0
_POD_LOOK = 15.0


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
        self._controller = Controller("model-agent", self._reconcile, workers=4)
        self._cluster_models = Informer(client, CLUSTER_BASE_MODELS)
        self._models = Informer(client, BASE_MODELS)
        by_name = f"metadata.name={node_name}"
        self._nodes = Informer(client, NODES, field_selector=by_name)
        self._maps = Informer(client, CONFIG_MAPS, namespace, field_selector=by_name)
        self._pods = Informer(client, PODS, field_selector=f"spec.nodeName={node_name}")
        self._last_progress: dict[Key, float] = {}
        self._secret_versions: dict[Key, str] = {}
        self._leaving: set[Key] = set()

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
        for model in self._all_models():
            job = self._downloads.get(key_of(model))
            if job is not None and job.result is None and job.progress.updated:
                found[key_of(model)] = entries.progress_of(job.progress)
        return found

    def controllers(self) -> list[Controller]:
        return [self._controller]

    # -- what wakes it up ---------------------------------------------------------------------

    def informers(self) -> list[Informer]:
        """What it has read, or not yet: for readiness and metrics."""
        return [self._cluster_models, self._models, self._nodes, self._maps, self._pods]

    def _begin(self) -> None:
        self._saw_map()
        self._saw_node()
        for informer in (self._cluster_models, self._models):
            informer.add_handler(lambda _, old, new: self._controller.enqueue((new or old).key))
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
        for key in self._leaving:
            self._controller.enqueue(key)

    def _saw_map(self) -> None:
        self._status.saw_config_map(self._maps.get(self._namespace, self._node_name))

    def _saw_node(self) -> None:
        self._status.saw_labels(labels_of(self._nodes.get("", self._node_name) or {}))

    def _enqueue_all(self) -> None:
        for model in self._all_models():
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
            except (OSError, StorageError) as error:
                log.warning("could not clear away leftovers under %s: %s", self._root, error)
            await asyncio.sleep(_RESYNC)
            self._enqueue_all()

    async def _collect(self) -> None:
        models = self._all_models()
        data = {data_key(key_of(m)) for m in models} | {data_key(r.key) for r in self._records}
        labels = {label_key(key_of(m)) for m in models} | {label_key(r.key) for r in self._records}
        for name in [n for n in self._status.entries if n not in data]:
            await self._status.remove_data_key(name)
        for name in [n for n in self._status.labels if _is_model_label(n) and n not in labels]:
            await self._status.remove_label(name)
        wanted = frozenset(self._wanted_paths())
        gone = await asyncio.to_thread(removal.collect, self._root, wanted, self._in_use_before)
        for path in gone:
            log.info("deleted %s: nobody wants it any more", path)

    # -- one model ----------------------------------------------------------------------------

    async def _reconcile(self, key: Key) -> Result | None:
        model = self._model(key)
        node = self._nodes.get("", self._node_name)
        if node is None:
            return Result(5.0)  # the node registers itself a moment later
        if model is None or not wanted_here(model, node):
            return await self._leave(key, model)
        self._leaving.discard(key)
        try:
            target = target_of(model, self._paths)
            self._refuse_conflict(target)
        except StorageError as error:
            await self._downloads.cancel(key)
            return await self._report(key, _refused(model, error))
        return await self._bring(target, model)

    async def _bring(self, target: Target, model: Object) -> Result | None:
        key = target.key
        record = self._records.get(key)
        if record is not None and await self._satisfies(record, target):
            await self._downloads.cancel(key)
            self._failures.forget(key)
            keep = keeps_files(model)
            if record.keep != keep:
                self._records.put(replace(record, keep=keep))
            await self._status.set(
                key, c.NODE_MODEL_READY, entries.ready(record.config, record.warnings)
            )
            return Result(_RESYNC)
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
            job = await self._start(target)
        old = record.config if record is not None else None
        ahead = 0 if job.runner is not None else self._downloads.ahead_of(key)
        entry = entries.updating(old, job.progress, ahead, failed)
        await self._status.set(key, c.NODE_MODEL_UPDATING, entry)
        return None

    async def _satisfies(self, record: Record, target: Target) -> bool:
        if record.fingerprint != target.fingerprint or record.path != str(target.path):
            return False
        return await asyncio.to_thread(record.intact)

    async def _start(self, target: Target) -> Job:
        job = Job(target.key, target.fingerprint, lambda: self._task(target), str(target.path))
        await self._downloads.put(job)
        return job

    async def _task(self, target: Target) -> Task:
        """The worker's task, with the credentials as they are now."""
        spec = replace(target.spec, credentials=await self._credentials(target))
        reuse = [r.path for r in self._records if r.managed] if target.reuse else []
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
            options=self._options,
        )

    async def _ended(self, target: Target, model: Object, result: Done | Failure) -> Result | None:
        await self._downloads.cancel(target.key)
        if isinstance(result, Failure):
            version = self._secret_versions.get(target.key, "")
            failed = self._failures.add(target, result, version)
            log.warning("model %s: %s", target.key, result.message)
            return await self._report(target.key, failed)
        previous = self._records.get(target.key)
        self._records.put(
            Record(
                namespace=target.key.namespace,
                name=target.key.name,
                uid=target.uid,
                path=str(target.path),
                fingerprint=target.fingerprint,
                revision=result.revision,
                managed=target.how == "download",
                keep=keeps_files(model),
                config=result.config,
                warnings=list(result.warnings),
            )
        )
        self._failures.forget(target.key)
        if previous is not None and previous.path != str(target.path):
            await self._erase(previous)
        log.info("model %s is on this node: %s", target.key, target.path)
        return await self._bring(target, model)

    async def _report(self, key: Key, failed: Failed) -> Result | None:
        await self._status.set(key, c.NODE_MODEL_FAILED, entries.failed(failed))
        due = self._failures.due_in(failed)
        return Result(max(0.1, due)) if due is not None else Result(SECRET_LOOK)

    async def _try_again(self, target: Target, failed: Failed) -> bool:
        due = self._failures.due_in(failed)
        if due is not None:
            return due <= 0
        if not target.secret:
            return False
        await self._credentials(target)
        if self._secret_versions.get(target.key, "") == failed.secret_version:
            return False
        self._failures.forget(target.key)
        return True

    async def _credentials(self, target: Target) -> dict[str, str]:
        """All of the model's Secret; ``token`` is what its parameters say is the token in it.

        Objects exist that carry their token as a parameter: it is used where no Secret has one.
        """
        token = target.spec.parameters.get("token", "")
        fallback = {"token": token} if token else {}
        if not target.secret:
            return fallback
        namespace = target.key.namespace or self._namespace
        try:
            secret = await self._client.get(SECRETS, target.secret, namespace)
        except NotFound:
            self._secret_versions[target.key] = "absent"
            return fallback
        self._secret_versions[target.key] = metadata(secret).get("resourceVersion") or ""
        found = decode_secret(secret.get("data") or {})
        if target.secret_key in found:
            found["token"] = found[target.secret_key]
        return {**fallback, **found}

    # -- a model that is not wanted any more --------------------------------------------------

    async def _leave(self, key: Key, model: Object | None) -> Result | None:
        await self._downloads.cancel(key)
        self._failures.forget(key)
        self._last_progress.pop(key, None)
        await self._status.unlabel(key)
        record = self._records.get(key)
        keep = keeps_files(model) if model is not None else bool(record and record.keep)
        if record is not None and record.managed and not keep:
            pod = removal.pod_using(self._pods.list(), Path(record.path), self._paths)
            if pod and not self._shared(record):
                self._leaving.add(key)
                await self._say_leaving(key, pod)
                return Result(_POD_LOOK)
            await self._erase(record)
        elif record is None and model is not None:
            await self._drop_partial(model)
        self._leaving.discard(key)
        self._records.drop(key)
        await self._status.remove(key)
        return None

    async def _say_leaving(self, key: Key, pod: str) -> None:
        """Keep the key (the controller waits for its absence), without making it ready."""
        if data_key(key) in self._status.entries:
            await self._status.tell(key, c.NODE_MODEL_UPDATING, entries.leaving(pod))

    async def _erase(self, record: Record) -> None:
        """Delete a record's files, unless another model wants them too."""
        if not record.managed or self._shared(record):
            return
        gone = await asyncio.to_thread(removal.erase, Path(record.path), self._paths.roots)
        if gone:
            log.info("deleted %s: model %s does not want it any more", record.path, record.key)
        else:
            log.warning("left %s alone: it holds files that OME did not download", record.path)

    async def _drop_partial(self, model: Object) -> None:
        """What an unfinished download of the model left behind."""
        try:
            target = target_of(model, self._paths)
        except StorageError:
            return
        path = target.path
        if target.how != "download" or os.path.lexists(path) or path in self._wanted_paths():
            return
        await asyncio.to_thread(removal.erase, path, self._paths.roots)

    def _shared(self, record: Record) -> bool:
        others = (r for r in self._records if r.key != record.key)
        if any(r.path == record.path for r in others):
            return True
        return Path(record.path) in self._wanted_paths(but=record.key)

    def _refuse_conflict(self, target: Target) -> None:
        """Two models may share a folder only if they want the same in it; the older one wins."""
        for model in self._all_models():
            if key_of(model) == target.key or not self._wanted(model):
                continue
            try:
                other = target_of(model, self._paths)
            except StorageError:
                continue
            if other.path != target.path or other.fingerprint == target.fingerprint:
                continue
            if (other.created, str(other.key)) < (target.created, str(target.key)):
                raise _PathConflict(
                    f"{target.path} is already the folder of model {other.key} ({other.spec.uri})",
                    remedy="give one of the two another spec.storage.path",
                )

    # -- looking things up --------------------------------------------------------------------

    def _all_models(self) -> list[Object]:
        return [*self._cluster_models.list(), *self._models.list()]

    def _model(self, key: Key) -> Object | None:
        source = self._models if key.namespace else self._cluster_models
        return source.get(key.namespace, key.name)

    def _wanted(self, model: Object) -> bool:
        node = self._nodes.get("", self._node_name)
        return node is not None and wanted_here(model, node)

    def _wanted_paths(self, but: Key | None = None) -> set[Path]:
        found = set()
        for model in self._all_models():
            if key_of(model) == but or not self._wanted(model):
                continue
            try:
                found.add(target_of(model, self._paths).path)
            except StorageError:
                continue
        return found

    def _in_use_before(self, folder: Path, moment: float) -> str:
        return removal.pod_using(self._pods.list(), folder, self._paths, before=moment)

    async def _rank(self, keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        models = {key: self._model(key) for key in keys}
        return await rank_by_need(self._client, models)


class _PathConflict(StorageError):  # noqa: N818 - the reason that users see
    reason = "PathConflict"


def _is_model_label(name: str) -> bool:
    local = name.partition("/")[2]
    return local.startswith("clusterbasemodel.") or ".basemodel." in local


def _refused(model: Object, error: StorageError) -> Failed:
    """A spec that can't be: said as a failure that only an edit cures."""
    since = str(metadata(model).get("creationTimestamp") or "")
    failure = Failure(error.reason, error.message, error.remedy)
    return Failed(failure, "", 0, 1, entries.parse_timestamp(since), None, "")
