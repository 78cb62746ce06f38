"""Custom resource definitions: checking them, serving what they define, cleaning up after them.

A CRD is established in the same write that stores it: its kinds are served from the next request
on, and discovery, OpenAPI and schemas follow every change of it. Deleting a CRD deletes its
objects first (their finalizers are honoured), then the CRD goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import msgspec

from ome.apimachinery import names
from ome.apimachinery.errors import FieldError, MethodNotAllowed, NotFound, StatusError
from ome.apimachinery.objects import Object, Resource, is_deleting
from ome.standalone.apiserver import celrules, crdschema, lifecycle
from ome.standalone.apiserver.codec import decode_stored, encode
from ome.standalone.apiserver.engine import Call, Engine
from ome.standalone.apiserver.kinds import Column, Kind, ScalePaths
from ome.standalone.apiserver.lifecycle import CRD_CLEANUP, DeleteOptions
from ome.standalone.apiserver.store import Store

log = logging.getLogger(__name__)

BUCKET = "apiextensions.k8s.io/customresourcedefinitions"
_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class CrdController:
    """Keeps the registry in step with the stored CRDs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._terminating: set[str] = set()
        self._interrupted: list[Object] = []
        engine.prepare = self._prepare
        engine.committed = self._committed

    def load(self) -> None:
        """Serve the kinds of all stored CRDs."""
        for entry in self._engine.store.select(BUCKET):
            crd = _outline(entry.data)
            self._publish(crd)
            if is_deleting(crd):
                self._interrupted.append(crd)

    def resume(self) -> None:
        """Go on with the deletions that a stop of the server interrupted."""
        while self._interrupted:
            self._clean_up(self._interrupted.pop())

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- following writes ------------------------------------------------------------------

    def _prepare(self, kind: Kind, old: Object | None, new: Object, call: Call) -> list[FieldError]:
        if kind.bucket != BUCKET:
            self._check_terminating(kind, old)
            return []
        problems = [*_check_versions(new["spec"]["versions"]), *self._check_names(new)]
        if not problems:
            new["status"] = _status(new)
            if old is None:
                finalizers = new["metadata"].get("finalizers") or []
                new["metadata"]["finalizers"] = [*finalizers, CRD_CLEANUP]
            if old is None or old["spec"] != new["spec"]:
                _warn_of_rules(new, call)
        return problems

    def _check_names(self, crd: Object) -> list[FieldError]:
        """A CRD can't take the place of a built-in kind."""
        spec = crd["spec"]
        plural = spec["names"]["plural"]
        for version in spec["versions"]:
            found = self._engine.registry.find(spec["group"], version["name"], plural)
            if found is not None and not found.custom:
                text = f'Invalid value: "{plural}": {found.resource} is a built-in kind'
                return [FieldError("spec.names.plural", text)]
        return []

    def _check_terminating(self, kind: Kind, old: Object | None) -> None:
        if old is None and kind.custom and str(kind.resource) in self._terminating:
            raise MethodNotAllowed(
                f"create not allowed while custom resource definition {kind.resource} is "
                "terminating"
            )

    def _committed(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        if kind.bucket != BUCKET:
            return
        crd = new or old
        assert crd is not None
        if new is None:
            self._engine.registry.remove_crd(crd["metadata"]["name"])
            self._terminating.discard(crd["metadata"]["name"])
            return
        if old is None or old["spec"] != new["spec"]:
            self._publish(new)
        if is_deleting(new):
            self._clean_up(new)

    def _publish(self, crd: Object) -> None:
        self._engine.registry.set_crd(crd["metadata"]["name"], kinds_of(crd, self._engine.store))

    # -- deletion --------------------------------------------------------------------------

    def _clean_up(self, crd: Object) -> None:
        name = crd["metadata"]["name"]
        self._terminating.add(name)
        if name not in self._tasks and CRD_CLEANUP in (crd["metadata"].get("finalizers") or ()):
            task = asyncio.get_running_loop().create_task(self._delete_objects(name))
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def _delete_objects(self, name: str) -> None:
        engine = self._engine
        kinds = engine.registry.of_crd(name)
        kind = next((k for k in kinds if k.storage), kinds[0] if kinds else None)
        if kind is not None:
            with engine.store.wakeup(kind.bucket) as changed:
                for entry in engine.store.select(kind.bucket):
                    try:
                        await engine.delete(
                            kind, entry.namespace, entry.name, DeleteOptions(), Call()
                        )
                    except NotFound:
                        continue
                    except StatusError as error:
                        log.warning("deleting %s %s: %s", kind.resource, entry.name, error)
                while engine.store.select(kind.bucket):
                    await changed.wait()
                    changed.clear()
        crd_kind = engine.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert crd_kind is not None

        def release(crd: Object) -> Object:
            meta = crd["metadata"]
            kept = [f for f in meta.get("finalizers") or () if f != CRD_CLEANUP]
            return {**crd, "metadata": {**meta, "finalizers": kept}}

        try:
            await engine.change(crd_kind, "", name, release, Call())
        except NotFound:
            return


def _warn_of_rules(crd: Object, call: Call) -> None:
    for version in crd["spec"]["versions"]:
        kind = _kind(crd["spec"], version, 0, partial(_schema_of, version))
        if kind.has_rules:
            for text in celrules.warnings_for(kind):
                call.warn(text)


# -- reading a CRD -------------------------------------------------------------------------


class _Outline(msgspec.Struct):
    metadata: Object
    spec: dict[str, msgspec.Raw]


_decode_outline = msgspec.json.Decoder(_Outline).decode
_decode_versions = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def _outline(data: bytes) -> Object:
    """What is stored, with the versions' schemas left as text: decoding these takes long."""
    stored = _decode_outline(data)
    versions = _decode_versions(stored.spec.pop("versions"))
    spec = _decoded(stored.spec)
    spec["versions"] = [
        {**_decoded({k: v for k, v in version.items() if k != "schema"}),
         "schema": version.get("schema")}
        for version in versions
    ]  # fmt: skip
    return {"metadata": stored.metadata, "spec": spec}


def _decoded(parts: dict[str, msgspec.Raw]) -> Object:
    return {name: decode_stored(bytes(part)) for name, part in parts.items()}


def kinds_of(crd: Object, store: Store) -> list[Kind]:
    """The kinds that a stored CRD defines, one for each version."""
    spec, name = crd["spec"], crd["metadata"]["name"]
    revision = int(crd["metadata"]["resourceVersion"])
    return [
        _kind(spec, version, revision, _reader(store, name, version["name"]))
        for version in spec["versions"]
    ]


def _reader(store: Store, crd: str, version: str) -> Callable[[], Object | None]:
    """Reads a schema from the stored CRD when it is needed, because decoded schemas are large."""

    def read() -> Object | None:
        entry = store.get(BUCKET, "", crd)
        versions = decode_stored(entry.data)["spec"]["versions"] if entry else []
        return _schema_of(next((v for v in versions if v["name"] == version), {}))

    return read


def _schema_of(version: Object) -> Object | None:
    schema: Object | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return schema


def _kind(spec: Object, version: Object, revision: int, read: Callable[[], Object | None]) -> Kind:
    naming = spec["names"]
    group = spec["group"]
    resource = Resource(
        group, version["name"], naming["plural"], naming["kind"], spec["scope"] == "Namespaced"
    )
    subresources = version.get("subresources") or {}
    deprecated = ""
    if version.get("deprecated"):
        deprecated = version.get("deprecationWarning") or (
            f"{group}/{version['name']} {naming['kind']} is deprecated"
        )
    return Kind(
        resource=resource,
        singular=naming.get("singular") or naming["kind"].lower(),
        list_kind=naming.get("listKind") or f"{naming['kind']}List",
        short_names=tuple(naming.get("shortNames") or ()),
        categories=tuple(naming.get("categories") or ()),
        has_status="status" in subresources,
        scale=_scale(subresources.get("scale")),
        has_rules=celrules.MARK in encode(version.get("schema")),
        selectable=tuple(
            f["jsonPath"].removeprefix(".") for f in version.get("selectableFields") or ()
        ),
        custom=True,
        served=bool(version.get("served")),
        storage=bool(version.get("storage")),
        deprecated=deprecated,
        columns=_columns(version.get("additionalPrinterColumns")),
        schema_revision=revision,
        raw_schema=read,
    )


def _scale(scale: Object | None) -> ScalePaths | None:
    if not scale:
        return None

    def path(name: str) -> tuple[str, ...]:
        return tuple(p for p in (scale.get(name) or "").split(".") if p)

    return ScalePaths(
        path("specReplicasPath"), path("statusReplicasPath"), path("labelSelectorPath")
    )


def _columns(columns: list[Object] | None) -> tuple[Column, ...]:
    if not columns:
        return (_AGE,)
    return tuple(
        Column(
            c["name"],
            c["type"],
            c["jsonPath"],
            c.get("format") or "",
            c.get("description") or "",
            c.get("priority") or 0,
        )
        for c in columns
    )


def _check_versions(versions: list[Object]) -> list[FieldError]:
    problems = []
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}]"
        problems += [
            FieldError(f"{where}.name", f"Invalid value: {text}")
            for text in names.dns_label_1035(version.get("name") or "")
        ]
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        if schema.get("type") != "object":
            where = f"{where}.schema.openAPIV3Schema.type"
            problems.append(FieldError(where, "Invalid value: must be object at the root"))
        else:
            problems += crdschema.problems(schema, f"{where}.schema.openAPIV3Schema")
    return problems


def _status(crd: Object) -> Object:
    """Names are accepted and the CRD is established at once: nothing else competes for names."""
    status = dict(crd.get("status") or {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    wanted = {
        "NamesAccepted": ("NoConflicts", "no conflicts found"),
        "Established": ("InitialNamesAccepted", "the initial names have been accepted"),
    }
    for type_, (reason, message) in wanted.items():
        if (conditions.get(type_) or {}).get("status") != "True":
            conditions[type_] = {
                "type": type_,
                "status": "True",
                "lastTransitionTime": lifecycle.now_text(),
                "reason": reason,
                "message": message,
            }
    if is_deleting(crd) and "Terminating" not in conditions:
        conditions["Terminating"] = {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": lifecycle.now_text(),
            "reason": "InstanceDeletionInProgress",
            "message": "CustomResource deletion is in progress",
        }
    storage = next(v["name"] for v in crd["spec"]["versions"] if v.get("storage"))
    stored = list(status.get("storedVersions") or ())
    if storage not in stored:
        stored.append(storage)
    return {
        "acceptedNames": crd["spec"]["names"],
        "conditions": list(conditions.values()),
        "storedVersions": stored,
    }
