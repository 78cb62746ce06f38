"""Keeps the status of models and fine-tuned weights what the nodes report, and lets them go.

* ``status.state`` is Ready as soon as one node has the model, Failed where every node that tried
  has failed, else In_Transit; ``message`` is the one sentence that says what is going on.
* Metadata that the user left empty is filled into the spec from the first node that read the files.
* ``nodesFailed`` lists the nodes; the condition ``NodesFailed`` says for each why, and what helps.
* A model that is being deleted stays until no service uses it (condition ``InUse`` names them; the
  nodes keep the files until it is False) and until every living node has let go of its files. A
  node that is gone, or not ready for ten minutes, is not waited for; nor is one whose agent says
  nothing for an hour. Then an event names the nodes that may still have files.
* Fine-tuned weights are compared with their base model by the nodes, which have the files of both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    annotations_of,
    condition,
    is_deleting,
    key_of,
    metadata,
)
from ome.controllers.claims import Claimed, Claims, Inspector
from ome.controllers.cluster import Cluster, report_key
from ome.controllers.modelstate import ModelState, entry_of, missing_metadata
from ome.kube import Client, Events, PatchType, Result

log = logging.getLogger("ome.controllers.models")

MANAGER = "ome-models"
IN_USE = "InUse"
PROGRESS_SECONDS = 15.0
"""How often a status is written when only the progress has changed."""
PATIENCE_SECONDS = 600.0
"""How long a deletion waits for a node that is not ready."""
SILENCE_SECONDS = 3600.0
"""How long it waits for a node that is ready but whose agent does not do anything about it."""
LONGEST_SECONDS = 24 * 3600.0
"""How long it waits for a node that says what it waits for (a pod that uses the files)."""
LOOK_SECONDS = 30.0
NODES_FAILED = "NodesFailed"
WEIGHTS = "FineTunedWeight"
_MOST_TOLD = 5

_KINDS: Mapping[str, tuple[Any, str]] = {
    WEIGHTS: (o.FINE_TUNED_WEIGHTS, c.FINALIZER_WEIGHTS),
    "BaseModel": (o.BASE_MODELS, c.FINALIZER_BASE_MODEL),
    "ClusterBaseModel": (o.CLUSTER_BASE_MODELS, c.FINALIZER_CLUSTER_BASE_MODEL),
}


class Models:
    """The reconciler of one of the three kinds."""

    def __init__(
        self,
        kind: str,
        client: Client,
        cluster: Cluster,
        events: Events,
        progress_seconds: float = PROGRESS_SECONDS,
        inspector: Inspector | None = None,
    ) -> None:
        self.kind = kind
        self._claims = Claims(client, inspector)
        self._resource, self._finalizer = _KINDS[kind]
        self._informer = cluster.weights if kind == WEIGHTS else cluster.models[kind]
        self._client = client
        self._cluster = cluster
        self._events = events
        self._progress_seconds = progress_seconds
        self._written: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> Result | None:
        model = self._informer.get(key.namespace, key.name)
        if model is None:
            self._written.pop(key, None)
            return None
        if is_deleting(model):
            return await self._let_go(model)
        if self._finalizer not in (metadata(model).get("finalizers") or ()):
            await self._add_finalizer(model)
            return None  # the change comes back as an event
        state = self._cluster.model_state(model)
        claimed = None
        if _on_a_claim(model):
            claimed = await self._look_at_claim(model)
            state = ModelState(config=claimed.config)
        if await self._fill(model, state):
            return None
        again = await self._write(model, self._status(model, state, claimed))
        if claimed is not None and claimed.again is not None:
            return Result(claimed.again)
        return again

    async def _look_at_claim(self, model: Object) -> Claimed:
        """Weights on a claim are compared with nothing: no node has both."""
        if self.kind == WEIGHTS:
            return Claimed("Ready", "mounted from its claim, which is not examined")
        return await self._claims.look(model)

    async def _add_finalizer(self, model: Object) -> None:
        meta = metadata(model)
        patch = {
            "metadata": {
                "resourceVersion": meta["resourceVersion"],
                "finalizers": [*(meta.get("finalizers") or ()), self._finalizer],
            }
        }
        await self._patch(model, patch)

    async def _fill(self, model: Object, state: ModelState) -> bool:
        """Puts into the spec what the files say and the user did not."""
        if annotations_of(model).get(c.A_SKIP_CONFIG_PARSING, "").lower() == "true":
            return False
        patch = missing_metadata(model.get("spec") or {}, state.config)
        if not patch:
            return False
        version = {"resourceVersion": metadata(model)["resourceVersion"]}
        await self._patch(model, {"metadata": version, "spec": patch})
        log.info("%s %s: filled in %s", self.kind, key_of(model), ", ".join(sorted(patch)))
        return True

    async def _patch(self, model: Object, patch: Object) -> None:
        key = key_of(model)
        try:
            await self._client.patch(
                self._resource,
                key.name,
                patch,
                namespace=key.namespace,
                type=PatchType.MERGE,
                field_manager=MANAGER,
            )
        except NotFound:
            return

    # -- status -------------------------------------------------------------------------------

    def _status(self, model: Object, state: ModelState, claimed: Claimed | None) -> Object:
        return status_of(model, state, self._missing_base(model), claimed, now=_now())

    def _missing_base(self, model: Object) -> str:
        """What fine-tuned weights wait for before any node takes them."""
        reference = (model.get("spec") or {}).get("baseModelRef") or {}
        if self.kind != WEIGHTS or not reference.get("name"):
            return ""
        name, namespace = str(reference["name"]), str(reference.get("namespace") or "")
        kind = "BaseModel" if namespace else "ClusterBaseModel"
        if self._cluster.model(kind, name, namespace) is not None:
            return ""
        key = Key(namespace, name)
        return f"waiting for the base model: there is no {kind} {key} (spec.baseModelRef)"

    async def _write(self, model: Object, status: Object) -> Result | None:
        old = model.get("status") or {}
        if old == status:
            return None
        key = key_of(model)
        clock = asyncio.get_running_loop().time()
        if _only_progress(old, status):
            every = self._progress_seconds
            wait = self._written.get(key, -every) + every - clock
            if wait > 0:
                return Result(wait)
        try:
            await self._client.update(
                self._resource,
                {**model, "status": status},
                subresource="status",
                field_manager=c.MANAGER_STATUS,
            )
        except NotFound:
            return None
        self._written[key] = clock
        self._announce(model, old, status)
        return None

    def _announce(self, model: Object, old: Object, status: Object) -> None:
        if old.get("state") == status["state"]:
            return
        if status["state"] == "Ready":
            self._events.normal(model, "ModelReady", f"the model is {status['message']}")
        elif status["state"] == "Failed":
            self._events.warning(model, "ModelFailed", status["message"])

    # -- deletion -----------------------------------------------------------------------------

    async def _let_go(self, model: Object) -> Result | None:
        finalizers = metadata(model).get("finalizers") or []
        if self._finalizer not in finalizers:
            return None
        users = self._users(key_of(model))
        if users:
            await self._say_waiting(model, "True", "UsedByServices", _used_by(users))
            return None  # services that go or change bring the model back
        holders, silent = self._holders(model)
        if silent:
            text = f"not waiting for {', '.join(silent[:_MOST_TOLD])}: files may be left there"
            self._events.warning(model, "RemovingFiles", text)
        if holders:
            text = f"waiting until {', '.join(holders[:5])} removed the files"
            await self._say_waiting(model, "False", "RemovingFiles", text)
            return Result(LOOK_SECONDS)
        index = finalizers.index(self._finalizer)
        path = f"/metadata/finalizers/{index}"
        patch: list[Object] = [
            {"op": "test", "path": path, "value": self._finalizer},
            {"op": "remove", "path": path},
        ]
        key = key_of(model)
        try:
            await self._client.patch(
                self._resource,
                key.name,
                patch,
                namespace=key.namespace,
                type=PatchType.JSON,
                field_manager=MANAGER,
            )
        except NotFound:
            return None
        return None

    def _users(self, key: Key) -> list[Key]:
        """Services that use the model and are not on their way out themselves."""
        if self.kind == WEIGHTS:
            users = self._cluster.services_of_weight(key.name)
        else:
            users = self._cluster.services_of_model(self.kind, key)
        found = []
        for user in users:
            service = self._cluster.services.get(user.namespace, user.name)
            if service is not None and not is_deleting(service):
                found.append(user)
        return sorted(found)

    def _holders(self, model: Object) -> tuple[list[str], list[str]]:
        """Living nodes that have not reported the model gone: to wait for, and not any more."""
        key = report_key(model)
        deleted_at = metadata(model).get("deletionTimestamp") or ""
        age = _age(deleted_at)
        found: list[str] = []
        silent: list[str] = []
        for report in self._cluster.reports.list():
            if key not in (report.get("data") or {}):
                continue
            entry = entry_of(report, key)
            if entry is not None and entry.get("status") == c.NODE_MODEL_DELETED:
                continue
            name = annotations_of(report).get(c.A_NODE_NAME) or metadata(report)["name"]
            node = self._cluster.nodes.get("", name)
            if node is None:
                continue
            ready = (condition(node, "Ready") or {}).get("status") == "True"
            limit = SILENCE_SECONDS if ready else PATIENCE_SECONDS
            if ready and entry is not None and entry.get("waitingFor"):
                limit = LONGEST_SECONDS
            (found if age < limit else silent).append(name)
        return sorted(found), sorted(silent)

    async def _say_waiting(self, model: Object, status: Any, reason: str, message: str) -> None:
        old = model.get("status") or {"state": "In_Transit"}
        conditions = cond.set_condition(
            old.get("conditions"), IN_USE, status, reason, message, now=_now()
        )
        if conditions == old.get("conditions"):
            return
        updated = {**old, "conditions": conditions, "message": f"being deleted: {message}"}
        try:
            await self._client.update(
                self._resource,
                {**model, "status": updated},
                subresource="status",
                field_manager=c.MANAGER_STATUS,
            )
        except NotFound:
            return
        self._events.normal(model, reason, message)


async def drop_report(client: Client, cluster: Cluster, node: Key) -> None:
    """Removes what a vanished node reported."""
    if cluster.nodes.get("", node.name) is not None:
        return
    report = cluster.reports.get(cluster.namespace, node.name)
    if report is None:
        return
    try:
        await client.delete(r.CONFIG_MAPS, node.name, cluster.namespace)
    except NotFound:
        return


def status_of(
    model: Object,
    state: ModelState,
    waits_for: str = "",
    claimed: Claimed | None = None,
    *,
    now: str,
) -> Object:
    """The status of a model or of weights. ``waits_for`` is what is missing before any node;
    ``claimed`` is how a model on a volume claim stands."""
    old = model.get("status") or {}
    status: Object = {}
    if old.get("lifecycle"):
        status["lifecycle"] = old["lifecycle"]
    status["state"] = claimed.state if claimed else state.state
    status["nodesReady"] = list(state.ready)
    status["nodesFailed"] = sorted(state.failed)
    status["nodesPending"] = sorted(state.pending)
    status["message"] = (claimed.message if claimed else waits_for) or state.sentence
    progress = _progress(state)
    if progress:
        status["progress"] = progress
    status["observedGeneration"] = metadata(model).get("generation", 0)
    ready = "True" if status["state"] == "Ready" else "False"
    status["conditions"] = cond.set_condition(
        _nodes_failed(cond.remove(old.get("conditions"), IN_USE), state),
        cond.READY,
        ready,  # type: ignore[arg-type]
        {"Ready": "OnNode", "Failed": "Failed"}.get(status["state"], "InTransit"),
        status["message"],
        now=now,
    )
    return status


def _on_a_claim(model: Object) -> bool:
    """Whether pods mount the files themselves, so that no node fetches them."""
    uri = str(((model.get("spec") or {}).get("storage") or {}).get("storageUri") or "")
    return uri.startswith("pvc://")


def _nodes_failed(conditions: list[Object], state: ModelState) -> list[Object]:
    """Why which node could not get it, and what helps; nothing where all is well."""
    if not state.failed:
        return cond.remove(conditions, NODES_FAILED)
    told = sorted(state.failed.items())[:_MOST_TOLD]
    more = len(state.failed) - len(told)
    text = ". ".join(f"{node}: {why or 'no reason given'}" for node, why in told)
    text += f". And {more} more" if more else ""
    return cond.set_condition(conditions, NODES_FAILED, "True", "Failed", text, now=_now())


def _progress(state: ModelState) -> Object | None:
    raw = state.progress
    if raw is None:
        return None
    done, total = int(raw.get("completedBytes") or 0), int(raw["totalBytes"])
    speed = float(raw.get("speedBytesPerSec") or 0)
    found: Object = {
        "phase": raw.get("phase"),
        "percent": done * 100 // total,
        "completedBytes": done,
        "totalBytes": total,
        "bytesPerSecond": int(speed) or None,
        "remainingSeconds": int((total - done) / speed) if speed else None,
        "node": raw.get("node"),
        "lastUpdated": raw.get("lastUpdated"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _only_progress(old: Object, new: Object) -> bool:
    """True where somebody who doesn't watch a bar would see no difference.

    The message counts bytes while there is progress; else it says why nothing goes on.
    """
    moving = bool(old.get("progress")) and bool(new.get("progress"))
    ignored = {"progress", "conditions"} | ({"message"} if moving else set())

    def essence(status: Object) -> Object:
        kept = {k: v for k, v in status.items() if k not in ignored}
        kept["ready"] = [
            (entry.get("type"), entry.get("status"), entry.get("reason"))
            for entry in status.get("conditions") or ()
        ]
        return kept

    return essence(old) == essence(new)


def _used_by(users: list[Key]) -> str:
    listed = ", ".join(str(user) for user in users[:5])
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    return f"used by InferenceService {listed}{more}; it goes when they are gone"


def _age(timestamp: str) -> float:
    try:
        then = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - then).total_seconds()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
