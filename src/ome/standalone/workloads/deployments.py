"""The Deployment controller: looks, asks :mod:`deployment` for a plan, carries it out.

ReplicaSets are changed with the version they were read at, so a plan made from a cache that is
behind is refused by the server and made anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ome.apimachinery.errors import AlreadyExists, NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    controller_of,
    is_deleting,
    metadata,
    owner_reference,
    uid_of,
)
from ome.apimachinery.resources import DEPLOYMENTS, REPLICA_SETS
from ome.apimachinery.selectors import label_selector
from ome.kube import Controller, Result
from ome.standalone.workloads import deployment as rules
from ome.standalone.workloads.shared import BY_OWNER, BY_UID, MANAGER, Shared


class Deployments:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._deployments = shared.informer(DEPLOYMENTS)
        self.controller = Controller("deployments", self.reconcile)
        self._deployments.add_handler(
            lambda _event, old, new: self.controller.enqueue((new if new is not None else old).key)
        )
        shared.replica_sets.add_handler(self._on_replica_set)
        shared.pods.add_handler(self._on_pod)

    def _on_replica_set(self, _event: str, old: Any, new: Any) -> None:
        rs = new if new is not None else old
        reference = controller_of(rs)
        if reference is not None:
            self._enqueue_uid(reference.get("uid") or "")
            return
        for found in self._deployments.snapshots(rs.key.namespace):
            selector = label_selector((found.get("spec") or {}).get("selector"))
            if selector.matches(rs.metadata.get("labels") or {}):
                self.controller.enqueue(found.key)

    def _on_pod(self, event: str, old: Any, _new: Any) -> None:
        """Only the end of a pod matters here: ``Recreate`` waits for it."""
        if event != "DELETED":
            return
        reference = controller_of(old)
        if reference is None or reference.get("kind") != "ReplicaSet":
            return
        for rs in self._shared.replica_sets.by_index(BY_UID, reference.get("uid") or ""):
            owner = controller_of(rs)
            if owner is not None:
                self._enqueue_uid(owner.get("uid") or "")

    def _enqueue_uid(self, uid: str) -> None:
        for key in self._deployments.keys_by_index(BY_UID, uid):
            self.controller.enqueue(key)

    async def reconcile(self, key: Key) -> Result | None:
        deployment = self._deployments.get(*key)
        if deployment is None or is_deleting(deployment):
            return None
        sets = await self._own(deployment)
        new = rules.current(deployment, sets)
        old_pods = sum(
            len(self._shared.pods.keys_by_index(BY_OWNER, uid_of(rs)))
            for rs in sets
            if rs is not new
        )
        plan = rules.plan(deployment, sets, old_pods, time.time())
        by_name = {metadata(rs)["name"]: rs for rs in sets}
        if plan.create is not None:
            await self._create(deployment, plan.create)
        for name in {*plan.scale, *(n for n in plan.annotate if n)}:
            await self._change(
                deployment, by_name[name], plan.scale.get(name), plan.annotate.get(name)
            )
        for name in plan.delete:
            await self._delete(by_name[name])
        if annotations := plan.annotate.get(""):
            await self._shared.patch(
                DEPLOYMENTS, key, {"metadata": {"annotations": dict(annotations)}}
            )
        await self._shared.write_status(DEPLOYMENTS, deployment, plan.status)
        return Result(requeue_after=plan.look_again) if plan.look_again else None

    async def _own(self, deployment: Object) -> list[Object]:
        """The Deployment's ReplicaSets; orphans that match are adopted, others let go."""
        selector = label_selector(deployment["spec"].get("selector"))
        namespace = metadata(deployment)["namespace"]
        own: list[Object] = []
        for rs in self._shared.replica_sets.by_index(BY_OWNER, uid_of(deployment)):
            own.append(rs)
        for rs in self._shared.replica_sets.by_index(BY_OWNER, ""):
            meta = metadata(rs)
            if meta.get("namespace") != namespace or is_deleting(rs):
                continue
            if selector.matches(meta.get("labels") or {}):
                own.append(await self._adopt(deployment, rs))
        return own

    async def _adopt(self, deployment: Object, rs: Object) -> Object:
        meta = metadata(rs)
        references = [
            *(meta.get("ownerReferences") or ()),
            owner_reference(deployment),
        ]
        patch = {"metadata": {"uid": uid_of(rs), "ownerReferences": references}}
        return await self._shared.patch(REPLICA_SETS, Key(meta["namespace"], meta["name"]), patch)

    async def _create(self, deployment: Object, rs: Object) -> None:
        meta = metadata(rs)
        try:
            await self._shared.client.create(
                REPLICA_SETS, rs, namespace=meta["namespace"], field_manager=MANAGER
            )
        except AlreadyExists:
            live = await self._shared.client.get(REPLICA_SETS, meta["name"], meta["namespace"])
            owner = controller_of(live)
            if owner is not None and owner.get("uid") == uid_of(deployment):
                return  # our cache is behind: it comes
            raise
        self._shared.events.normal(
            deployment,
            "ScalingReplicaSet",
            f"Scaled up replica set {meta['name']} to {rs['spec']['replicas']}",
        )

    async def _change(
        self,
        deployment: Object,
        rs: Object,
        size: int | None,
        annotations: Mapping[str, str] | None,
    ) -> None:
        meta = metadata(rs)
        patch: Object = {
            "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        }
        if annotations:
            patch["metadata"]["annotations"] = dict(annotations)
        if size is not None:
            patch["spec"] = {"replicas": size}
        await self._shared.patch(REPLICA_SETS, Key(meta["namespace"], meta["name"]), patch)
        if size is not None:
            before = rules.replicas_of(rs.get("spec") or {})
            verb = "up" if size > before else "down"
            self._shared.events.normal(
                deployment,
                "ScalingReplicaSet",
                f"Scaled {verb} replica set {meta['name']} from {before} to {size}",
            )

    async def _delete(self, rs: Object) -> None:
        meta = metadata(rs)
        try:
            await self._shared.client.delete(
                REPLICA_SETS, meta["name"], meta["namespace"], uid=uid_of(rs)
            )
        except NotFound:
            return
