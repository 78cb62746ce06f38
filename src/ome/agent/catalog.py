"""The objects that may want files here, and what follows from all of them together.

Reads the caches only. A FineTunedWeight belongs where its base model belongs: adapters are loaded
beside it, and can be compared with it only there. Merged weights are a whole model of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ome.agent import target as targets
from ome.agent.identity import WEIGHTS, described, key_of
from ome.agent.paths import PathMap
from ome.agent.target import Target
from ome.apimachinery.objects import Key, Object
from ome.kube import Informer
from ome.storage.errors import StorageError


class PathConflict(StorageError):  # noqa: N818 - the reason that users see
    reason = "PathConflict"


class Catalog:
    """``node`` gives this node's object, or None before it exists."""

    def __init__(
        self, cluster: Informer, spaced: Informer, weights: Informer, nodes: Informer, node: str
    ) -> None:
        self._cluster = cluster
        self._spaced = spaced
        self._weights = weights
        self._nodes = nodes
        self._node_name = node

    def all(self) -> list[Object]:
        return [*self._cluster.list(), *self._spaced.list(), *self._weights.list()]

    def get(self, key: Key) -> Object | None:
        if key.namespace == WEIGHTS:
            return self._weights.get("", key.name)
        return (self._spaced if key.namespace else self._cluster).get(key.namespace, key.name)

    def node(self) -> Object | None:
        return self._nodes.get("", self._node_name)

    def wanted(self, model: Mapping[str, Any]) -> bool:
        """Whether this node has to hold it."""
        node = self.node()
        if node is None or not targets.wanted_here(model, node):
            return False
        base = base_of(model)
        if base is None:
            return True
        found = self.get(base)
        return found is not None and (targets.on_a_claim(found) or self.wanted(found))

    def targets(self, paths: PathMap, but: Key | None = None) -> Iterable[Target]:
        """What this node has to hold, without what can't be."""
        for model in self.all():
            if key_of(model) == but or not self.wanted(model):
                continue
            try:
                yield targets.target_of(model, paths)
            except StorageError:
                continue

    def wanted_paths(self, paths: PathMap, but: Key | None = None) -> set[Path]:
        return {target.path for target in self.targets(paths, but)}

    def refuse_conflict(self, target: Target, paths: PathMap) -> None:
        """Two models may share a folder only if they want the same in it; the older one wins."""
        for other in self.targets(paths, but=target.key):
            if other.path != target.path or other.fingerprint == target.fingerprint:
                continue
            if (other.created, str(other.key)) < (target.created, str(target.key)):
                raise PathConflict(
                    f"{target.path} is already the folder of {described(other.key)} "
                    f"({other.spec.uri})",
                    remedy="give one of the two another spec.storage.path",
                )


def base_of(model: Mapping[str, Any]) -> Key | None:
    """The base model that a FineTunedWeight is loaded beside; None for everything else."""
    spec = model.get("spec") or {}
    reference = spec.get("baseModelRef") or {}
    if not reference.get("name") or targets.is_merged(spec):
        return None
    return Key(str(reference.get("namespace") or ""), str(reference["name"]))
