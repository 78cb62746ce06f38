"""One run of a scenario against one server, and what is compared of it.

A scenario is an async function of a :class:`Run`. It sends requests through the run, which notes
every answer in normal form: what must differ from server to server and from second to second (uids,
times, revisions, tokens) is replaced by what kind of thing it is, so that presence still counts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.cluster.wire import Answer, Api

Scenario = Callable[["Run"], Awaitable[None]]
Object = dict[str, Any]

_OPAQUE = {
    "uid": "<uid>",
    "creationTimestamp": "<time>",
    "deletionTimestamp": "<time>",
    "lastTransitionTime": "<time>",
    "time": "<time>",
    "resourceVersion": "<revision>",
    "continue": "<token>",
    "clusterIP": "<ip>",
    "hash": "<hash>",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Run:
    """Calls to one server in a namespace of the scenario's own. ``notes`` is what is compared."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.notes: dict[str, Any] = {}

    def path(self, kind: str, name: str = "", sub: str = "") -> str:
        """``configmaps`` or ``apps/v1/deployments`` (``-`` as group: not namespaced core)."""
        *group, plural = kind.split("/")
        root = f"/apis/{'/'.join(group)}" if group else "/api/v1"
        return "/".join(p for p in (f"{root}/namespaces/{self.namespace}", plural, name, sub) if p)

    async def __call__(
        self, label: str, method: str, path: str, body: Any = None, **more: Any
    ) -> Answer:
        """Send a request and note the answer under ``label``."""
        answer = await self.api.call(method, path, body, **more)
        self.note(label, {"status": answer.status, "body": answer.body, "warn": answer.warnings})
        return answer

    async def quiet(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request that only prepares something; it must succeed."""
        answer = await self.api.call(method, path, body, **more)
        assert answer.ok, f"{self.api.name}: {method} {path}: {answer}"
        return answer

    async def watch(self, label: str, path: str, count: int, **query: str) -> list[Any]:
        events = await self.api.watch(path, count=count, **query)
        self.note(label, events)
        return events

    def note(self, label: str, value: Any) -> None:
        assert label not in self.notes, f"label {label} is used twice"
        self.notes[label] = normal(value)


def normal(value: Any, key: str = "") -> Any:
    """A value in the form in which it is compared."""
    if isinstance(value, dict):
        if key == "metadata" and "managedFields" in value:
            entries = sorted(value["managedFields"], key=_entry_order)
            value = {**value, "managedFields": entries}
        return {k: normal(v, k) for k, v in value.items()}
    if isinstance(value, list):
        if key == "causes":
            value = sorted(value, key=lambda c: (c.get("field", ""), c.get("message", "")))
        return [normal(v) for v in value]
    if isinstance(value, str) and value:
        return _OPAQUE.get(key) or _UUID.sub("<uid>", value)
    return value


def _entry_order(entry: Object) -> tuple[str, ...]:
    return tuple(str(entry.get(k, "")) for k in ("manager", "operation", "subresource"))


def differences(real: Any, ours: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Where two normal values differ: path, the real server's, the embedded server's."""
    if isinstance(real, dict) and isinstance(ours, dict):
        return [
            found
            for name in sorted({*real, *ours})
            for found in differences(
                real.get(name, "<absent>"), ours.get(name, "<absent>"), f"{where}/{name}"
            )
        ]
    if isinstance(real, list) and isinstance(ours, list) and len(real) == len(ours):
        return [
            found
            for index, (a, b) in enumerate(zip(real, ours, strict=True))
            for found in differences(a, b, f"{where}/{index}")
        ]
    return [] if real == ours and type(real) is type(ours) else [(where, real, ours)]
