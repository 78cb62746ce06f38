"""The raw form of an object, and how it is named.

An object is the JSON that an API server gave: a plain ``dict``. Everything else in OME looks at it
through lenses and never copies it into a form that could lose a field. Functions here treat their
arguments as read-only unless their name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or any JSON object inside one."""


class Key(NamedTuple):
    """Names one object of a known kind. ``namespace`` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A kind together with where the API serves it.

    ``plural`` is the path segment (``deployments``); ``group`` is empty for the core group.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The value of ``apiVersion`` in objects of this kind, for example ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path, for example ``/apis/apps/v1/namespaces/a/deployments/b/status``.

        An empty namespace of a namespaced kind means all namespaces (lists and watches only).
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object's metadata; an empty mapping where it is absent or null."""
    return obj.get("metadata") or {}


def key_of(obj: Mapping[str, Any]) -> Key:
    """Namespace and name of an object."""
    meta = metadata(obj)
    return Key(meta.get("namespace") or "", meta.get("name") or "")


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata(obj).get("annotations") or {}


def uid_of(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("uid") or ""


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference that is marked as controller, if any."""
    for reference in metadata(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            return reference  # type: ignore[no-any-return]
    return None


def owner_reference(owner: Mapping[str, Any], *, controller: bool = True) -> Object:
    """A reference for ``metadata.ownerReferences`` that makes ``owner`` the child's owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata(owner)["name"],
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def condition(obj: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    """The condition of that type in ``status.conditions``, if present."""
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry.get("type") == type_:
            return entry  # type: ignore[no-any-return]
    return None
