"""One run of a scenario against one server, and what is compared of it.

A scenario is an async function of a :class:`Run`. It sends requests through the run, which notes
every answer in normal form, so that what must differ does not count:

* uids, times, revisions, tokens and addresses are replaced by what kind of thing they are;
* managedFields and causes are sorted, and so are verbs and subresources in discovery;
* the words of a refusal count only where clients act on them (see ``WORDS``): elsewhere each
  server has its own. Always compared are code, reason, what the details name, and of every cause
  the field and the reason;
* "some validation rules were not checked" is no cause, and an empty ``details`` or ``continue``
  says nothing;
* where one server accepts and the other refuses, that alone is the difference.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.cluster.wire import Answer, Api

Scenario = Callable[["Run"], Awaitable[None]]
Object = dict[str, Any]
Difference = tuple[str, Any, Any]
ABSENT = "<absent>"

WORDS = frozenset({"AlreadyExists", "Conflict", "Expired", "Forbidden", "NotFound"})
"""Reasons whose messages are the same on both servers."""

_OPAQUE = {
    "uid": "<uid>",
    "creationTimestamp": "<time>",
    "deletionTimestamp": "<time>",
    "lastTransitionTime": "<time>",
    "time": "<time>",
    "resourceVersion": "<revision>",
    "continue": "<token>",
    "clusterIP": "<ip>",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RECORD = re.compile(r"in record \(\w+\)")


class Run:
    """Calls to one server in a namespace of the scenario's own. ``notes`` is what is compared."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.notes: dict[str, Any] = {}

    def path(self, kind: str, name: str = "", sub: str = "") -> str:
        """``kind`` is ``configmaps`` or, of a group, ``apps/v1/deployments``."""
        *group, plural = kind.split("/")
        root = f"/apis/{'/'.join(group)}" if group else "/api/v1"
        return "/".join(p for p in (f"{root}/namespaces/{self.namespace}", plural, name, sub) if p)

    async def __call__(
        self, label: str, method: str, path: str, body: Any = None, **more: Any
    ) -> Answer:
        """Send a request and note the answer under ``label``."""
        answer = await self.api.call(method, path, body, **more)
        self.note_answer(label, answer)
        return answer

    async def quiet(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request that only prepares something; it must succeed."""
        answer = await self.api.call(method, path, body, **more)
        assert answer.ok, f"{self.api.name}: {method} {path}: {answer}"
        return answer

    def note_answer(self, label: str, answer: Answer) -> None:
        body = answer.body
        if isinstance(body, dict) and body.get("status") == "Failure":
            body = _refusal(body)
        self.note(label, {"status": answer.status, "body": body, "warn": answer.warnings})

    def note(self, label: str, value: Any) -> None:
        assert label not in self.notes, f"label {label} is used twice"
        self.notes[label] = normal(value)


def _refusal(status: Object) -> Object:
    details = dict(status.get("details") or {})
    causes = {(c.get("field", ""), c.get("reason", "")) for c in details.pop("causes", ())}
    out: Object = {"reason": status.get("reason"), "code": status["code"], **details}
    out["causes"] = sorted(f"{f}: {r}" for f, r in causes if f != "<nil>")
    if status.get("reason") in WORDS:
        out["message"] = _RECORD.sub("in record (<revision>)", status["message"])
    return out


def normal(value: Any, key: str = "") -> Any:
    """A value in the form in which it is compared."""
    if isinstance(value, dict):
        if key == "metadata" and "managedFields" in value:
            value = {**value, "managedFields": _by_owner(value["managedFields"])}
        return {k: normal(v, k) for k, v in value.items() if (k, v) != ("continue", "")}
    if isinstance(value, list):
        if key == "verbs":
            return sorted(value)
        if key == "subresources":
            value = sorted(value, key=lambda s: str(s["subresource"]))
        return [normal(v) for v in value]
    if isinstance(value, str) and value:
        return _OPAQUE.get(key) or _UUID.sub("<uid>", value)
    return value


def _by_owner(entries: list[Object]) -> Object:
    """managedFields by manager, operation and subresource."""
    return {
        f"{e.get('manager')} {e.get('operation')} {e.get('subresource', '')}".strip(): e
        for e in entries
    }


def differences(real: dict[str, Any], ours: dict[str, Any]) -> list[Difference]:
    """Where the notes of two runs differ: place, the real server's, the embedded server's."""
    found: list[Difference] = []
    for label in sorted({*real, *ours}):
        a, b = real.get(label, ABSENT), ours.get(label, ABSENT)
        codes = [n.get("status") if isinstance(n, dict) else None for n in (a, b)]
        if all(isinstance(c, int) for c in codes) and codes[0] != codes[1]:
            real_words, our_words = (f"{n['status']} {_reason(n)}".strip() for n in (a, b))
            found.append((f"/{label}/status", real_words, our_words))
        else:
            found += compare(a, b, f"/{label}")
    return found


def _reason(note: Object) -> str:
    body = note.get("body")
    return str(body.get("reason") or "") if isinstance(body, dict) else ""


def compare(real: Any, ours: Any, where: str) -> list[Difference]:
    """Where two normal values differ."""
    if isinstance(real, dict) and isinstance(ours, dict):
        return [
            found
            for name in sorted({*real, *ours})
            for found in compare(real.get(name, ABSENT), ours.get(name, ABSENT), f"{where}/{name}")
        ]
    if isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        return [
            found
            for index, (a, b) in enumerate(zip(real, ours, strict=True))
            for found in compare(a, b, f"{where}/{index}")
        ]
    return [] if real == ours and type(real) is type(ours) else [(where, real, ours)]
