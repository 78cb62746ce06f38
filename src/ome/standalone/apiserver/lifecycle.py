"""What a write does to an object's metadata, and when a deletion is final. Pure functions.

An object that has finalizers, or a pod that still runs, is not removed by DELETE: it gets a
``deletionTimestamp`` and goes when the last finalizer goes (and, for a pod, when its node deletes
it with grace period 0).
"""

from __future__ import annotations

import datetime
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object, metadata
from ome.standalone.apiserver import failures
from ome.standalone.apiserver.kinds import Kind

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_MAX_GENERATED_BASE = 63 - _SUFFIX

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"

# What the server alone sets. An update takes these from the stored object.
_FIXED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def now_text() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def random_name(base: str) -> str:
    """``generateName`` made concrete, in the form that Kubernetes gives it."""
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX))
    return base[:_MAX_GENERATED_BASE] + suffix


def start_of_life(kind: Kind, obj: Object, namespace: str, now: str) -> None:
    """Set the metadata of a new object, in place."""
    meta = obj["metadata"]
    if meta.get("resourceVersion") not in (None, "", "0"):
        raise BadRequest("metadata.resourceVersion must not be set on objects to be created")
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        meta.pop(name, None)
    meta.pop("resourceVersion", None)
    if kind.namespaced:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now
    if kind.has_generation:
        meta["generation"] = 1


def carry_over(kind: Kind, old: Object, new: Object) -> None:
    """Give an update the metadata that only the server sets, in place. Raises Conflict where the
    body names another object of the same name."""
    before, after = old["metadata"], new["metadata"]
    if after.get("uid") not in (None, "", before["uid"]):
        raise failures.conflict(
            kind,
            before["name"],
            f"Precondition failed: UID in precondition: {after['uid']}, UID in object meta: "
            f"{before['uid']}",
        )
    for name in _FIXED:
        if name in before:
            after[name] = before[name]
        else:
            after.pop(name, None)
    after.pop("selfLink", None)
    after["name"] = before["name"]
    if "namespace" in before:
        after["namespace"] = before["namespace"]
    if not after.get("generateName") and before.get("generateName"):
        after["generateName"] = before["generateName"]


def set_generation(kind: Kind, old: Object, new: Object) -> None:
    """Count a change of anything but metadata and status as a new generation, in place."""
    meta = new["metadata"]
    if not kind.has_generation:
        meta.pop("generation", None)
        return
    current = old["metadata"].get("generation") or 1
    meta["generation"] = current if _desired(kind, old) == _desired(kind, new) else current + 1


def _desired(kind: Kind, obj: Object) -> Object:
    hidden = {"metadata", "apiVersion", "kind"}
    if kind.has_status or not kind.custom:
        hidden.add("status")
    return {name: value for name, value in obj.items() if name not in hidden}


def same(old: Object, new: Object) -> bool:
    """Whether a write would change nothing but its own bookkeeping."""
    if {k: v for k, v in old.items() if k != "metadata"} != {
        k: v for k, v in new.items() if k != "metadata"
    }:
        return False
    return _comparable(old["metadata"]) == _comparable(new["metadata"])


def _comparable(meta: Mapping[str, Any]) -> Object:
    result = {k: v for k, v in meta.items() if k not in ("resourceVersion", "managedFields")}
    result["managedFields"] = [
        {k: v for k, v in entry.items() if k != "time"} for entry in meta.get("managedFields") or ()
    ]
    return result


# -- deletion ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The body of a DELETE. ``propagation`` is Background, Foreground, Orphan, or empty to leave
    it as the object's finalizers have it."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""

    def check(self, kind: Kind, live: Object) -> None:
        """Raise Conflict if a precondition does not hold."""
        meta = live["metadata"]
        for what, wanted, found, then in (
            ("UID", self.uid, meta["uid"], "deleted and then recreated"),
            ("ResourceVersion", self.resource_version, meta["resourceVersion"], "modified"),
        ):
            if wanted and wanted != found:
                raise failures.precondition(
                    kind,
                    meta["name"],
                    f"the {what} in the precondition ({wanted}) does not match the {what} in "
                    f"record ({found}). The object might have been {then}",
                )


def mark_deleted(kind: Kind, live: Object, options: DeleteOptions) -> tuple[Object, bool]:
    """The object as a DELETE leaves it, and whether it is to be removed now."""
    obj = {**live, "metadata": dict(live["metadata"])}
    meta = obj["metadata"]
    if options.propagation:
        _set_propagation(meta, options.propagation)
    grace = _grace_seconds(kind, live, options)
    first_time = "deletionTimestamp" not in meta
    if first_time or grace < (meta.get("deletionGracePeriodSeconds") or 0):
        meta["deletionTimestamp"] = _later(grace)
        if not _is_namespace(kind):
            meta["deletionGracePeriodSeconds"] = grace
        if first_time and "generation" in meta:
            meta["generation"] += 1
    if _is_namespace(kind):
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return obj, is_final(kind, obj)


def _is_namespace(kind: Kind) -> bool:
    return kind.resource.kind == "Namespace" and not kind.resource.group


def is_graceful(kind: Kind) -> bool:
    """Whether objects of this kind are told to end before they go."""
    return kind.resource.kind == "Pod" and not kind.resource.group


def is_final(kind: Kind, obj: Mapping[str, Any]) -> bool:
    """Whether nothing holds an object that is being deleted any more."""
    meta = metadata(obj)
    if "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    if kind.resource.group:
        return True
    if kind.resource.kind == "Namespace":
        return not (obj.get("spec") or {}).get("finalizers")
    if kind.resource.kind == "Pod":
        return not meta.get("deletionGracePeriodSeconds")
    return True


def _set_propagation(meta: Object, propagation: str) -> None:
    finalizers = [f for f in meta.get("finalizers") or () if f not in (ORPHAN, FOREGROUND)]
    if propagation == "Orphan":
        finalizers.append(ORPHAN)
    elif propagation == "Foreground":
        finalizers.append(FOREGROUND)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _grace_seconds(kind: Kind, live: Object, options: DeleteOptions) -> int:
    if not is_graceful(kind):
        return 0
    spec = live.get("spec") or {}
    ended = (live.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if ended or not spec.get("nodeName"):
        return 0
    if options.grace_seconds is not None:
        return max(options.grace_seconds, 0)
    period = spec.get("terminationGracePeriodSeconds")
    return 30 if period is None else int(period)


def _later(seconds: int) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
