"""Server-side apply, and keeping track of who owns which field after every other write.

Guarantees:

* A field belongs to whoever applied it, or wrote it last; several managers may own one as long as
  they agree on its value. To apply a different value to another manager's field is a
  :class:`Conflict` unless forced, and then the field changes hands.
* A field that a manager applied before and leaves out now is removed if nobody else owns it or
  anything in it. Fields that nobody owns are never removed for being absent.
* Applying what is already there returns the live object itself: nothing is written, no time moves.
* Arguments are never changed; results share structure with them.

Objects are canonical before they come here (``Schema.prune``); the patch's quantities and nulls are
brought into the stored form. Field sets of other versions of a kind are taken to have the same
shape, which is exact for custom resources with the conversion strategy ``None``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from ome.apimachinery import fieldwalk, managedfields
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.fieldsets import (
    FieldSet,
    Tree,
    contains_all,
    difference,
    intersection,
    union,
)
from ome.apimachinery.jsonvalues import json_equal
from ome.apimachinery.managedfields import APPLY, UPDATE, Entry
from ome.apimachinery.objects import Object, annotations_of
from ome.apimachinery.schema import Schema

__all__ = ["LAST_APPLIED", "FieldSet", "server_side_apply", "track_update"]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"
_MAX_ANNOTATION: Final = 256 * 1024
_IDENTITY: Final = ("apiVersion", "kind", "metadata")


def server_side_apply(
    live: Object | None,
    patch: Object,
    *,
    manager: str,
    force: bool,
    schema: Schema,
    now: str,
    subresource: str = "",
    reset_fields: Collection[str] = (),
) -> Object:
    """The live object with the applied configuration merged in and ``managedFields`` brought up.

    ``live`` is None to create. ``now`` is RFC 3339 in UTC. ``reset_fields`` are top-level fields
    that this endpoint does not store: ``("status",)`` for the main endpoint of a kind with a status
    subresource. Through the subresource ``status`` only ``status`` is applied. Raises ``Conflict``
    with one cause per field, ``BadRequest`` for a configuration without list keys.
    """
    managedfields.check_manager(manager)
    managedfields.check_applied(patch)
    if live is not None and patch.get("kind") not in (None, live.get("kind")):
        raise BadRequest(f"kind {patch.get('kind')} does not match {live.get('kind')}")
    config = schema.canonical(_stored(patch, subresource, reset_fields, creating=live is None))
    me = Entry(
        manager,
        APPLY,
        patch.get("apiVersion") or (live or {}).get("apiVersion") or "",
        subresource,
        managedfields.strip(fieldwalk.fields_of(schema, config)),
        now,
    )
    if live is None:
        return managedfields.with_entries(config, [me])
    entries = _entries_before_apply(live, schema, now)
    merged, entries = _merge(live, config, entries, me, schema, force=force)
    merged = _sync_last_applied(live, merged, patch, manager)
    result = managedfields.with_entries(merged, entries)
    # Whoever applies nothing that can be owned leaves no entry, and so changes nothing.
    return live if json_equal(result, live) else result


def _merge(
    live: Object,
    config: Object,
    entries: list[Entry],
    me: Entry,
    schema: Schema,
    *,
    force: bool,
) -> tuple[Object, list[Entry]]:
    last = next((e for e in entries if e.identity == me.identity), None)
    others = [e for e in entries if e.identity != me.identity]
    merged: Object = fieldwalk.merge(schema, live, config)
    same = last is not None and last.tree == me.tree
    if last is not None and not same and not contains_all(me.tree, last.tree):
        managed = fieldwalk.union_all([me.tree, *(e.tree for e in others)])
        # Identity and system metadata are the server's, in no set, and never removed.
        merged = fieldwalk.remove(schema, merged, last.tree, _guarded(managed))
    changed, removed = fieldwalk.compare(schema, live, merged)
    if changed:
        found = managedfields.conflicts_with(others, changed)
        if found and not force:
            found = _not_from_last_applied(live, found, me.manager, schema)
            if found:
                raise managedfields.conflict(found)
    others = managedfields.without(managedfields.without(others, changed), removed)
    if merged is live and last is not None and same:
        me = last if last.api_version == me.api_version else me.having(me.tree, last.time)
    return merged, [*others, me]


def track_update(
    old: Object | None,
    new: Object,
    *,
    manager: str,
    operation: str = UPDATE,
    schema: Schema,
    now: str,
    subresource: str = "",
    reset_fields: Collection[str] = (),
) -> Object:
    """``new`` with the ``managedFields`` that follow from writing it over ``old`` (None: created).

    What was added or changed goes to the writer, what was removed leaves everyone. ``new`` is what
    is going to be stored; see :func:`server_side_apply` for ``reset_fields``. An object that exists
    and has no entries is not tracked until somebody applies it.
    """
    entries = managedfields.decode_new_or_old(old, new, subresource)
    if old is not None and not entries:
        return managedfields.with_entries(new, [])
    own_kind = "x-kubernetes-group-version-kind" in schema.raw
    before = old if old is not None else {"metadata": {}}
    changed, removed = fieldwalk.compare(schema, before, new, zero=old is None and own_kind)
    dropped = _dropped(new, subresource, reset_fields)
    changed, removed = managedfields.strip(changed, dropped), managedfields.strip(removed, dropped)
    me = Entry(manager, operation, new.get("apiVersion") or "", subresource, {}, now)
    mine = next((e for e in entries if e.identity == me.identity), None)
    others = [e for e in entries if e.identity != me.identity]
    others = managedfields.without(managedfields.without(others, changed), removed)
    tree = union(difference(mine.tree, removed), changed) if mine else changed
    me = mine.having(tree, now if changed else mine.time) if mine else me.having(tree, now)
    tracked = managedfields.cap([*others, me] if tree else others)
    return managedfields.with_entries(new, tracked)


def _entries_before_apply(live: Object, schema: Schema, now: str) -> list[Entry]:
    """The live object's entries. What was written before anybody tracked it has an owner too."""
    entries = managedfields.decode(live)
    if entries:
        return entries
    tracked = track_update(
        None,
        live,
        manager=managedfields.BEFORE_FIRST_APPLY,
        schema=schema,
        now=now,
    )
    return managedfields.decode(tracked)


