"""What happens to the files of a model that this node does not want any more.

They go, unless the model's label keeps them, another model wants them, or a pod has them mounted:
then the node says for which pod it waits, and looks again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from ome.agent import entries, removal
from ome.agent.catalog import Catalog
from ome.agent.identity import data_key, described
from ome.agent.paths import PathMap
from ome.agent.records import Record, Records
from ome.agent.status import NodeStatus
from ome.agent.target import keeps_files, target_of
from ome.api import constants as c
from ome.apimachinery.objects import Key, Object
from ome.kube import Result
from ome.storage.errors import StorageError

log = logging.getLogger("ome.agent")
_POD_LOOK = 15.0


class Leaving:
    """``pods`` gives the pods of this node."""

    def __init__(
        self,
        catalog: Catalog,
        paths: PathMap,
        records: Records,
        status: NodeStatus,
        pods: Callable[[], list[Object]],
    ) -> None:
        self._catalog = catalog
        self._paths = paths
        self._records = records
        self._status = status
        self._pods = pods
        self.waiting: set[Key] = set()
        """Models whose files a pod still uses."""

    async def leave(self, key: Key, model: Object | None) -> Result | None:
        """Takes a model off this node; its download must have been stopped."""
        await self._status.unlabel(key)
        record = self._records.get(key)
        keep = keeps_files(model) if model is not None else bool(record and record.keep)
        if record is not None and record.managed and not keep:
            pod = removal.pod_using(self._pods(), Path(record.path), self._paths)
            if pod and not self._shared(record):
                self.waiting.add(key)
                await self._say_leaving(key, pod)
                return Result(_POD_LOOK)
            await self.erase(record)
        elif record is None and model is not None:
            await self._drop_partial(model)
        self.waiting.discard(key)
        self._records.drop(key)
        await self._status.remove(key)
        return None

    async def erase(self, record: Record) -> None:
        """Delete a record's files, unless another model wants them too."""
        if not record.managed or self._shared(record):
            return
        gone = await asyncio.to_thread(removal.erase, Path(record.path), self._paths.roots)
        if gone:
            log.info("deleted %s: %s does not want it any more", record.path, described(record.key))
        else:
            log.warning("left %s alone: it holds files that OME did not download", record.path)

    async def _say_leaving(self, key: Key, pod: str) -> None:
        """Keep the key (the controller waits for its absence), without making it ready."""
        if data_key(key) in self._status.entries:
            await self._status.tell(key, c.NODE_MODEL_UPDATING, entries.leaving(pod))

    async def _drop_partial(self, model: Object) -> None:
        """What an unfinished download of the model left behind."""
        try:
            target = target_of(model, self._paths)
        except StorageError:
            return
        path = target.path
        if target.how != "download" or os.path.lexists(path):
            return
        if path not in self._catalog.wanted_paths(self._paths):
            await asyncio.to_thread(removal.erase, path, self._paths.roots)

    def _shared(self, record: Record) -> bool:
        others = (r for r in self._records if r.key != record.key)
        if any(r.path == record.path for r in others):
            return True
        return Path(record.path) in self._catalog.wanted_paths(self._paths, but=record.key)
