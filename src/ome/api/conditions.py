"""Conditions: the types, and pure functions that keep them.

A condition is a raw dict as in the API: ``type``, ``status`` (``True``, ``False``, ``Unknown``),
``reason``, ``message``, ``lastTransitionTime``. The clock is the caller's: ``now`` is RFC 3339.
``lastTransitionTime`` moves only when ``status`` changes, so "since when" is always true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from ome.api import constants as c
from ome.apimachinery.errors import one_line
from ome.apimachinery.objects import Object

_LONGEST_MESSAGE: Final = 4000
Status = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
INGRESS_READY: Final = "IngressReady"
ROUTES_READY: Final = "RoutesReady"
LATEST_DEPLOYMENT_READY: Final = "LatestDeploymentReady"
MODEL_READY: Final = "ModelReady"
"""Ours: the service's model is on enough nodes."""
SELECTED: Final = "RuntimeSelected"
"""Ours: a runtime (and accelerator, where asked for) was found."""
ANSWERS: Final = "Answers"
"""Ours: a real request got a real answer on this generation."""
UPDATE_PENDING: Final = "UpdatePending"
"""Ours: a shared input changed and this service has not rolled yet."""
AUTOSCALER_READY: Final = "AutoscalerReady"
"""Ours: False while what scales a component can't; absent otherwise."""


def component_ready(component: str) -> str:
    """``engine`` -> ``EngineReady``."""
    return f"{component.capitalize()}Ready"


def component_route_ready(component: str) -> str:
    return f"{component.capitalize()}RouteReady"


def component_configuration_ready(component: str) -> str:
    return f"{component.capitalize()}ConfigurationReady"


ENGINE_READY: Final = component_ready(c.ENGINE)
DECODER_READY: Final = component_ready(c.DECODER)
ROUTER_READY: Final = component_ready(c.ROUTER)
PREDICTOR_READY: Final = component_ready(c.PREDICTOR)


def get(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> Mapping[str, Any] | None:
    return next((entry for entry in conditions or () if entry.get("type") == type_), None)


def is_true(conditions: Iterable[Mapping[str, Any]] | None, type_: str) -> bool:
    entry = get(conditions, type_)
    return bool(entry) and entry is not None and entry.get("status") == "True"


def set_condition(
    conditions: Iterable[Mapping[str, Any]] | None,
    type_: str,
    status: Status,
    reason: str = "",
    message: str = "",
    *,
    now: str,
    severity: str = "",
    observed_generation: int | None = None,
) -> list[Object]:
    """``conditions`` with one of them set, sorted by type. The input is not changed.

    An unchanged status keeps its ``lastTransitionTime``, even when reason or message change.
    """
    kept = [dict(entry) for entry in conditions or () if entry.get("type") != type_]
    old = get(conditions, type_)
    since = now
    if old is not None and old.get("status") == status:
        since = old.get("lastTransitionTime") or now
    entry: Object = {"type": type_, "status": status, "lastTransitionTime": since}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = one_line(message, _LONGEST_MESSAGE)
    if severity:
        entry["severity"] = severity
    if observed_generation is not None:
        entry["observedGeneration"] = observed_generation
    return sorted([*kept, entry], key=lambda item: str(item["type"]))


def remove(conditions: Iterable[Mapping[str, Any]] | None, *types: str) -> list[Object]:
    """``conditions`` without these types, sorted by type."""
    kept = [dict(entry) for entry in conditions or () if entry.get("type") not in types]
    return sorted(kept, key=lambda item: str(item["type"]))


def summarise(
    conditions: Sequence[Mapping[str, Any]], types: Iterable[str]
) -> tuple[Status, str, str]:
    """Status, reason and message of an aggregate over ``types``, in order of importance.

    Any False makes it False and any Unknown or absent one Unknown, with that condition's reason
    and message; several False ones: the first in the order given. All True: True.
    """
    waiting: tuple[Status, str, str] | None = None
    for type_ in types:
        entry = get(conditions, type_)
        status = entry.get("status") if entry else None
        if status == "True":
            continue
        reason = str((entry or {}).get("reason") or "Initializing")
        message = str((entry or {}).get("message") or f"waiting for {type_}")
        if status == "False":
            return "False", reason, message
        waiting = waiting or ("Unknown", reason, message)
    return waiting or ("True", "", "")


def set_ready(
    conditions: Sequence[Mapping[str, Any]],
    components: Iterable[str],
    *,
    now: str,
    also: Sequence[str] = (),
    ready_message: str = "",
    generation: int | None = None,
) -> list[Object]:
    """Set ``Ready`` from every declared component, the ingress, and the types in ``also``.

    Types in ``also`` come first: what blocks everything (no such model) is the better sentence
    than what follows from it (the engine is not there).
    """
    types = [*also, *(component_ready(name) for name in components), INGRESS_READY]
    status, reason, message = summarise(conditions, types)
    if status == "True":
        message = ready_message
    return set_condition(
        conditions, READY, status, reason, message, now=now, observed_generation=generation
    )
