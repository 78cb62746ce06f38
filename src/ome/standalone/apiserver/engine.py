"""What each write does: one path for all kinds.

Every change goes read -> compute -> (admission) -> validate -> store under the object's lock, so
that a change is always based on the newest state. A write that would change nothing is not stored
and gives back the object as it is: its ``resourceVersion`` stays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ome.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    StatusError,
    not_found,
)
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import lifecycle, rules
from ome.standalone.apiserver.admission import Admission, AdmissionRequest, ReadView, refusal
from ome.standalone.apiserver.codec import decode_stored, encode, encode_object
from ome.standalone.apiserver.disk import StoreError
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.lifecycle import DeleteOptions
from ome.standalone.apiserver.managed import Ownership
from ome.standalone.apiserver.registry import Registry
from ome.standalone.apiserver.selecting import selectable
from ome.standalone.apiserver.store import Entry, Store

log = logging.getLogger(__name__)

NAMESPACE_BUCKET = "/namespaces"
_GENERATE_ATTEMPTS = 8


@dataclass(slots=True)
class Call:
    """One request, as far as a write cares. ``warnings`` grows while it is served."""

    user: str = "system:apiserver"
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


Change = Callable[[Object], Object]
"""The object as it is (private to the callee) to the object as it is wanted."""


class Engine:
    """Writes for every kind. ``committed`` is told about each stored change, for the parts of the
    server that follow what is stored (CRDs); it gets the kind, the state before and after."""

    def __init__(self, store: Store, registry: Registry, admission: Admission | None) -> None:
        self.store = store
        self.registry = registry
        self._admission = admission
        self._view = ReadView(store, registry)
        self.prepare: Callable[[Kind, Object | None, Object], list[FieldError]] = _nothing_to_do
        self.committed: Callable[[Kind, Object | None, Object | None], None] = _nobody_told

    # -- reading ---------------------------------------------------------------------------

    def live(self, kind: Kind, namespace: str, name: str) -> Object:
        """The object as it is now. Raises NotFound."""
        entry = self.store.get(kind.bucket, namespace, name)
        if entry is None:
            raise not_found(str(kind.resource), name)
        return rules.present(kind, decode_stored(entry.data))

    def served(self, kind: Kind, entry: Entry) -> bytes:
        """The bytes that a client gets for a stored state."""
        if entry.rv > kind.schema_revision and entry.data.startswith(kind.prefix):
            return entry.data
        return encode_object(rules.present(kind, decode_stored(entry.data)))

    # -- create ----------------------------------------------------------------------------

    async def create(self, kind: Kind, namespace: str, body: Object, call: Call) -> Object:
        obj = _with_metadata(kind, body)
        named = bool(obj["metadata"].get("name"))
        base = obj["metadata"].get("generateName")
        if not named and not base:
            raise Invalid.of(
                kind.resource.kind,
                "",
                [
                    FieldError(
                        "metadata.name",
                        "Required value: name or generateName is required",
                        "FieldValueRequired",
                    )
                ],
                kind.resource.group,
            )
        for attempt in range(_GENERATE_ATTEMPTS):
            if not named:
                obj["metadata"]["name"] = lifecycle.random_name(base)
            try:
                return await self._create(kind, namespace, obj, call)
            except AlreadyExists:
                if named or attempt == _GENERATE_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _create(
        self, kind: Kind, namespace: str, body: Object, call: Call, owned: Ownership | None = None
    ) -> Object:
        obj = {**body, "metadata": dict(body["metadata"])}
        name = obj["metadata"]["name"]
        async with self.store.lock(kind.bucket, namespace, name):
            self._check_namespace(kind, namespace)
            if self.store.get(kind.bucket, namespace, name) is not None:
                raise AlreadyExists(
                    f'{kind.resource} "{name}" already exists',
                    details={
                        "name": name,
                        "kind": kind.resource.plural,
                        **({"group": kind.resource.group} if kind.resource.group else {}),
                    },
                )
            lifecycle.start_of_life(kind, obj, namespace, lifecycle.now_text())
            obj = rules.conform(kind, obj, call)
            rules.initial(kind, obj)
            obj = self._admit("CREATE", kind, "", namespace, name, obj, None, call)
            problems = self.prepare(kind, None, obj) + rules.validate(kind, obj, None)
            self._refuse(kind, name, problems)
            obj = (owned or Ownership(call.manager)).record(kind, None, obj)
            return await self._store(kind, None, obj, call)

    def _check_namespace(self, kind: Kind, namespace: str) -> None:
        if not kind.namespaced:
            return
        entry = self.store.get(NAMESPACE_BUCKET, "", namespace)
        if entry is None:
            raise not_found("namespaces", namespace)
        if b'"deletionTimestamp"' in entry.data:
            meta = decode_stored(entry.data)["metadata"]
            if "deletionTimestamp" in meta:
                text = (
                    f"{kind.resource} is forbidden: unable to create new content in namespace "
                    f"{namespace} because it is being terminated"
                )
                cause = {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
                raise Forbidden(text, details={"kind": kind.resource.plural, "causes": [cause]})

    # -- update and patch ------------------------------------------------------------------

    async def update(
        self, kind: Kind, namespace: str, name: str, body: Object, call: Call, subresource: str = ""
    ) -> Object:
        """PUT: the body replaces the object (or its status)."""
        new = _with_metadata(kind, body)
        if new["metadata"].get("name") not in (None, "", name):
            raise BadRequest(
                f"the name of the object ({new['metadata']['name']}) does not match the name on "
                f"the URL ({name})"
            )
        return await self.change(kind, namespace, name, lambda _: new, call, subresource)

    async def change(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        call: Call,
        subresource: str = "",
        *,
        unconditional: bool = False,
    ) -> Object:
        """Read, change and store one object. ``change`` may raise a StatusError."""
        async with self.store.lock(kind.bucket, namespace, name):
            old = self.live(kind, namespace, name)
            new = change(rules.copy(old))
            return await self._replace(
                kind, old, new, call, subresource, Ownership(call.manager, subresource)
            )

    async def apply(
        self, kind: Kind, namespace: str, name: str, patch: Object, call: Call, subresource: str
    ) -> Object:
        """Server-side apply: create or merge, and note who owns which field."""
        owned = Ownership(call.manager, subresource, applied=True)
        patch = _with_metadata(kind, patch)
        patch["metadata"].setdefault("name", name)
        if patch["metadata"]["name"] != name:
            raise BadRequest(
                f"metadata.name ({patch['metadata']['name']}) does not match the URL ({name})"
            )
        if patch["metadata"].get("managedFields"):
            raise BadRequest("metadata.managedFields must be nil in an apply request")
        rules.report_unknown(kind, patch, call)
        for _ in range(_GENERATE_ATTEMPTS):
            async with self.store.lock(kind.bucket, namespace, name):
                if self.store.get(kind.bucket, namespace, name) is not None:
                    old = self.live(kind, namespace, name)
                    new = owned.merge(kind, old, patch, force=call.force)
                    return await self._replace(kind, old, new, call, subresource, owned)
            if subresource:
                raise not_found(str(kind.resource), name)
            if patch["metadata"].get("uid"):
                raise Conflict(f'uid mismatch: {kind.resource} "{name}" does not exist')
            merged = owned.merge(kind, None, patch, force=call.force)
            try:
                return await self._create(kind, namespace, merged, call, owned)
            except AlreadyExists:
                continue
        raise Conflict(f'{kind.resource} "{name}" is created and deleted all the time; try again')

    async def _replace(
        self,
        kind: Kind,
        old: Object,
        new: Object,
        call: Call,
        subresource: str,
        owned: Ownership,
    ) -> Object:
        meta = old["metadata"]
        name, namespace = meta["name"], meta.get("namespace", "")
        asked = new["metadata"].get("resourceVersion")
        if asked not in (None, "", "0", meta["resourceVersion"]):
            raise Conflict(
                f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been '
                "modified; please apply your changes to the latest version and try again",
                details={
                    "name": name,
                    "kind": kind.resource.plural,
                    **({"group": kind.resource.group} if kind.resource.group else {}),
                },
            )
        problems = lifecycle.carry_over(kind, old, new)
        new = rules.conform(kind, new, call)
        new = rules.isolate(kind, old, new, subresource)
        new = self._admit("UPDATE", kind, subresource, namespace, name, new, old, call)
        new = rules.isolate(kind, old, new, subresource)
        lifecycle.set_generation(kind, old, new)
        problems += self.prepare(kind, old, new)
        problems += rules.validate(kind, new, old)
        self._refuse(kind, name, problems)
        new = owned.record(kind, old, new)
        if lifecycle.same(old, new):
            return old
        if lifecycle.is_final(kind, new):
            return await self._remove(kind, old, new, call)
        return await self._store(kind, old, new, call)

    # -- delete ----------------------------------------------------------------------------

    async def delete(
        self, kind: Kind, namespace: str, name: str, options: DeleteOptions, call: Call
    ) -> tuple[Object, bool]:
        """DELETE: the object as it was or is now, and whether it is gone."""
        async with self.store.lock(kind.bucket, namespace, name):
            old = self.live(kind, namespace, name)
            options.check(kind, old)
            self._admit("DELETE", kind, "", namespace, name, None, old, call)
            new = lifecycle.mark_deleted(kind, old, options)
            if new is None:
                return await self._remove(kind, old, old, call), True
            if lifecycle.same(old, new):
                return old, False
            return await self._store(kind, old, new, call), False

    # -- shared ----------------------------------------------------------------------------

    def _admit(
        self,
        operation: str,
        kind: Kind,
        subresource: str,
        namespace: str,
        name: str,
        obj: Object | None,
        old: Object | None,
        call: Call,
    ) -> Object:
        if self._admission is None:
            return obj or {}
        request = AdmissionRequest(
            operation,
            kind.resource,
            subresource,
            namespace,
            name,
            obj,
            old,
            call.user,
            call.dry_run,
            self._view,
        )
        try:
            response = self._admission.admit(request)
        except StatusError:
            raise
        except Exception as error:
            log.exception("admission of %s %s/%s failed", kind.resource, namespace, name)
            raise StatusError(f"admission failed: {type(error).__name__}: {error}") from error
        for text in response.warnings:
            call.warn(text)
        refused = refusal(request, response)
        if refused is not None:
            raise refused
        if response.object is None or response.object is obj:
            return obj or {}
        return rules.conform(kind, response.object, call)

    @staticmethod
    def _refuse(kind: Kind, name: str, problems: list[FieldError]) -> None:
        if problems:
            raise Invalid.of(kind.resource.kind, name, problems, kind.resource.group)

    async def _store(self, kind: Kind, old: Object | None, new: Object, call: Call) -> Object:
        if call.dry_run:
            return new
        meta = new["metadata"]
        revision = self.store.next_revision()
        meta["resourceVersion"] = str(revision)
        entry = Entry(meta.get("namespace", ""), meta["name"], revision, encode_object(new))
        await self._write(
            kind,
            old,
            new,
            self.store.write(
                kind.bucket,
                entry,
                expected=_revision(old),
                previous=_previous(kind, old, new),
            ),
        )
        self.committed(kind, old, new)
        return new

    async def _remove(self, kind: Kind, old: Object, new: Object, call: Call) -> Object:
        if call.dry_run:
            return new
        revision = self.store.next_revision()
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": str(revision)}}
        meta = new["metadata"]
        entry = Entry(meta.get("namespace", ""), meta["name"], revision, encode_object(new))
        await self._write(
            kind,
            old,
            new,
            self.store.write(
                kind.bucket,
                entry,
                expected=_revision(old),
                delete=True,
                previous=_previous(kind, old, new),
            ),
        )
        self.committed(kind, old, None)
        return new

    async def _write(
        self, kind: Kind, old: Object | None, new: Object, done: Awaitable[Entry]
    ) -> None:
        try:
            await done
        except StoreError as error:
            raise StatusError(str(error), code=507, reason="InsufficientStorage") from error


def _revision(obj: Object | None) -> int:
    return int(obj["metadata"]["resourceVersion"]) if obj else 0


def _previous(kind: Kind, old: Object | None, new: Object) -> bytes | None:
    if old is None:
        return None
    before = selectable(kind, old)
    return encode(before) if before != selectable(kind, new) else None


def _with_metadata(kind: Kind, body: Object) -> Object:
    """A shallow copy of a body that names its kind rightly and has metadata."""
    resource = kind.resource
    for name, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        given = body.get(name)
        if given not in (None, "", wanted):
            raise BadRequest(
                f"the {name} in the body ({given}) does not match the one on the URL ({wanted})"
            )
    meta = body.get("metadata")
    if meta is not None and not isinstance(meta, dict):
        raise BadRequest("metadata must be an object")
    return {
        **body,
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": dict(meta or {}),
    }


def _nothing_to_do(kind: Kind, old: Object | None, new: Object) -> list[FieldError]:
    return []


def _nobody_told(kind: Kind, old: Object | None, new: Object | None) -> None:
    return None
