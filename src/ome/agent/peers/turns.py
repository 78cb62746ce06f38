"""Whose turn it is to read a model from its origin: one Lease for each model.

Whoever takes it renews it as long as its download moves, with how far it is; a turn that nobody
renews for :data:`HOLD_SECONDS` is anybody's. Times are measured by watching the Lease change, so
the clocks of two nodes need not agree.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ome.apimachinery.errors import AlreadyExists, Conflict, NotFound
from ome.apimachinery.objects import Object, annotations_of
from ome.apimachinery.resources import LEASES
from ome.kube import Client

HOLD_SECONDS = 60.0
A_PROGRESS = "models.ome.io/progress"
A_MODEL = "models.ome.io/model"


@dataclass(frozen=True, slots=True)
class Turn:
    """``mine``, or who has it and how far that node is (in percent, if it has said so)."""

    mine: bool
    holder: str = ""
    progress: str = ""


@dataclass(slots=True)
class _Seen:
    version: str
    at: float


@dataclass(slots=True)
class Turns:
    """``hold`` is how long a turn lasts without a sign of its holder."""

    client: Client
    namespace: str
    node: str
    hold: float = HOLD_SECONDS
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)

    async def take(self, model: str, progress: str = "") -> Turn:
        """Takes or renews the turn for a model. Raises what the API answers, but for conflicts."""
        name = lease_name(model)
        try:
            lease = await self.client.get(LEASES, name, self.namespace)
        except NotFound:
            return await self._create(name, model, progress)
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
        if holder not in ("", self.node) and not self._expired(name, lease):
            return Turn(False, holder, annotations_of(lease).get(A_PROGRESS, ""))
        try:
            await self.client.update(LEASES, self._record(name, model, progress, lease))
        except (Conflict, NotFound):
            return Turn(False, holder)
        return Turn(True, self.node)

    async def give_back(self, model: str) -> None:
        """Ends this node's turn, so that another one may begin at once."""
        name = lease_name(model)
        try:
            lease = await self.client.get(LEASES, name, self.namespace)
            if (lease.get("spec") or {}).get("holderIdentity") != self.node:
                return
            uid = str((lease.get("metadata") or {}).get("uid") or "")
            await self.client.delete(LEASES, name, self.namespace, uid=uid)
        except (NotFound, Conflict):
            return

    async def _create(self, name: str, model: str, progress: str) -> Turn:
        try:
            await self.client.create(LEASES, self._record(name, model, progress, None))
        except AlreadyExists:
            return Turn(False)
        return Turn(True, self.node)

    def _expired(self, name: str, lease: Object) -> bool:
        version = str((lease.get("metadata") or {}).get("resourceVersion") or "")
        seen = self._seen.get(name)
        if seen is None or seen.version != version:
            self._seen[name] = _Seen(version, self.clock())
            return False
        return self.clock() - seen.at > self.hold

    def _record(self, name: str, model: str, progress: str, old: Object | None) -> Object:
        meta: Object = {"name": name, "namespace": self.namespace}
        if old is not None:
            meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        meta["annotations"] = {A_MODEL: model, **({A_PROGRESS: progress} if progress else {})}
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": meta,
            "spec": {
                "holderIdentity": self.node,
                "leaseDurationSeconds": max(1, int(self.hold)),
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }


def lease_name(model: str) -> str:
    """A name of fixed length for whatever names a version of a model."""
    return f"ome-model-{hashlib.sha256(model.encode()).hexdigest()[:16]}"
