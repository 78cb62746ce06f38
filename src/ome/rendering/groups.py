"""Whether a LeaderWorkerSet's status speaks of its newest template.

Its controller writes no ``observedGeneration``. So for a moment after an update the status still
says that everything is ready, and means the version before. That there is a new template is told by
what the service's status notes of the one seen last (:func:`note`); that the controller has taken
it up shows in its conditions, which change then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.apimachinery.objects import Object, annotations_of, condition, metadata
from ome.rendering.facts import ADOPTED

_UPDATING = "UpdateInProgress"


def annotation(component: str) -> str:
    """Of the status: where the note about a component's groups is kept."""
    return f"ome.io/groups-{component}"


def note(live: Object) -> str:
    """Generation and template of a LeaderWorkerSet. One that another manager made counts as it is,
    before it is taken over and after."""
    output = (annotations_of(live).get(c.A_INPUT_HASH) or ADOPTED).rpartition("-")[2]
    return f"{metadata(live).get('generation', 0)}:{output}"


def unseen(live: Object, noted: str) -> bool:
    """True while the controller has not taken up a template other than that of ``noted``."""
    generation, _, output = noted.partition(":")
    now, _, template = note(live).partition(":")
    if not noted or generation == now or output == template:
        return False
    if (condition(live, _UPDATING) or {}).get("status") == "True":
        return False
    entries = (live.get("status") or {}).get("conditions") or ()
    moved = max((str(entry.get("lastTransitionTime") or "") for entry in entries), default="")
    applied = max(map(_applied_at, metadata(live).get("managedFields") or ()), default="")
    return bool(moved) and moved < applied


def _applied_at(entry: Mapping[str, Any]) -> str:
    ours = entry.get("manager") == c.MANAGER and not entry.get("subresource")
    return str(entry.get("time") or "") if ours else ""
