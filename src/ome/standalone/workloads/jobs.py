"""The Job controller: looks, asks :mod:`job` for a plan, carries it out."""

from __future__ import annotations

import time
from typing import Any

from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Key, controller_of, is_deleting, metadata, uid_of
from ome.apimachinery.resources import JOBS, PODS
from ome.kube import Controller, Result
from ome.standalone.workloads import job as rules
from ome.standalone.workloads.expectations import Expectations
from ome.standalone.workloads.shared import BY_OWNER, BY_UID, MANAGER, Shared


class Jobs:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._jobs = shared.informer(JOBS)
        self._expectations = Expectations()
        self.controller = Controller("jobs", self.reconcile)
        self._jobs.add_handler(
            lambda _event, old, new: self.controller.enqueue((new if new is not None else old).key)
        )
        shared.pods.add_handler(self._on_pod)

    def _on_pod(self, _event: str, old: Any, new: Any) -> None:
        reference = controller_of(new if new is not None else old)
        if reference is not None and reference.get("kind") == "Job":
            for key in self._jobs.keys_by_index(BY_UID, reference.get("uid") or ""):
                self.controller.enqueue(key)

    async def reconcile(self, key: Key) -> Result | None:
        job = self._jobs.get(*key)
        if job is None or is_deleting(job):
            self._expectations.forget(key)
            return None
        pods = self._shared.pods
        settled = self._expectations.satisfied(
            key,
            exists=lambda uid: bool(pods.keys_by_index(BY_UID, uid)),
            leaving=lambda uid: all(is_deleting(p) for p in pods.by_index(BY_UID, uid)),
        )
        if not settled:
            return None  # the cache is behind: its next event brings us back
        own = pods.by_index(BY_OWNER, uid_of(job))
        plan = rules.plan(job, own, time.time())
        if plan.remove:
            await self._remove(key, uid_of(job))
            return None
        # The status first: what ended the Job must be on record before pods go.
        await self._shared.write_status(JOBS, job, plan.status)
        by_name = {metadata(p)["name"]: uid_of(p) for p in own}
        for name in plan.delete:
            try:
                await self._shared.client.delete(PODS, name, key.namespace, uid=by_name[name])
            except NotFound:
                continue
            self._expectations.deleted(key, by_name[name])
        for _ in range(plan.create):
            try:
                pod = await self._shared.client.create(
                    PODS, rules.pod_of(job), namespace=key.namespace, field_manager=MANAGER
                )
            except StatusError as error:
                self._shared.events.warning(job, "FailedCreate", f"Error creating: {error}")
                raise
            self._expectations.created(key, uid_of(pod))
            name = metadata(pod)["name"]
            self._shared.events.normal(job, "SuccessfulCreate", f"Created pod: {name}")
        return Result(requeue_after=max(0.1, plan.look_again)) if plan.look_again else None

    async def _remove(self, key: Key, uid: str) -> None:
        try:
            await self._shared.client.delete(JOBS, key.name, key.namespace, uid=uid)
        except NotFound:
            return
