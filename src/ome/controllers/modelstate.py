"""What the nodes report about a model, put together: pure.

Nodes write one ConfigMap each, with one key per model. From these come the model's status, the
sentence about its progress that services waiting for it show, and metadata for its spec.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ome.api import constants as c
from ome.apimachinery.objects import Object, annotations_of, metadata


@dataclass(frozen=True)
class ModelState:
    """All lists are sorted by node."""

    ready: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Why, by node."""
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Progress, by node; empty where the node has not said how far it is."""
    troubled: Mapping[str, str] = field(default_factory=dict)
    """Why the attempt before the running one failed, by node."""
    config: Mapping[str, Any] | None = None
    """What a node that has the files read in them."""

    @property
    def state(self) -> str:
        if self.ready:
            return "Ready"
        if self.failed and not self.pending:
            return "Failed"
        return "In_Transit"

    @property
    def progress(self) -> Object | None:
        """That of the node which is furthest on."""
        known = [
            {**entry, "node": node}
            for node, entry in self.pending.items()
            if entry.get("totalBytes")
        ]
        if not known or self.ready:
            return None
        return max(known, key=lambda entry: entry.get("completedBytes", 0) / entry["totalBytes"])

    @property
    def sentence(self) -> str:
        """Where the model stands; changes only when something does."""
        if self.ready:
            others = f", {len(self.pending)} more to come" if self.pending else ""
            lost = f", failed on {_listed(self.failed)}" if self.failed else ""
            return f"on {_count(len(self.ready), 'node')}{others}{lost}"
        if self.pending:
            return self._pending_sentence()
        if self.failed:
            node, why = next(iter(sorted(self.failed.items())))
            return f"it could not be fetched on node {node}: {why or 'no reason given'}"
        return "no node has taken it up yet"

    def _pending_sentence(self) -> str:
        nodes = _count(len(self.pending), "node")
        progress = self.progress
        failed = f"; failed on {_listed(self.failed)}" if self.failed else ""
        if progress is None:
            before = "".join(
                f"; before that, it could not be fetched on node {node}: {why}"
                for node, why in sorted(self.troubled.items())[:1]
            )
            return f"being fetched on {nodes}{failed}{before}"
        done, total = progress.get("completedBytes", 0), progress["totalBytes"]
        speed = progress.get("speedBytesPerSec") or 0
        left = f", about {_duration((total - done) / speed)} left" if speed > 0 else ""
        return (
            f"{progress.get('phase') or 'downloading'} on {nodes}: {done * 100 // total} % of "
            f"{_size(total)}{left}{failed}"
        )


def aggregate(
    key: str, config_maps: Iterable[Mapping[str, Any]], nodes: Container[str] | None
) -> ModelState:
    """The state of the model with that ConfigMap key. Nodes that are gone don't count.

    ``nodes`` is None where nodes can't be listed; then every report counts.
    """
    ready: list[str] = []
    failed: dict[str, str] = {}
    pending: dict[str, Mapping[str, Any]] = {}
    troubled: dict[str, str] = {}
    config: Mapping[str, Any] | None = None
    for config_map in sorted(config_maps, key=_node_of):
        node = _node_of(config_map)
        entry = entry_of(config_map, key)
        if entry is None or (nodes is not None and node not in nodes):
            continue
        status = entry.get("status")
        if status == c.NODE_MODEL_READY:
            ready.append(node)
            config = config or entry.get("config")
        elif status == c.NODE_MODEL_FAILED:
            failed[node] = str(entry.get("message") or entry.get("error") or "")
        elif status == c.NODE_MODEL_UPDATING:
            pending[node] = entry.get("progress") or {}
            if entry.get("message"):
                troubled[node] = str(entry["message"])
    return ModelState(tuple(ready), failed, pending, troubled, config)


def entry_of(config_map: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The node's report on one model; None where there is none or it can't be read."""
    text = (config_map.get("data") or {}).get(key)
    if text is None:
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _node_of(config_map: Mapping[str, Any]) -> str:
    return annotations_of(config_map).get(c.A_NODE_NAME) or metadata(config_map).get("name") or ""


_FILLED = (
    "modelType",
    "modelArchitecture",
    "modelParameterSize",
    "modelCapabilities",
    "apiCapabilities",
    "quantization",
    "diffusionPipeline",
)


def missing_metadata(spec: Mapping[str, Any], config: Mapping[str, Any] | None) -> Object:
    """A merge patch for ``spec`` with what the user left empty and the files say."""
    if not config:
        return {}
    patch: Object = {key: config[key] for key in _FILLED if config.get(key) and not spec.get(key)}
    if (config.get("maxTokens") or 0) > 0 and not spec.get("maxTokens"):
        patch["maxTokens"] = config["maxTokens"]
    for key in ("modelFormat", "modelFramework"):
        named = _missing_named(spec.get(key) or {}, config.get(key) or {})
        if named:
            patch[key] = named
    decoded = config.get("decodedModelConfiguration")
    if decoded and not spec.get("modelConfiguration"):
        patch["modelConfiguration"] = decoded
    return patch


def _missing_named(given: Mapping[str, Any], found: Mapping[str, Any]) -> Object:
    """Name and version of a format or framework; the version only for the same name."""
    if not found.get("name"):
        return {}
    if not given.get("name"):
        return {key: found[key] for key in ("name", "version") if found.get(key)}
    if given["name"] == found["name"] and not given.get("version") and found.get("version"):
        return {"version": found["version"]}
    return {}


def _listed(nodes: Iterable[str]) -> str:
    names = sorted(nodes)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
