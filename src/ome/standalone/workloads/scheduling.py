"""Which node a pod goes to: a pure function of the pod, the nodes and the pods on them.

Reasons and messages are those that people know from kube-scheduler. Topology spread constraints and
preemption are not looked at: they decide nothing among so few nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.objects import labels_of, metadata
from ome.apimachinery.selectors import (
    label_selector,
    node_affinity_matches,
    node_selector_term_matches,
)

Pod = Mapping[str, Any]
Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Placement:
    """``node`` is empty where none fits; ``message`` then says why, for all of them."""

    node: str
    message: str = ""


def requests(pod: Pod) -> dict[str, Decimal]:
    """What a pod takes up: the larger of its containers together and any one init container."""
    spec = pod.get("spec") or {}
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        for name, amount in _container_requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    side: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        own = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            for name, amount in own.items():
                side[name] = side.get(name, Decimal(0)) + amount
        for name, amount in own.items():
            base = Decimal(0) if container.get("restartPolicy") == "Always" else amount
            peak[name] = max(peak.get(name, Decimal(0)), side.get(name, Decimal(0)) + base)
    for name, amount in side.items():
        total[name] = total.get(name, Decimal(0)) + amount
    for name, amount in peak.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    for name, value in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, Decimal(0)) + quantity.parse(value)
    return total


def _container_requests(container: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity.parse(value) for name, value in merged.items()}


def host_ports(pod: Pod) -> set[tuple[str, int]]:
    return {
        (port.get("protocol") or "TCP", port["hostPort"])
        for container in (pod.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def schedule(pod: Pod, nodes: Sequence[Node], on_node: Mapping[str, Sequence[Pod]]) -> Placement:
    """``on_node``: the pods that take up room on each node, bound or about to be."""
    if not nodes:
        return Placement("", "0/0 nodes are available: no nodes exist.")
    why: Counter[str] = Counter()
    fitting: list[Node] = []
    everything = [(n, p) for n in nodes for p in on_node.get(metadata(n)["name"], ())]
    for node in nodes:
        own = on_node.get(metadata(node)["name"], ())
        reasons = _refusals(pod, node, own) or _pod_affinity(pod, node, everything)
        if reasons:
            why.update(reasons)
        else:
            fitting.append(node)
    if not fitting:
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in why.items()))
        return Placement("", f"0/{len(nodes)} nodes are available: {listed}.")
    best = max(
        fitting,
        key=lambda n: (
            _preference(pod, n),
            -len(on_node.get(metadata(n)["name"], ())),
            # the last resort is the name, so that the outcome does not depend on the order
            tuple(-ord(c) for c in metadata(n)["name"]),
        ),
    )
    return Placement(metadata(best)["name"])


def _refusals(pod: Pod, node: Node, present: Sequence[Pod]) -> list[str]:
    spec, node_spec = pod.get("spec") or {}, node.get("spec") or {}
    tolerated = _tolerates(spec)
    unschedulable = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if node_spec.get("unschedulable") and not tolerated(unschedulable):
        return ["node(s) were unschedulable"]
    for taint in node_spec.get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated(taint):
            value = taint.get("value") or ""
            return [f"node(s) had untolerated taint {{{taint.get('key')}: {value}}}"]
    if not node_affinity_matches(node, spec):
        return ["node(s) didn't match Pod's node affinity/selector"]
    ports = host_ports(pod)
    if ports and any(ports & host_ports(other) for other in present):
        return ["node(s) didn't have free ports for the requested pod ports"]
    return _lacking(pod, node, present)


def _lacking(pod: Pod, node: Node, present: Sequence[Pod]) -> list[str]:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    reasons: list[str] = []
    if len(present) + 1 > quantity.to_int(allocatable.get("pods", 0)):
        reasons.append("Too many pods")
    used: Counter[str] = Counter()
    taken = [requests(other) for other in present]
    for name, amount in sorted(requests(pod).items()):
        if amount <= 0:
            continue
        used_amount = sum((t.get(name, Decimal(0)) for t in taken), Decimal(0))
        used[name] = 1
        if used_amount + amount > quantity.parse(allocatable.get(name, 0)):
            reasons.append(f"Insufficient {name}")
    return reasons


def _tolerates(spec: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    tolerations = spec.get("tolerations") or ()

    def tolerated(taint: Mapping[str, Any]) -> bool:
        for one in tolerations:
            if one.get("effect") and one["effect"] != taint.get("effect"):
                continue
            exists = one.get("operator") == "Exists"
            if not one.get("key"):
                if exists:
                    return True
                continue
            if one["key"] == taint.get("key") and (
                exists or (one.get("value") or "") == (taint.get("value") or "")
            ):
                return True
        return False

    return tolerated


def _preference(pod: Pod, node: Node) -> int:
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    return sum(
        int(entry.get("weight") or 0)
        for entry in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        if node_selector_term_matches(node, entry.get("preference") or {})
    )


def _pod_affinity(pod: Pod, node: Node, everything: Sequence[tuple[Node, Pod]]) -> list[str]:
    affinity = (pod.get("spec") or {}).get("affinity") or {}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    for term in (affinity.get("podAffinity") or {}).get(required) or ():
        matching = _matching(pod, node, term, everything)
        # The first of a group that wants to be together may go anywhere.
        alone = not any(_selected(pod, term, other) for _, other in everything)
        if not matching and not (alone and _selected(pod, term, pod)):
            return ["node(s) didn't match pod affinity rules"]
    for term in (affinity.get("podAntiAffinity") or {}).get(required) or ():
        if _matching(pod, node, term, everything):
            return ["node(s) didn't match pod anti-affinity rules"]
    return []


def _matching(
    pod: Pod, node: Node, term: Mapping[str, Any], everything: Sequence[tuple[Node, Pod]]
) -> bool:
    key = term.get("topologyKey") or ""
    here = labels_of(node).get(key)
    return here is not None and any(
        labels_of(place).get(key) == here and _selected(pod, term, other)
        for place, other in everything
    )


def _selected(pod: Pod, term: Mapping[str, Any], other: Pod) -> bool:
    namespaces = term.get("namespaces") or [metadata(pod).get("namespace")]
    if "namespaceSelector" not in term and metadata(other).get("namespace") not in namespaces:
        return False
    return label_selector(term.get("labelSelector")).matches(labels_of(other))
