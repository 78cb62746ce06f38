"""``metadata.managedFields``: who owns which fields, as the API server keeps it.

One entry per manager, operation, API version and subresource (an applier's API version is not part
of its identity). Fields that the server itself keeps are in no entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ome.apimachinery.errors import BadRequest, Conflict, FieldError, Invalid
from ome.apimachinery.fieldsets import (
    DOT,
    FieldSet,
    Tree,
    difference,
    intersection,
    paths,
    show_path,
    union,
)
from ome.apimachinery.objects import Object, metadata

APPLY: Final = "Apply"
UPDATE: Final = "Update"
MAX_UPDATERS: Final = 10
ANCIENT: Final = "ancient-changes"
BEFORE_FIRST_APPLY: Final = "before-first-apply"

_IDENTITY: Final = ("apiVersion", "kind")
SYSTEM_METADATA: Final = frozenset(
    {
        "clusterName",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns. ``time`` is RFC 3339 in UTC."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    tree: Tree
    time: str = ""
    raw: Object | None = None
    """The entry as it is stored, if it is unchanged."""

    def having(self, tree: Tree, time: str) -> Entry:
        """The same manager with another set."""
        if tree is self.tree and time == self.time:
            return self
        return Entry(self.manager, self.operation, self.api_version, self.subresource, tree, time)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        version = "" if self.operation == APPLY else self.api_version
        return (self.manager, self.operation, version, self.subresource)

    @property
    def applied(self) -> bool:
        return self.operation == APPLY

    def __str__(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.applied else f"{text} using {self.api_version}"


def decode(obj: Mapping[str, Any] | None, *, trusted: bool = True) -> list[Entry]:
    """The entries of an object; none at all if one of them can't be understood. What the API server
    stored itself is ``trusted`` and shared; what a client sent is checked and brought into form."""
    found = []
    for raw in (metadata(obj).get("managedFields") or ()) if obj else ():
        if not isinstance(raw, Mapping) or raw.get("operation") not in (APPLY, UPDATE):
            return []
        if raw.get("fieldsType", "FieldsV1") != "FieldsV1":
            return []
        fields = raw.get("fieldsV1") or {}
        found.append(
            Entry(
                raw.get("manager") or "",
                raw["operation"],
                raw.get("apiVersion") or "",
                raw.get("subresource") or "",
                fields if trusted else FieldSet.from_v1(fields).tree,
                raw.get("time") or "",
                dict(raw) if trusted else None,
            )
        )
    return found


def decode_new_or_old(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], subresource: str
) -> list[Entry]:
    """The entries that a write starts from.

    A client may rewrite them, but one that merely leaves them out does not erase them: an empty
    list, or a list of one empty entry, does. Through a subresource they can't be rewritten.
    """
    if subresource:
        return decode(old)
    given = metadata(new).get("managedFields")
    if given in ([], [{}]):
        return []
    if old is not None and given == metadata(old).get("managedFields"):
        return decode(old)
    return decode(new, trusted=False) or decode(old)


def encode(entries: Iterable[Entry]) -> list[Object]:
    """The list for ``metadata.managedFields``: appliers first, then by time and name."""
    ordered = sorted(
        (e for e in entries if e.tree),
        key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource),
    )
    return [_encoded(e) for e in ordered]


def _encoded(entry: Entry) -> Object:
    if entry.raw is not None:
        return entry.raw
    out: Object = {
        "manager": entry.manager,
        "operation": entry.operation,
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": FieldSet(entry.tree).to_v1(),
    }
    if entry.time:
        out["time"] = entry.time
    if entry.subresource:
        out["subresource"] = entry.subresource
    return out


def with_entries(obj: Object, entries: Iterable[Entry]) -> Object:
    """The object with these entries; the object itself where they are what it has."""
    listed = encode(entries)
    meta = obj.get("metadata") or {}
    if meta.get("managedFields") == (listed or None):
        return obj
    changed = {k: v for k, v in meta.items() if k != "managedFields"}
    if listed:
        changed["managedFields"] = listed
    elif "managedFields" not in meta:
        return obj
    return {**obj, "metadata": changed}


def strip(tree: Tree, dropped: Iterable[str] = ()) -> Tree:
    """The set without what nobody owns: identity, system metadata and the top-level ``dropped``."""
    out = {k: v for k, v in tree.items() if k[2:] not in _IDENTITY}
    for name in dropped:
        out.pop("f:" + name, None)
    meta = out.get("f:metadata")
    if meta is not None:
        kept = {k: v for k, v in meta.items() if k != DOT and k[2:] not in SYSTEM_METADATA}
        if kept:
            out["f:metadata"] = kept
        else:
            del out["f:metadata"]
    return out


def without(entries: Sequence[Entry], gone: Tree, *, keep: Entry | None = None) -> list[Entry]:
    """The entries (but ``keep``) without these fields."""
    if not gone:
        return list(entries)
    return [
        e if keep is not None and e.identity == keep.identity
        else e.having(difference(e.tree, gone), e.time)
        for e in entries
    ]  # fmt: skip


def put(entries: Sequence[Entry], entry: Entry) -> list[Entry]:
    """The entries with ``entry`` in place of the one of the same identity."""
    return [*(e for e in entries if e.identity != entry.identity), entry]


def cap(entries: Sequence[Entry]) -> list[Entry]:
    """At most ten updaters: the oldest ones are folded into ``ancient-changes``."""
    updaters = sorted((e for e in entries if not e.applied), key=lambda e: (e.time, e.manager))
    surplus = len(updaters) - MAX_UPDATERS
    if surplus <= 0:
        return list(entries)
    out = list(entries)
    # Folding several into one of the same API version saves as many, less one.
    for entry in updaters:
        if surplus <= 0:
            break
        out = [e for e in out if e is not entry]
        bucket = Entry(ANCIENT, UPDATE, entry.api_version, "", {})
        previous = next((e for e in out if e.identity == bucket.identity), None)
        if previous is None:
            surplus += 1
        tree = union(previous.tree, entry.tree) if previous else entry.tree
        out = put(out, bucket.having(tree, entry.time))
        surplus -= 1
    return out


def check_manager(name: str) -> None:
    """Refuses what can't be a field manager."""
    problem = ""
    if not name:
        problem = "Required value: is required for apply patch"
    elif len(name) > 128:
        problem = "Too long: may not be more than 128 bytes"
    elif not name.isprintable():
        problem = f"Invalid value: {name!r}: should only contain printable characters"
    if problem:
        error = FieldError("fieldManager", problem)
        raise Invalid.of("PatchOptions", "", [error], "meta.k8s.io")


def check_applied(obj: Mapping[str, Any]) -> None:
    if metadata(obj).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")


def conflicts_with(others: Iterable[Entry], changed: Tree) -> list[tuple[Entry, tuple[str, ...]]]:
    """Who owns what of the changed fields."""
    found = []
    for entry in others:
        common = intersection(entry.tree, changed)
        found += [(entry, path) for path in paths(common)]
    return found


def conflict(found: Sequence[tuple[Entry, tuple[str, ...]]]) -> Conflict:
    """The error for an apply that would change what others own."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {entry}",
            "field": show_path(path),
        }
        for entry, path in found
    ]
    if len(found) == 1:
        entry, path = found[0]
        text = f"Apply failed with 1 conflict: conflict with {entry}: {show_path(path)}"
    else:
        lines = []
        for entry in sorted({e.identity: e for e, _ in found}.values(), key=lambda e: e.identity):
            lines.append(f"conflicts with {entry}:")
            lines += [f"- {show_path(p)}" for e, p in found if e.identity == entry.identity]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return Conflict(text, details={"causes": causes})
