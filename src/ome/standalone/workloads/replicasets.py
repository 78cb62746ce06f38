"""The ReplicaSet controller: as many active pods as wanted, no more and no fewer.

* Pods belong by owner reference. Orphans that match the selector are adopted, own pods that no
  longer match are let go.
* Nothing is created or deleted before the cache shows what was created and deleted before
  (:mod:`expectations`), so a cache that is behind can't lead to a second copy.
* Pods are created one after the other, and the first refusal ends the round.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import (
    Key,
    Object,
    controller_of,
    is_deleting,
    key_of,
    metadata,
    owner_reference,
    uid_of,
)
from ome.apimachinery.resources import PODS, REPLICA_SETS
from ome.apimachinery.selectors import label_selector
from ome.kube import Controller, Result
from ome.standalone.workloads import pods as podrules
from ome.standalone.workloads.expectations import Expectations
from ome.standalone.workloads.shared import BY_OWNER, BY_UID, MANAGER, Shared

MAX_BURST = 500


def status_of(
    rs: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    failure: str,
    now: float,
) -> tuple[Object, float | None]:
    """The status, and after how many seconds a pod becomes available just by waiting."""
    spec = rs.get("spec") or {}
    minimum = float(spec.get("minReadySeconds") or 0)
    template_labels = metadata(spec.get("template") or {}).get("labels") or {}
    ready = [p for p in pods if podrules.is_ready(p)]
    times = [t for p in ready if (t := podrules.available_at(p, minimum)) is not None]
    later = [t - now for t in times if t > now]
    labelled = [
        p
        for p in pods
        if all((metadata(p).get("labels") or {}).get(k) == v for k, v in template_labels.items())
    ]
    counts = {
        "fullyLabeledReplicas": len(labelled),
        "readyReplicas": len(ready),
        "availableReplicas": len(times) - len(later),
    }
    status: Object = {
        "replicas": len(pods),
        "observedGeneration": metadata(rs).get("generation") or 0,
    }
    status |= {k: v for k, v in counts.items() if v}
    before: list[Object] = [dict(c) for c in (rs.get("status") or {}).get("conditions") or ()]
    if failure:
        status["conditions"] = podrules.set_condition(
            before, "ReplicaFailure", "True", "FailedCreate", failure, podrules.timestamp(now)
        )
    return status, min(later, default=None)


class ReplicaSets:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._sets, self._pods = shared.replica_sets, shared.pods
        self._expectations = Expectations()
        self._failures: dict[Key, str] = {}
        self.controller = Controller("replicasets", self.reconcile)
        self._sets.add_handler(self._on_set)
        self._pods.add_handler(self._on_pod)

    def _on_set(self, event: str, old: Any, new: Any) -> None:
        rs = new if new is not None else old
        if event == "DELETED":
            self._expectations.forget(rs.key)
            self._failures.pop(rs.key, None)
        self.controller.enqueue(rs.key)

    def _on_pod(self, _event: str, old: Any, new: Any) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            reference = controller_of(pod)
            if reference is not None:
                for key in self._sets.keys_by_index(BY_UID, reference.get("uid") or ""):
                    self.controller.enqueue(key)
            elif pod is new:
                self._offer(pod)

    def _offer(self, pod: Any) -> None:
        """An orphan may belong to any ReplicaSet of its namespace."""
        for rs in self._sets.snapshots(pod.key.namespace):
            selector = label_selector((rs.get("spec") or {}).get("selector"))
            if selector.matches(pod.metadata.get("labels") or {}):
                self.controller.enqueue(rs.key)

    async def reconcile(self, key: Key) -> Result | None:
        rs = self._sets.get(*key)
        if rs is None:
            return None
        settled = self._expectations.satisfied(
            key,
            exists=lambda uid: bool(self._pods.keys_by_index(BY_UID, uid)),
            leaving=self._leaving,
        )
        pods = await self._claim(rs)
        active = [p for p in pods if podrules.is_active(p)]
        failure = self._failures.get(key, "")
        error: StatusError | None = None
        if settled and not is_deleting(rs):
            try:
                await self._manage(key, rs, active)
                failure = ""
                self._failures.pop(key, None)
            except StatusError as problem:
                failure, error = str(problem), problem
                self._failures[key] = failure
        status, later = status_of(rs, active, failure, time.time())
        await self._shared.write_status(REPLICA_SETS, rs, status)
        if error is not None:
            raise error
        return Result(requeue_after=later + 0.05) if later is not None else None

    def _leaving(self, uid: str) -> bool:
        found = self._pods.by_index(BY_UID, uid)
        return not found or is_deleting(found[0])

    async def _claim(self, rs: Object) -> list[Object]:
        """The pods that are this ReplicaSet's, after adopting and releasing."""
        selector = label_selector((rs.get("spec") or {}).get("selector"))
        own: list[Object] = []
        for pod in self._pods.by_index(BY_OWNER, uid_of(rs)):
            if selector.matches(metadata(pod).get("labels") or {}):
                own.append(pod)
            elif not is_deleting(rs) and not is_deleting(pod):
                await self._release(rs, pod)
        if is_deleting(rs):
            return own
        for pod in self._pods.by_index(BY_OWNER, ""):
            meta = metadata(pod)
            if meta.get("namespace") != metadata(rs)["namespace"] or not podrules.is_active(pod):
                continue
            if selector.matches(meta.get("labels") or {}):
                references = [*(meta.get("ownerReferences") or ()), owner_reference(rs)]
                own.append(await self._set_owners(pod, references))
        return own

    async def _release(self, rs: Object, pod: Object) -> None:
        left = [r for r in metadata(pod).get("ownerReferences") or () if r["uid"] != uid_of(rs)]
        await self._set_owners(pod, left)

    async def _set_owners(self, pod: Object, references: list[Object]) -> Object:
        patch = {"metadata": {"uid": uid_of(pod), "ownerReferences": references}}
        try:
            return await self._shared.patch(PODS, key_of(pod), patch)
        except NotFound:
            return pod

    async def _manage(self, key: Key, rs: Object, active: list[Object]) -> None:
        spec = rs.get("spec") or {}
        wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
        missing = wanted - len(active)
        if missing > 0:
            await self._create(key, rs, min(missing, MAX_BURST))
        elif missing < 0:
            for pod in sorted(active, key=podrules.deletion_rank)[:-missing]:
                await self._delete(key, rs, pod)

    async def _create(self, key: Key, rs: Object, count: int) -> None:
        template = podrules.from_template(
            (rs.get("spec") or {}).get("template") or {}, rs, key.namespace
        )
        for _ in range(count):
            # One after the other: the server is on this machine and each takes a millisecond. The
            # first that is refused ends the round.
            try:
                pod = await self._shared.client.create(
                    PODS, template, namespace=key.namespace, field_manager=MANAGER
                )
            except StatusError as error:
                self._shared.events.warning(rs, "FailedCreate", f"Error creating: {error}")
                raise
            self._expectations.created(key, uid_of(pod))
            self._shared.events.normal(
                rs, "SuccessfulCreate", f"Created pod: {metadata(pod)['name']}"
            )

    async def _delete(self, key: Key, rs: Object, pod: Object) -> None:
        name = metadata(pod)["name"]
        try:
            await self._shared.client.delete(PODS, name, key.namespace, uid=uid_of(pod))
        except NotFound:
            return
        self._expectations.deleted(key, uid_of(pod))
        self._shared.events.normal(rs, "SuccessfulDelete", f"Deleted pod: {name}")
