"""Reading all bytes of a model again because somebody asked for it.

The model stays Ready while that lasts, and its record remembers the answer, so that one question is
answered once. A model that turns out damaged is not what its record says any more: the agent then
brings it again, which fetches what is damaged and nothing else.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from ome.agent.downloads import Downloads, Job
from ome.agent.identity import described
from ome.agent.messages import Done, Failure, Task
from ome.agent.records import Record, Records
from ome.agent.stats import Stats
from ome.agent.target import Target
from ome.storage import Progress

log = logging.getLogger("ome.agent")


class Verifying:
    """Works through the queue of downloads, so that it never adds to their load."""

    def __init__(self, records: Records, downloads: Downloads, stats: Stats) -> None:
        self._records = records
        self._downloads = downloads
        self._stats = stats

    async def advance(self, target: Target, record: Record) -> tuple[Record, Progress | None]:
        """The record as it is now, and the progress where the work goes on."""
        if not target.verify or (record.verified or {}).get("asked") == target.verify:
            await self._downloads.cancel(target.key)
            return record, None
        if not record.managed:
            note = "not verified: OME did not download these files and knows no hashes of them"
            return self._answer(record, {"asked": target.verify, "note": note}), None
        fingerprint = f"verify {target.verify}"
        job = self._downloads.get(target.key)
        if job is None or job.fingerprint != fingerprint:

            async def task() -> Task:
                return Task("verify", target.spec, record.path)

            job = Job(target.key, fingerprint, task, record.path)
            await self._downloads.put(job)
        if job.result is None:
            return record, job.progress
        await self._downloads.cancel(target.key)
        return self._concluded(target, record, job.result), None

    def _concluded(self, target: Target, record: Record, result: Done | Failure) -> Record:
        self._stats.verified(target.key, result)
        found: dict[str, Any] = {"asked": target.verify}
        if isinstance(result, Failure):
            found["note"] = f"not verified: {result.message}"
        else:
            found |= result.verified or {}
        if found.get("damaged"):
            log.warning("%s is damaged on disk: %s", described(target.key), found["damaged"])
            record = replace(record, fingerprint="")
        return self._answer(record, found)

    def _answer(self, record: Record, found: dict[str, Any]) -> Record:
        record = replace(record, verified=found)
        self._records.put(record)
        return record
