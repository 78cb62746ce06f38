"""What the nodes report about a model, for people: one line a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.apimachinery.objects import Object, annotations_of, key_of, metadata
from ome.apimachinery.resources import CONFIG_MAPS
from ome.cli import views
from ome.cli.api import Api
from ome.cli.output import seconds, size
from ome.controllers.modelstate import entry_of


@dataclass(frozen=True, slots=True)
class NodeReport:
    """``entry`` is the node's own JSON about the model."""

    node: str
    entry: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.entry.get("status") or "")


def reports(api: Api, model: Object) -> list[NodeReport]:
    """By node."""
    key = key_of(model)
    name = names.model_config_map_key(key.namespace, key.name)
    found = []
    for report in api.list(CONFIG_MAPS, labels=f"{c.L_MODEL_STATUS}=true"):
        entry = entry_of(report, name)
        if entry is not None:
            node = annotations_of(report).get(c.A_NODE_NAME) or metadata(report)["name"]
            found.append(NodeReport(node, entry))
    return sorted(found, key=lambda report: report.node)


def sentence(entry: Mapping[str, Any], now: float) -> str:
    """What the node does with the model, and since when nothing has moved."""
    progress = entry.get("progress") or {}
    parts = []
    if progress.get("totalBytes"):
        parts.append(progress_text(progress, now))
    elif progress:
        parts.append(str(progress.get("phase") or ""))
    if entry.get("waitingFor"):
        parts.append(f"waits for {entry['waitingFor']}")
    error = entry.get("error") or {}
    if error.get("message"):
        again = ", tried again by itself" if error.get("retrying") else ""
        parts.append(f"{error.get('reason')}: {error['message']}{again}. {_capital(error)}".strip())
    elif entry.get("message"):
        parts.append(str(entry["message"]))
    verified = entry.get("verified") or {}
    if verified.get("at"):
        parts.append(f"every byte verified {views.age_text(verified['at'], now)} ago")
    parts += [str(warning) for warning in entry.get("warnings") or ()]
    return "; ".join(filter(None, parts))


def progress_text(progress: Mapping[str, Any], now: float) -> str:
    done, total = progress.get("completedBytes") or 0, progress["totalBytes"]
    text = (
        f"{progress.get('phase') or 'downloading'} {size(done)} of {size(total)} "
        f"({done * 100 // total} %)"
    )
    if progress.get("stalledSince"):
        still = seconds(max(0.0, now - views.epoch(progress["stalledSince"])))
        return f"{text}, no byte for {still}"
    if progress.get("speedBytesPerSec"):
        text += f", {size(progress['speedBytesPerSec'])}/s"
    if progress.get("etaSeconds") is not None:
        text += f", {seconds(progress['etaSeconds'])} left"
    return f"{text}, {progress['currentFile']}" if progress.get("currentFile") else text


def _capital(error: Mapping[str, Any]) -> str:
    remedy = str(error.get("remedy") or "")
    return remedy[:1].upper() + remedy[1:]
