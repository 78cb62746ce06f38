"""Whether what scales a component can do it: from the status of its HPA or ScaledObject.

It takes no readiness away: replicas stay as they are. What passes by itself (figures that are still
to come, an autoscaler that rests at zero) is not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, condition, labels_of, metadata
from ome.rendering.facts import Component
from ome.rendering.statusinput import StatusInput

REASON = "AutoscalerFailing"
_PASSES = (
    "no metrics returned from resource metrics API",
    "did not receive metrics for any ready pods",
    "there are no figures of",
)
_REMEDIES = (
    ("could not find the requested resource", "install metrics-server, or name another autoscaler"),
    ("missing request for", "give the runner resources.requests for what is measured"),
    ("requests no ", "give the runner resources.requests for what is measured"),
)
_OTHERWISE = "correct what the message names, or name another autoscaler"
_ANNOTATION = f" ({c.A_AUTOSCALER_CLASS})"


def scaler_problem(given: StatusInput, components: Mapping[str, Component]) -> str:
    """One sentence; empty where every autoscaler works or none is there."""
    for name, component in components.items():
        for kind in (r.HORIZONTAL_POD_AUTOSCALERS, x.SCALED_OBJECTS):
            for _, live in sorted(given.observed.of(kind).items()):
                if labels_of(live).get(c.L_COMPONENT) != component.name:
                    continue
                said = _of_keda(live) if kind == x.SCALED_OBJECTS else _of_hpa(live)
                if said:
                    words = (what for phrase, what in _REMEDIES if phrase in said)
                    remedy = next(words, _OTHERWISE)
                    return (
                        f"{kind.kind} {metadata(live)['name']} can't scale the {name}: "
                        f"{said.rstrip('.')}. Replicas stay as they are. "
                        f"What to do: {remedy}{_ANNOTATION if 'autoscaler' in remedy else ''}"
                    )
    return ""


def _of_hpa(live: Object) -> str:
    spec: Mapping[str, Any] = live.get("spec") or {}
    if int(spec.get("minReplicas") or 1) >= int(spec.get("maxReplicas") or 1):
        return ""  # there is nothing to decide
    for type_ in ("AbleToScale", "ScalingActive"):
        entry = condition(live, type_) or {}
        message = str(entry.get("message") or entry.get("reason") or "")
        if entry.get("status") != "False" or entry.get("reason") == "ScalingDisabled":
            continue
        if not any(phrase in message for phrase in _PASSES):
            return message
    return ""


def _of_keda(live: Object) -> str:
    entry = condition(live, "Ready") or {}
    if entry.get("status") != "False":
        return ""
    return str(entry.get("message") or entry.get("reason") or "")