def _stored(
    patch: Object, subresource: str, reset_fields: Collection[str], *, creating: bool
) -> Object:
    """The part of a configuration that this endpoint stores."""
    dropped = _dropped(patch, subresource, reset_fields)
    out = {k: v for k, v in patch.items() if k not in dropped}
    meta = patch.get("metadata")
    if isinstance(meta, Mapping):
        given = ("name", "namespace") if creating else ()
        out["metadata"] = {
            k: v for k, v in meta.items() if k not in managedfields.SYSTEM_METADATA or k in given
        }
        if subresource or not (out["metadata"] or creating):
            del out["metadata"]
    return out


def _dropped(
    obj: Mapping[str, Any], subresource: str, reset_fields: Collection[str]
) -> Collection[str]:
    if subresource == "status":
        return [k for k in obj if k not in ("apiVersion", "kind", "status")]
    return reset_fields


def _guarded(managed: Tree) -> Tree:
    """With ``metadata`` managed, so that it is never removed as a whole."""
    return managed if "f:metadata" in managed else {**managed, "f:metadata": {}}


def _not_from_last_applied(
    live: Object,
    found: list[tuple[Entry, tuple[str, ...]]],
    manager: str,
    schema: Schema,
) -> list[tuple[Entry, tuple[str, ...]]]:
    """Conflicts that are left when kubectl takes over what its own client-side apply had set.

    A field that the last-applied annotation states, with the value that is live, was kubectl's.
    """
    text = annotations_of(live).get(LAST_APPLIED)
    if manager != _KUBECTL or not text:
        return found
    try:
        last = json.loads(text)
    except ValueError:
        return found
    if not isinstance(last, dict):
        return found
    last = schema.canonical(schema.prune(last)[0])
    allowed = fieldwalk.fields_of(schema, last)
    changed, removed = fieldwalk.compare(schema, last, live)
    allowed = difference(difference(allowed, changed), removed)
    left = []
    for entry, path in found:
        tree: Tree = {}
        for element in reversed(path):
            tree = {element: tree}
        if not intersection(tree, allowed):
            left.append((entry, path))
    return left


def _sync_last_applied(live: Object, merged: Object, patch: Object, manager: str) -> Object:
    """Keeps the annotation of client-side apply up to date while kubectl applies server-side, so
    that going back to client-side apply does the right thing."""
    if manager != _KUBECTL or LAST_APPLIED not in annotations_of(live):
        return merged
    text = json.dumps(patch, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    meta = merged.get("metadata") or {}
    annotations = dict(meta.get("annotations") or {})
    if len(text.encode()) > _MAX_ANNOTATION:
        annotations.pop(LAST_APPLIED, None)
    else:
        if annotations.get(LAST_APPLIED) == text:
            return merged
        annotations[LAST_APPLIED] = text
    return {**merged, "metadata": {**meta, "annotations": annotations}}
