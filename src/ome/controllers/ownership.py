"""Who owns the fields of our children: one server-side applier, ``ome``.

A child is created by POST, the one request that can't touch an object of the same name that is
somebody else's. Fields that came by POST (or from the implementation before this one, which wrote
by PUT) belong to an *updater*; server-side apply would add a second owner beside it and could then
never remove a field. So before the first apply the updaters' entries become the applier's, all but
what others put there through them: finalizers, and who made a Knative Service.

Until then nothing says which of a child's fields we asked for and which the server filled in. So a
created child carries a digest of what it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ome.api import constants as c
from ome.apimachinery.fieldsets import FieldSet
from ome.apimachinery.objects import Object, annotations_of, controller_of, labels_of, metadata

PREDECESSORS = frozenset({c.MANAGER, c.MANAGER_BEFORE})
"""Field managers whose updates were ours: our own POST, and the implementation before this one."""


_OF_KNATIVE = frozenset({"f:serving.knative.dev/creator", "f:serving.knative.dev/lastModifier"})
"""Knative's webhook writes them in the name of whoever sends the request, and refuses that they are
taken away."""
_REPLICAS = FieldSet.from_v1({"f:spec": {"f:replicas": {}}})


def digest(wanted: Object) -> str:
    """Of what is to be applied, order of keys aside.

    Of a pod template that has a digest of its own (:mod:`ome.rendering.rollout`) only that counts:
    while an update waits for its turn, the live template is wanted, and nothing is to be written.
    """
    if c.A_INPUT_HASH in annotations_of(wanted) and "template" in (wanted.get("spec") or {}):
        spec = {name: part for name, part in wanted["spec"].items() if name != "template"}
        wanted = {**wanted, "spec": spec}
    text = json.dumps(wanted, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def for_creation(wanted: Object, replicas: int | None = None) -> Object:
    """The object as it is sent by POST.

    ``replicas`` is in it from the first moment: a workload of zero that got its count a request
    later would have a pod meanwhile, and a node with a GPU for it.
    """
    meta = metadata(wanted)
    marked = {**(meta.get("annotations") or {}), c.A_CREATED_FROM: digest(wanted)}
    made = {**wanted, "metadata": {**meta, "annotations": marked}}
    if replicas is not None:
        made["spec"] = {**made["spec"], "replicas": replicas}
    return made


def created_from(live: Object) -> str:
    """The digest that a child carries until something is applied to it; else empty."""
    return annotations_of(live).get(c.A_CREATED_FROM) or ""


def handed_over(live: Object, wanted: Object) -> list[Object]:
    """A JSON patch that makes the applier own what the updaters own; empty if there are none.

    A replica count that is not ``wanted`` gets no owner: it is the autoscaler's, and applying
    without it must not reset it. The patch fails with Conflict where the object has changed since
    ``live`` was read.
    """
    meta = metadata(live)
    entries: list[Mapping[str, Any]] = list(meta.get("managedFields") or ())
    stale = [entry for entry in entries if _is_stale(entry)]
    if not stale:
        return []
    version = stale[-1].get("apiVersion")
    owned = FieldSet()
    rest: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry in stale or _is_applier(entry):
            fields = FieldSet.from_v1(entry.get("fieldsV1"))
            left = _of_others(fields)
            owned = owned | (fields - left)
            if left and entry in stale:
                rest.append({**entry, "fieldsV1": left.to_v1()})
        else:
            rest.append(entry)
    if "replicas" not in (wanted.get("spec") or {}):
        owned = owned - _REPLICAS
    ours = {
        "manager": c.MANAGER,
        "operation": "Apply",
        "apiVersion": version,
        "fieldsType": "FieldsV1",
        "fieldsV1": owned.to_v1(),
        "time": stale[-1].get("time"),
    }
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [ours, *rest]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
    ]


def freed(live: Object, wanted: Object) -> list[Object]:
    """A JSON patch that takes back ports whose number somebody has changed; empty without any.

    Ports are told apart by number, so applying would put ours beside the changed one, and two of
    one name are refused. What somebody has added under a name of its own stays.
    """
    patch = list(_freed(live.get("spec"), wanted.get("spec"), "/spec"))
    if not patch:
        return []
    version = metadata(live)["resourceVersion"]
    return [*patch, {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]


def _freed(live: Any, wanted: Any, path: str) -> Iterator[Object]:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key, value in wanted.items():
            here = f"{path}/{key}"
            if key == "ports" and isinstance(value, list):
                yield from _freed_ports(live.get(key), value, here)
            elif isinstance(value, dict | list) and "/" not in key:
                yield from _freed(live.get(key), value, here)
    elif isinstance(live, list) and isinstance(wanted, list):
        named = {item["name"]: item for item in wanted if isinstance(item, dict) and "name" in item}
        for index, item in enumerate(live):
            if isinstance(item, dict) and item.get("name") in named:
                yield from _freed(item, named[item["name"]], f"{path}/{index}")


def _freed_ports(live: Any, wanted: list[Any], path: str) -> Iterator[Object]:
    if not isinstance(live, list):
        return
    ours = {_port(item) for item in wanted}
    names = {item.get("name") for item in wanted}
    others = [item for item in live if _port(item) not in ours]
    kept = [item for item in others if item.get("name") not in names]
    if len(kept) < len(others):
        yield {"op": "replace", "path": path, "value": [*wanted, *kept]}


def _port(item: Mapping[str, Any]) -> tuple[Any, str]:
    return item.get("port", item.get("containerPort")), item.get("protocol") or "TCP"


def is_stray(live: Object, wanted: Object) -> bool:
    """True for a child that OME made and that nobody controls any more: its owner reference was
    taken away by hand, or its service was deleted with ``--cascade=orphan`` and made anew."""
    if controller_of(live) is not None:
        return False
    label = labels_of(live).get(c.L_INFERENCE_SERVICE)
    if label not in (None, labels_of(wanted).get(c.L_INFERENCE_SERVICE)):
        return False
    entries = metadata(live).get("managedFields") or ()
    return bool(created_from(live)) or any(_is_applier(entry) for entry in entries)


def marks(live: Object, wanted: Object) -> Object:
    """A merge patch that gives the child its labels and its owner back; empty where it has them.

    It fails with Conflict where the object has changed since ``live`` was read.
    """
    meta, now = metadata(wanted), metadata(live)
    have = labels_of(live)
    patch: Object = {}
    labels = {key: value for key, value in labels_of(wanted).items() if have.get(key) != value}
    if labels:
        patch["labels"] = labels
    owners: list[Object] = list(now.get("ownerReferences") or ())
    missing = [owner for owner in meta.get("ownerReferences") or () if owner not in owners]
    if missing:
        ours = {owner.get("uid") for owner in missing}
        patch["ownerReferences"] = [*(o for o in owners if o.get("uid") not in ours), *missing]
    if not patch:
        return {}
    return {"metadata": {**patch, "resourceVersion": now["resourceVersion"]}}


def _is_stale(entry: Mapping[str, Any]) -> bool:
    if (
        entry.get("manager") not in PREDECESSORS
        or entry.get("operation") != "Update"
        or entry.get("subresource")
    ):
        return False
    fields = FieldSet.from_v1(entry.get("fieldsV1"))
    return bool(fields - _of_others(fields))


def _of_others(fields: FieldSet) -> FieldSet:
    """What is there under the name of an updater and is not ours to remove: finalizers (other
    programs are called ``manager``, too), and who made a Knative Service."""
    meta = fields.tree.get("f:metadata") or {}
    found: dict[str, Any] = {key: meta[key] for key in ("f:finalizers",) if key in meta}
    annotations = meta.get("f:annotations") or {}
    if kept := {key: value for key, value in annotations.items() if key in _OF_KNATIVE}:
        found["f:annotations"] = kept
    return FieldSet({"f:metadata": found} if found else {})


def _is_applier(entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("manager") == c.MANAGER
        and entry.get("operation") == "Apply"
        and not entry.get("subresource")
    )
