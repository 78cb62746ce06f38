"""Binds pods to nodes.

One pod at a time, so that two never get the same room; what was bound is counted at once, before
the cache shows it. A pod that fits nowhere waits, with the reasons in ``PodScheduled``, and is
looked at again when a node changes or a pod leaves: never by time.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ome.apimachinery.errors import Conflict, NotFound
from ome.apimachinery.objects import Key, Object, condition, is_deleting, key_of, metadata, uid_of
from ome.apimachinery.resources import NODES, PODS
from ome.kube import Controller, Result
from ome.standalone.workloads import pods as podrules
from ome.standalone.workloads.scheduling import schedule
from ome.standalone.workloads.shared import Shared

PENDING = "pending"
BY_NODE = "node"


def _pending_index(pod: Any) -> list[str]:
    spec = pod.get("spec") or {}
    waiting = not spec.get("nodeName") and not podrules.is_terminal(pod) and not is_deleting(pod)
    return ["yes"] if waiting else []


def _node_index(pod: Any) -> list[str]:
    name = (pod.get("spec") or {}).get("nodeName")
    return [name] if name and not podrules.is_terminal(pod) else []


def _node_facts(node: Any) -> tuple[Any, ...]:
    spec = node.get("spec") or {}
    status = node.get("status") or {}
    return (
        node["metadata"].get("labels"),
        spec.get("taints"),
        spec.get("unschedulable"),
        status.get("allocatable"),
    )


class Scheduler:
    NAMES = ("default-scheduler", "", None)

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._pods = shared.pods
        self._nodes = shared.informer(NODES)
        self._pods.add_index(PENDING, _pending_index)
        self._pods.add_index(BY_NODE, _node_index)
        self._assumed: dict[str, tuple[str, Object]] = {}
        self.controller = Controller("scheduler", self.reconcile, workers=1)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    def _on_pod(self, event: str, old: Any, new: Any) -> None:
        if new is not None:
            if _pending_index(new):
                self.controller.enqueue(new.key)
            elif new.get("spec", {}).get("nodeName"):
                self._assumed.pop(new.uid, None)
        freed = event == "DELETED" or (
            new is not None and podrules.is_terminal(new) and not podrules.is_terminal(old or new)
        )
        if old is not None and event == "DELETED":
            self._assumed.pop(old.uid, None)
        if freed:
            self._retry_all()

    def _on_node(self, _event: str, old: Any, new: Any) -> None:
        if old is None or new is None or _node_facts(old) != _node_facts(new):
            self._retry_all()

    def _retry_all(self) -> None:
        for key in self._pods.keys_by_index(PENDING, "yes"):
            self.controller.enqueue(key)

    async def reconcile(self, key: Key) -> Result | None:
        await self._nodes.synced()
        pod = self._pods.get(*key)
        if pod is None or not _pending_index(pod) or uid_of(pod) in self._assumed:
            return None
        spec = pod.get("spec") or {}
        if spec.get("schedulerName") not in self.NAMES:
            return None
        if gates := spec.get("schedulingGates"):
            names = ", ".join(g.get("name") or "" for g in gates)
            await self._refuse(pod, "SchedulingGated", f"Scheduling is blocked by gates: {names}")
            return None
        nodes = self._nodes.list()
        on_node: dict[str, list[Object]] = {
            metadata(n)["name"]: self._pods.by_index(BY_NODE, metadata(n)["name"]) for n in nodes
        }
        for name, assumed in self._assumed.values():
            on_node.setdefault(name, []).append(assumed)
        placement = schedule(pod, nodes, on_node)
        if placement.node:
            await self._bind(pod, placement.node)
        else:
            await self._refuse(pod, "Unschedulable", placement.message)
        return None

    async def _bind(self, pod: Object, node: str) -> None:
        key = key_of(pod)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self._assumed[uid_of(pod)] = (node, pod)
        try:
            path = PODS.path(key.namespace, key.name, "binding")
            await self._shared.client.request("POST", path, body=msgspec.json.encode(binding))
        except (NotFound, Conflict):
            self._assumed.pop(uid_of(pod), None)
            return
        except BaseException:
            self._assumed.pop(uid_of(pod), None)
            raise
        self._shared.events.normal(pod, "Scheduled", f"Successfully assigned {key} to {node}")

    async def _refuse(self, pod: Object, reason: str, message: str) -> None:
        shown = condition(pod, "PodScheduled") or {}
        if (shown.get("reason"), shown.get("message")) == (reason, message):
            return
        status: Object = dict(pod.get("status") or {})
        conditions = [dict(c) for c in status.get("conditions") or ()]
        stamp = podrules.timestamp(time.time())
        changed = podrules.set_condition(
            conditions, "PodScheduled", "False", reason, message, stamp
        )
        for entry in changed:
            entry.pop("lastUpdateTime", None)
        status["conditions"] = changed
        await self._shared.write_status(PODS, pod, status)
        self._shared.events.warning(pod, "FailedScheduling", message)
