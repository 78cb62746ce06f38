"""Who owns which field: the server's use of server-side apply."""

from __future__ import annotations

from dataclasses import dataclass

from ome.apimachinery.apply import server_side_apply, track_update
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.lifecycle import now_text

_UNTRACKED = frozenset({"binding", "finalize"})
"""Subresources through which the server itself writes for somebody: nobody owns what they set."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """One write of one manager. ``applied`` tells server-side apply from all other writes."""

    manager: str
    subresource: str = ""
    applied: bool = False

    def merge(self, kind: Kind, live: Object | None, patch: Object, *, force: bool) -> Object:
        """The live object with an applied configuration merged in. Raises Conflict."""
        return server_side_apply(
            live,
            patch,
            manager=self.manager,
            force=force,
            schema=kind.schema,
            now=now_text(),
            subresource=self.subresource,
            reset_fields=self._reset_fields(kind),
        )

    def record(self, kind: Kind, old: Object | None, new: Object) -> Object:
        """The new object with ``managedFields`` that tell of this write."""
        if self.applied or self.subresource in _UNTRACKED:
            return new
        return track_update(
            old,
            new,
            manager=self.manager,
            schema=kind.schema,
            now=now_text(),
            subresource=self.subresource,
            reset_fields=self._reset_fields(kind),
        )

    def _reset_fields(self, kind: Kind) -> tuple[str, ...]:
        if self.subresource == "status":
            return ()
        if kind.bucket == "/namespaces":
            return ("spec", "status")  # the server's own finalizer, which nobody applies
        return ("status",) if kind.has_status else ()
