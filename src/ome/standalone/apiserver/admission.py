"""How whoever composes the server has a say in writes.

``Admission.admit`` runs in process, synchronously, between reading an object and storing it. It
sees the store through a :class:`ReadView` and must not call the server. It may return a changed
object; the server applies defaults, pruning and validation to what comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ome.apimachinery.errors import FieldError, Forbidden, Invalid, StatusError
from ome.apimachinery.objects import Object, Resource
from ome.standalone.apiserver.codec import decode_copy
from ome.standalone.apiserver.registry import Registry
from ome.standalone.apiserver.store import Store


class ReadView:
    """Read access to everything stored. Objects that it returns are private copies."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None. Only group and plural of ``resource`` matter."""
        entry = self._store.get(_bucket(resource), namespace, name)
        return decode_copy(entry.data) if entry else None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a namespace, or of all namespaces, sorted by namespace and name."""
        return [decode_copy(e.data) for e in self._store.select(_bucket(resource), namespace)]


def _bucket(resource: Resource) -> str:
    return f"{resource.group}/{resource.plural}"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """``operation`` is CREATE, UPDATE or DELETE. ``object`` is None for DELETE, ``old`` for
    CREATE. ``subresource`` is empty for the object itself."""

    operation: str
    resource: Resource
    subresource: str
    namespace: str
    name: str
    object: Object | None
    old: Object | None
    user: str
    dry_run: bool
    view: ReadView


@dataclass(frozen=True, slots=True)
class AdmissionResponse:
    """``object`` is the object to store (None: as it came). With ``errors`` (422) or ``message``
    (``code``, 403 if not given) the write is refused. Warnings are shown to the client."""

    object: Object | None = None
    errors: Sequence[FieldError] = ()
    message: str = ""
    code: int = 403
    warnings: Sequence[str] = ()


class Admission(Protocol):
    def admit(self, request: AdmissionRequest) -> AdmissionResponse: ...


def refusal(request: AdmissionRequest, response: AdmissionResponse) -> StatusError | None:
    """The error that a response stands for, or None if the write may go on."""
    resource = request.resource
    if response.errors:
        return Invalid.of(resource.kind, request.name, response.errors, resource.group)
    if response.message:
        text = f'{resource} "{request.name}" is forbidden: {response.message}'
        if response.code == 403:
            return Forbidden(text, details={"name": request.name, "kind": resource.plural})
        return StatusError.from_status({"code": response.code, "message": response.message})
    return None
