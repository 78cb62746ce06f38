"""What each write does: one path for all kinds.

Every change goes read -> compute -> (admission) -> validate -> store under the object's lock, so
that a change is always based on the newest state. A write that would change nothing is not stored
and gives back the object as it is: its ``resourceVersion`` stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ome.apimachinery.errors import (
    AlreadyExists,
    BadRequest,
    FieldError,
    Invalid,
    StatusError,
    not_found,
)
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, is_deleting
from ome.apimachinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from ome.standalone.apiserver import failures, lifecycle, rules
from ome.standalone.apiserver.admission import Admission, AdmissionRequest, ReadView, refusal
from ome.standalone.apiserver.codec import decode_stored, encode, encode_object
from ome.standalone.apiserver.disk import StoreError
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.lifecycle import DeleteOptions
from ome.standalone.apiserver.managed import Ownership
from ome.standalone.apiserver.registry import Registry
from ome.standalone.apiserver.selecting import selectable
from ome.standalone.apiserver.store import Entry, Stale, Store

log = logging.getLogger(__name__)

NAMESPACE_BUCKET = "/namespaces"
PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_ATTEMPTS = 8


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
"""The object as it is (which must not be changed) to the object as it is wanted."""

Prepare = Callable[[Kind, Object | None, Object, Call], list[FieldError]]
"""A last look at a valid object before it is stored, which may complete it in place."""

Committed = Callable[[Kind, Object | None, Object | None], None]

_UNREPORTED = Call(validation="Ignore")
"""For bodies that no client wrote."""


class Engine:
    """Writes for every kind. ``committed`` is told about each stored change, for the parts of the
    server that follow what is stored (CRDs); it gets the kind, the state before and after."""

    def __init__(self, store: Store, registry: Registry, admission: Admission | None) -> None:
        self.store = store
        self.registry = registry
        self._admission = admission
        self._view = ReadView(store, registry)
        self.prepare: Prepare = _nothing_to_do
        self.committed: Committed = _nobody_told

    # -- reading ---------------------------------------------------------------------------

    def live(self, kind: Kind, namespace: str, name: str) -> Object:
        """The object as it is now. Raises NotFound."""
        entry = self.store.get(kind.bucket, namespace, name)
        if entry is None:
            raise not_found(str(kind.resource), name)
        return self._present(kind, entry)

    def served(self, kind: Kind, entry: Entry) -> bytes:
        """The bytes that a client gets for a stored state."""
        if entry.rv > kind.schema_revision and entry.data.startswith(kind.prefix):
            return entry.data
        return encode_object(self._present(kind, entry))

    def _present(self, kind: Kind, entry: Entry) -> Object:
        return rules.present(kind, self.registry.stored_as(kind), decode_stored(entry.data))

    # -- create ----------------------------------------------------------------------------

    async def create(self, kind: Kind, namespace: str, body: Object, call: Call) -> Object:
        """POST. A name made from ``generateName`` that is taken is made again."""
        obj = _with_metadata(kind, body)
        named = bool(obj["metadata"].get("name"))
        base = obj["metadata"].get("generateName")
        if not named and not base:
            raise failures.name_required(kind)
        for attempt in range(_ATTEMPTS):
            if not named:
                obj["metadata"]["name"] = lifecycle.random_name(base)
            try:
                return await self._create(kind, namespace, obj, call, Ownership(call.manager))
            except AlreadyExists:
                if named or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _create(
        self, kind: Kind, namespace: str, body: Object, call: Call, owned: Ownership
    ) -> Object:
        obj = {**body, "metadata": dict(body["metadata"])}
        name = obj["metadata"]["name"]
        async with self.store.lock(kind.bucket, namespace, name):
            self._check_namespace(kind, namespace, name)
            if self.store.get(kind.bucket, namespace, name) is not None:
                raise failures.already_exists(kind, name)
            lifecycle.start_of_life(kind, obj, namespace, lifecycle.now_text())
            obj = rules.initial(kind, rules.shape_new(kind, obj, call))
            admitted = self._admit("CREATE", kind, "", obj, None, call)
            if admitted is not obj:
                obj = rules.shape_new(kind, admitted, _UNREPORTED)
                obj = rules.initial(kind, obj)
            self._refuse(kind, name, rules.validate(kind, obj, None))
            self._refuse(kind, name, self.prepare(kind, None, obj, call))
            obj = owned.record(kind, None, obj)
            return await self._store(kind, None, obj, call)

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        entry = self.store.get(NAMESPACE_BUCKET, "", namespace)
        if entry is None:
            raise not_found("namespaces", namespace)
        # The cheap test is right almost always and never misses a deletion.
        if b'"deletionTimestamp"' in entry.data and is_deleting(decode_stored(entry.data)):
            raise failures.namespace_terminating(kind, name, namespace)

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
        if kind.custom and new["metadata"].get("resourceVersion") in (None, "", "0"):
            problem = FieldError(
                "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
            )
            self._refuse(kind, name, [problem])
        return await self.change(kind, namespace, name, lambda _: new, call, subresource)

    async def change(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Change,
        call: Call,
        subresource: str = "",
    ) -> Object:
        """Read, change and store one object. ``change`` may raise a StatusError."""
        async with self.store.lock(kind.bucket, namespace, name):
            old = self.live(kind, namespace, name)
            new = _with_metadata(kind, change(old))
            owned = Ownership(call.manager, subresource)
            return await self._replace(kind, old, new, call, owned)

    async def apply(
        self, kind: Kind, namespace: str, name: str, patch: Object, call: Call, subresource: str
    ) -> Object:
        """Server-side apply: create or merge, and note who owns which field."""
        owned = Ownership(call.manager, subresource, applied=True)
        if not patch.get("apiVersion") or not patch.get("kind"):
            raise BadRequest("an applied object must state its apiVersion and kind")
        patch = _with_metadata(kind, patch)
        patch["metadata"].setdefault("name", name)
        if patch["metadata"]["name"] != name:
            raise BadRequest(
                f"metadata.name ({patch['metadata']['name']}) does not match the URL ({name})"
            )
        patch = rules.known_only(kind, patch)
        asked = patch["metadata"].get("resourceVersion")
        for _ in range(_ATTEMPTS):
            async with self.store.lock(kind.bucket, namespace, name):
                if self.store.get(kind.bucket, namespace, name) is not None:
                    old = self.live(kind, namespace, name)
                    if asked not in (None, "", "0", old["metadata"]["resourceVersion"]):
                        raise failures.conflict(kind, name)
                    new = owned.merge(kind, old, patch, force=call.force)
                    return await self._replace(kind, old, new, call, owned)
            if subresource:
                raise not_found(str(kind.resource), name)
            if patch["metadata"].get("uid"):
                raise failures.conflict(kind, name, _no_such_uid(patch))
            new = owned.merge(kind, None, patch, force=call.force)
            try:
                return await self._create(kind, namespace, new, call, owned)
            except AlreadyExists:
                continue
        raise failures.conflict(kind, name, "it is created and deleted all the time; try again")

    async def _replace(
        self, kind: Kind, old: Object, new: Object, call: Call, owned: Ownership
    ) -> Object:
        meta = old["metadata"]
        name, subresource = meta["name"], owned.subresource
        given = new["metadata"].get("name")
        if given not in (None, "", name):
            raise BadRequest(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
            )
        new = {**new, "metadata": dict(new["metadata"])}
        if new["metadata"].get("resourceVersion") not in (None, "", "0", meta["resourceVersion"]):
            raise failures.conflict(kind, name)
        lifecycle.carry_over(kind, old, new)
        new = rules.shape(kind, old, new, subresource, call)
        admitted = self._admit("UPDATE", kind, subresource, new, old, call)
        if admitted is not new:
            new = {**admitted, "metadata": dict(admitted["metadata"])}
            lifecycle.carry_over(kind, old, new)
            new = rules.shape(kind, old, new, subresource, _UNREPORTED)
        new = {**new, "metadata": dict(new["metadata"])}
        if subresource != "binding":
            lifecycle.set_generation(kind, old, new)
        self._refuse(kind, name, rules.validate(kind, new, old, subresource))
        self._refuse(kind, name, self.prepare(kind, old, new, call))
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
            self._admit("DELETE", kind, "", None, old, call)
            if kind.bucket == NAMESPACE_BUCKET and name in PROTECTED_NAMESPACES:
                raise failures.namespace_protected(kind, name)
            new, gone = lifecycle.mark_deleted(kind, old, options)
            if gone:
                last = new if lifecycle.is_graceful(kind) else old
                return await self._remove(kind, old, last, call), True
            if lifecycle.same(old, new):
                return old, False
            return await self._store(kind, old, new, call), False

    # -- shared ----------------------------------------------------------------------------

    def _admit(
        self,
        operation: str,
        kind: Kind,
        subresource: str,
        obj: Object | None,
        old: Object | None,
        call: Call,
    ) -> Object:
        """The object as admission wants it; ``obj`` itself if it has nothing to change."""
        subject = obj if obj is not None else old
        assert subject is not None
        if self._admission is None:
            return subject
        meta = subject["metadata"]
        request = AdmissionRequest(
            operation,
            kind.resource,
            subresource,
            meta.get("namespace") or "",
            meta["name"],
            _private(kind, obj),
            _private(kind, old),
            call.user,
            call.dry_run,
            self._view,
        )
        try:
            response = self._admission.admit(request)
        except StatusError:
            raise
        except Exception as error:
            where = f"{kind.resource} {meta.get('namespace', '')}/{meta['name']}"
            log.exception("admission of %s failed", where)
            raise StatusError(f"admission failed: {type(error).__name__}: {error}") from error
        for text in response.warnings:
            call.warn(text)
        refused = refusal(request, response)
        if refused is not None:
            raise refused
        if obj is None or response.object is None or response.object == obj:
            return subject
        return _with_metadata(kind, response.object)

    @staticmethod
    def _refuse(kind: Kind, name: str, problems: list[FieldError]) -> None:
        if problems:
            raise Invalid.of(kind.resource.kind, name, problems, kind.resource.group)

    async def _store(self, kind: Kind, old: Object | None, new: Object, call: Call) -> Object:
        if not call.dry_run:
            await self._commit(kind, old, new, delete=False)
        return new

    async def _remove(self, kind: Kind, old: Object, new: Object, call: Call) -> Object:
        new = {**new, "metadata": dict(new["metadata"])}
        if not call.dry_run:
            await self._commit(kind, old, new, delete=True)
        return new

    async def _commit(self, kind: Kind, old: Object | None, new: Object, *, delete: bool) -> None:
        """Hand a state to the store, with a new revision (which ``new`` gets in place)."""
        meta = new["metadata"]
        revision = self.store.next_revision()
        meta["resourceVersion"] = str(revision)
        stored = rules.to_store(kind, self.registry.stored_as(kind), new)
        data = encode_object(stored)
        entry = Entry.of(meta.get("namespace", ""), meta["name"], revision, data)
        previous = _previous(kind, old, new)
        try:
            done = self.store.write(
                kind.bucket, entry, expected=_revision(old), delete=delete, previous=previous
            )
        except Stale:
            # A request that was cut off left a write on its way.
            raise failures.conflict(kind, meta["name"]) from None

        def tell(future: asyncio.Future[Entry]) -> None:
            if not future.cancelled() and future.exception() is None:
                self.committed(kind, old, None if delete else new)

        done.add_done_callback(tell)
        try:
            # A client that goes away does not undo a write; who follows writes must hear of it.
            await asyncio.shield(done)
        except StoreError as error:
            raise StatusError(str(error), code=507, reason="InsufficientStorage") from error


def _private(kind: Kind, obj: Object | None) -> Object | None:
    """A copy, so that admission may change it; of a CRD, which is large, only of its metadata."""
    if obj is None or kind.resource != CUSTOM_RESOURCE_DEFINITIONS:
        return copy_json(obj)
    return {**obj, "metadata": copy_json(obj["metadata"])}


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
    for name in ("name", "generateName", "namespace", "resourceVersion", "uid"):
        if not isinstance((meta or {}).get(name, ""), str | None):
            raise BadRequest(f"metadata.{name} must be a string")
    return {
        **body,
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": dict(meta or {}),
    }


def _no_such_uid(patch: Object) -> str:
    uid = patch["metadata"]["uid"]
    return (
        f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    )


def _nothing_to_do(kind: Kind, old: Object | None, new: Object, call: Call) -> list[FieldError]:
    return []


def _nobody_told(kind: Kind, old: Object | None, new: Object | None) -> None:
    return None
