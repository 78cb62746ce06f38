"""What applying a service would change in what runs: for ``ome plan`` against a live API.

The plan is the operator's own (``controllers.decide``), over the children that exist. What each of
its actions comes to is asked of the API server itself, as a dry run: so defaults, other managers'
fields and refusals are in the answer, and nothing is guessed. A change restarts pods exactly where
the pod template of a workload differs afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.api import resources as ours
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Object, Resource, metadata
from ome.cli.api import Api
from ome.controllers.decide import Decision
from ome.controllers.plan import MANAGED, Apply, belongs
from ome.rendering import Observed, Rendered

_TEMPLATES: dict[Resource, tuple[str, ...]] = {
    r.DEPLOYMENTS: ("spec", "template"),
    x.LEADER_WORKER_SETS: ("spec", "leaderWorkerTemplate"),
    x.KNATIVE_SERVICES: ("spec", "template"),
    x.RAY_CLUSTERS: ("spec",),
}
"""Where a workload says what its pods are."""
_NOT_OF_INTEREST = frozenset(
    {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}
)


@dataclass(frozen=True)
class Change:
    """One child. ``sign``: ``+`` is made, ``~`` changed, ``-`` deleted, ``!`` refused."""

    sign: str
    what: str
    note: str = ""
    fields: tuple[str, ...] = ()

    @property
    def restarts(self) -> bool:
        """Pods that serve now end by it."""
        return self.note in (_STOPS, _RESTARTS)


def observe(api: Api, service: Object) -> Observed:
    """The service's children."""
    name = metadata(service)["name"]
    query = f"{c.L_INFERENCE_SERVICE}={names.label_value(name)}"
    found = {}
    for resource in MANAGED:
        try:
            listed = api.list(resource, metadata(service)["namespace"], labels=query)
        except NotFound:
            continue  # this cluster has no such kind
        found[resource] = [child for child in listed if belongs(service, child)]
    return Observed(found)


def as_stored(api: Api, service: Object) -> Object:
    """The service as it would be stored: merged with what is there, defaulted, admitted."""
    return api.apply(ours.INFERENCE_SERVICES, service, force=True, dry_run=True)


def changes(api: Api, decision: Decision, observed: Observed) -> Iterator[Change]:
    """In the order in which they would be made."""
    plan = decision.plan
    for action in plan.applies:
        change = _applied(api, action, observed.get(action.resource, action.key.name))
        if change is not None:
            yield change
    for scaled in plan.scales:
        yield Change("~", f"{scaled.resource.kind} {scaled.key.name}", scaled.sentence)
    for gone in plan.deletes:
        workload = gone.resource in _TEMPLATES
        if gone.anew:
            yield Change("~", f"{gone.resource.kind} {gone.key.name}", _RESTARTS)
            continue
        yield Change("-", f"{gone.resource.kind} {gone.key.name}", _STOPS if workload else "")


def hand_overs(rendered: Rendered) -> Iterator[str]:
    """What goes later: a component's workload of another mode, once the new one can serve."""
    for component in rendered.components.values():
        if component.previous is not None:
            kind, name = component.previous
            yield (
                f"{kind.kind} {name} serves until {component.workload.kind} "
                f"{component.workload_name} is available, then it is deleted: {_STOPS}"
            )


_STOPS = "its pods stop"
_RESTARTS = "RESTARTS its pods"


def _applied(api: Api, action: Apply, live: Object | None) -> Change | None:
    what = f"{action.resource.kind} {action.key.name}"
    try:
        after = api.apply(
            action.resource, action.object, force=True, dry_run=True, manager=c.MANAGER
        )
    except StatusError as error:
        return Change("!", what, f"the API server refuses it: {error.message}")
    if live is None:
        return Change("+", what)
    fields = tuple(_differences(_interesting(live), _interesting(after), ""))
    if not fields:
        return None
    path = _TEMPLATES.get(action.resource)
    restarts = path is not None and _at(live, path) != _at(after, path)
    return Change("~", what, _RESTARTS if restarts else "no pod restarts", fields)


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    found: Any = obj
    for key in path:
        found = (found or {}).get(key)
    return found


def _interesting(obj: Object) -> Object:
    meta = {k: v for k, v in metadata(obj).items() if k not in _NOT_OF_INTEREST}
    meta["annotations"] = {
        k: v for k, v in (meta.get("annotations") or {}).items() if k != c.A_INPUT_HASH
    }
    rest = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    return {"metadata": meta, **rest}


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """One line for each leaf that differs; items of lists go by their name where they have one."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({**old, **new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return
    if isinstance(old, list) and isinstance(new, list):
        before, after = _by_name(old), _by_name(new)
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(key), after.get(key), f"{path}[{key}]")
        return
    yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _by_name(items: list[Any]) -> dict[str, Any]:
    named = all(isinstance(item, dict) and item.get("name") for item in items)
    return {str(item["name"] if named else at): item for at, item in enumerate(items)}


def _shown(value: Any) -> str:
    import json

    if value is None:
        return "(nothing)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}..."
