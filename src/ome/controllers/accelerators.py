"""Says of every AcceleratorClass which nodes have it and how much of it is free.

A node has the class if its labels match ``discovery.nodeSelector`` and the required part of
``discovery.affinity``. Without these, PCI vendor and devices are looked for in the labels that Node
Feature Discovery gives (:mod:`ome.controllers.pci`). A class that describes no node at all is found
by its resources: a node has it that offers all of them. Where a node says how much memory its
accelerators have (``nvidia.com/gpu.memory``, in MiB), a class that promises more does not count it.

``totalAccelerators`` counts the first of ``spec.resources`` over these nodes;
``availableAccelerators`` is what pods of services have not requested of it on nodes that are ready
and take pods. Nodes and pods change often, so a class is looked at again after a moment of quiet,
and written only when something in it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ome.api import conditions as cond
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import quantity
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    condition,
    is_deleting,
    labels_of,
    metadata,
)
from ome.apimachinery.selectors import node_selector_matches
from ome.controllers import pci
from ome.controllers.cluster import Cluster
from ome.kube import Client, PatchType
from ome.selection.accelerators import memory_gib

AVAILABLE = "Available"
L_GPU_MEMORY = "nvidia.com/gpu.memory"
_TOLERANCE = 0.9
"""Vendors promise round numbers; a node has a little less."""
_DONE = ("Succeeded", "Failed")


def has_class(node: Object, accelerator: Object) -> bool:
    """Whether the node has accelerators of this class."""
    spec = accelerator.get("spec") or {}
    discovery = spec.get("discovery") or {}
    labels = labels_of(node)
    selector: Mapping[str, str] = discovery.get("nodeSelector") or {}
    required = ((discovery.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = required.get("nodeSelectorTerms")
    if not all(labels.get(key) == value for key, value in selector.items()):
        return False
    if terms and not node_selector_matches(node, terms):
        return False
    if not selector and not terms and pci.wanted(discovery):
        if not pci.found(labels, discovery):
            return False
    elif not selector and not terms:
        wanted = [item["name"] for item in spec.get("resources") or ()]
        if not wanted or any(not _allocatable(node, name) for name in wanted):
            return False
    return _memory_suffices(labels.get(L_GPU_MEMORY), accelerator)


def _memory_suffices(label: str | None, accelerator: Object) -> bool:
    promised = memory_gib(accelerator)
    if not promised or label is None or not label.isdigit():
        return True
    return int(label) / 1024 >= promised * _TOLERANCE


def _allocatable(node: Object, resource: str) -> int:
    amount = ((node.get("status") or {}).get("allocatable") or {}).get(resource)
    return quantity.to_int(amount) if amount is not None else 0


def usable(node: Object) -> bool:
    """Ready, and taking pods."""
    ready = condition(node, "Ready") or {}
    cordoned = (node.get("spec") or {}).get("unschedulable")
    return ready.get("status") == "True" and not cordoned and not is_deleting(node)


def status_of(
    accelerator: Object, nodes: Iterable[Object], pods: Iterable[Object], *, now: str
) -> Object:
    """The class's status; equal to the old one, times included, where nothing changed."""
    old = accelerator.get("status") or {}
    having = sorted(
        (node for node in nodes if has_class(node, accelerator)), key=lambda n: metadata(n)["name"]
    )
    free_nodes = [node for node in having if usable(node)]
    names = [metadata(node)["name"] for node in having]
    status: Object = {"nodes": names, "availableNodes": len(free_nodes)}
    resources = (accelerator.get("spec") or {}).get("resources") or ()
    name = resources[0]["name"] if resources else c.NVIDIA_GPU
    total = sum(_allocatable(node, name) for node in having)
    if total or resources:
        free = {metadata(node)["name"]: _allocatable(node, name) for node in free_nodes}
        for pod in pods:
            where = (pod.get("spec") or {}).get("nodeName")
            if where in free and (pod.get("status") or {}).get("phase") not in _DONE:
                free[where] -= _requested(pod, name)
        status["totalAccelerators"] = total
        status["availableAccelerators"] = sum(max(0, count) for count in free.values())
    status["conditions"] = _conditions(old, names, len(free_nodes), now)
    same = {key: value for key, value in old.items() if key != "lastUpdated"} == status
    status["lastUpdated"] = old["lastUpdated"] if same and old.get("lastUpdated") else now
    return status


def _conditions(old: Object, names: list[str], usable_nodes: int, now: str) -> list[Object]:
    if usable_nodes:
        found = ("True", "NodesFound", f"{usable_nodes} of {len(names)} nodes can be used")
    elif names:
        found = ("False", "NoUsableNode", f"none of {len(names)} nodes is ready and takes pods")
    else:
        found = ("False", "NoNodes", "no node has labels or resources of this class")
    return cond.set_condition(
        old.get("conditions"),
        AVAILABLE,
        found[0],  # type: ignore[arg-type]
        found[1],
        found[2],
        now=now,
    )


def _requested(pod: Object, resource: str) -> int:
    total = 0
    for container in (pod.get("spec") or {}).get("containers") or ():
        given = container.get("resources") or {}
        amount = (given.get("requests") or {}).get(resource)
        if amount is None:
            amount = (given.get("limits") or {}).get(resource)
        total += quantity.to_int(amount) if amount is not None else 0
    return total


def node_changed(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Whether a class could look different because of this; heartbeats make no difference."""
    if old is None or new is None:
        return True
    return bool(_node_essence(old) != _node_essence(new))


def _node_essence(node: Mapping[str, Any]) -> Any:
    ready = condition(node, "Ready") or {}
    return (
        labels_of(node),
        (node.get("spec") or {}).get("unschedulable"),
        (node.get("status") or {}).get("allocatable"),
        ready.get("status"),
    )


def pod_changed(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Whether the pod takes or gives back what it requests."""

    def place(pod: Mapping[str, Any] | None) -> Any:
        if pod is None:
            return None
        where = (pod.get("spec") or {}).get("nodeName")
        return where if (pod.get("status") or {}).get("phase") not in _DONE else None

    return bool(place(old) != place(new))


class Accelerators:
    """The reconciler."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self._client = client
        self._cluster = cluster

    async def reconcile(self, key: Key) -> None:
        accelerator = self._cluster.accelerators.get("", key.name)
        if accelerator is None:
            return
        if is_deleting(accelerator):
            await self._let_go(accelerator)
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        nodes, pods = self._cluster.nodes.list(), self._cluster.pods.list()
        status = status_of(accelerator, nodes, pods, now=now)
        if status == accelerator.get("status"):
            return
        try:
            await self._client.update(
                o.ACCELERATOR_CLASSES,
                {**accelerator, "status": status},
                subresource="status",
                field_manager=c.MANAGER_STATUS,
            )
        except NotFound:
            return

    async def _let_go(self, accelerator: Object) -> None:
        """Nothing has to be cleaned up; only an earlier operator's finalizer can hold it back."""
        finalizers = metadata(accelerator).get("finalizers") or []
        if c.FINALIZER_ACCELERATOR_CLASS not in finalizers:
            return
        path = f"/metadata/finalizers/{finalizers.index(c.FINALIZER_ACCELERATOR_CLASS)}"
        patch: list[Object] = [
            {"op": "test", "path": path, "value": c.FINALIZER_ACCELERATOR_CLASS},
            {"op": "remove", "path": path},
        ]
        try:
            await self._client.patch(
                o.ACCELERATOR_CLASSES, metadata(accelerator)["name"], patch, type=PatchType.JSON
            )
        except NotFound:
            return
