"""LIST: all objects of a kind at one moment, in pages if the client wants.

Pages of one list show the same moment: the first page leaves a snapshot (references to immutable
entries, no copies) that the ``continue`` token names. Snapshots are few and live for minutes; a
token whose snapshot is gone gets 410 Expired with a token to go on from the present.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from ome.apimachinery.errors import BadRequest, Expired, Invalid, StatusError
from ome.standalone.apiserver.failures import bad_option, unsupported_option
from ome.standalone.apiserver.selecting import Selection
from ome.standalone.apiserver.store import Entry, Store

SNAPSHOTS = 64
_MATCHES = ("Exact", "NotOlderThan")
SNAPSHOT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. ``token`` is empty on the last page."""

    revision: int
    entries: list[Entry]
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    revision: int
    entries: list[Entry]
    made: float


class Lister:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, _Snapshot] = OrderedDict()
        self._count = 0

    def page(
        self,
        selection: Selection,
        *,
        limit: int = 0,
        token: str = "",
        resource_version: str = "",
        match: str = "",
    ) -> Page:
        if token:
            if match:
                text = "resourceVersionMatch is forbidden when continue is provided"
                raise _match_forbidden(text)
            if resource_version not in ("", "0"):
                raise BadRequest("specifying resource version is not allowed when using continue")
            return self._go_on(selection, token, limit)
        revision = self._store.revision
        check_revision(resource_version, match, revision)
        if match == "Exact" and int(resource_version or 0) != revision:
            raise Expired(f"the resource version {resource_version} is no longer kept for lists")
        return self._page(selection, revision, self._matching(selection), 0, limit, "")

    def _matching(self, selection: Selection) -> list[Entry]:
        name = selection.exact_name
        if name is not None and (selection.namespace or not selection.kind.namespaced):
            entry = self._store.get(selection.kind.bucket, selection.namespace, name)
            found: Iterable[Entry] = (entry,) if entry else ()
        else:
            found = self._store.select(selection.kind.bucket, selection.namespace)
        if selection.everything:
            return list(found)
        return [entry for entry in found if selection.matches(entry)]

    def _page(
        self,
        selection: Selection,
        revision: int,
        found: list[Entry],
        start: int,
        limit: int,
        name: str,
    ) -> Page:
        end = start + limit
        if not limit or end >= len(found):
            self._snapshots.pop(name, None)
            return Page(revision, found[start:])
        if not name:
            self._count += 1
            name = f"{revision}-{self._count}"
            self._snapshots[name] = _Snapshot(revision, found, time.monotonic())
            self._expire()
        last = found[end - 1]
        token = _encode_token(name, end, last)
        remaining = len(found) - end if selection.everything else None
        return Page(revision, found[start:end], token, remaining)

    def _go_on(self, selection: Selection, token: str, limit: int) -> Page:
        name, start, last = _decode_token(token)
        if not name:  # the client goes on from the present
            found = [e for e in self._matching(selection) if (e.namespace, e.name) > last]
            return self._page(selection, self._store.revision, found, 0, limit, "")
        self._expire()
        snapshot = self._snapshots.get(name)
        if snapshot is None:
            fresh = _encode_token("", 0, Entry(*last, 0, b""))
            error = Expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter, or use the continue "
                "token in this response to retrieve the remainder of the results. Continuing with "
                "the provided token results in an inconsistent list."
            )
            raise InconsistentContinue(error, fresh)
        return self._page(selection, snapshot.revision, snapshot.entries, start, limit, name)

    def _expire(self) -> None:
        oldest = time.monotonic() - SNAPSHOT_SECONDS
        while self._snapshots:
            snapshot = next(iter(self._snapshots.values()))
            if len(self._snapshots) <= SNAPSHOTS and snapshot.made >= oldest:
                return
            self._snapshots.popitem(last=False)


class InconsistentContinue(Expired):
    """410 with a token in the Status' metadata that goes on from the present."""

    def __init__(self, error: Expired, token: str) -> None:
        super().__init__(error.message)
        self._token = token

    def to_status(self) -> dict[str, object]:
        return {**super().to_status(), "metadata": {"continue": self._token}}


class TooNew(StatusError):  # noqa: N818 - reads as the state it reports
    """The client knows a revision that this store has not reached."""

    code = 504
    reason = "Timeout"

    def __init__(self, asked: int, current: int) -> None:
        text = f"Too large resource version: {asked}, current: {current}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        super().__init__(text, details={"causes": [cause], "retryAfterSeconds": 1})


def _match_forbidden(text: str) -> Invalid:
    return bad_option("ListOptions", "resourceVersionMatch", f"Forbidden: {text}")


def check_revision(text: str, match: str, current: int) -> int:
    """The revision that a request names (0: any), after checking that it makes sense."""
    if match not in ("", *_MATCHES):
        raise unsupported_option("ListOptions", "resourceVersionMatch", match, (*_MATCHES, ""))
    if match and not text:
        raise _match_forbidden(
            "resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if match == "Exact" and text == "0":
        raise _match_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    revision = parse_revision(text)
    if revision > current:
        raise TooNew(revision, current)
    return revision


def parse_revision(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(f'invalid resource version "{text[:40]}"')
    return int(text)


def _encode_token(name: str, start: int, last: Entry) -> str:
    text = json.dumps([name, start, last.namespace, last.name], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_token(token: str) -> tuple[str, int, tuple[str, str]]:
    try:
        padded = token + "=" * (-len(token) % 4)
        name, start, namespace, last = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, binascii.Error, TypeError):
        raise BadRequest("the continue token is not valid") from None
    good = isinstance(name, str) and isinstance(start, int) and start >= 0
    if not good or not isinstance(namespace, str) or not isinstance(last, str):
        raise BadRequest("the continue token is not valid")
    return name, start, (namespace, last)
