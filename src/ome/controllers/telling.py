"""Tells services' stories (:mod:`ome.controllers.story`) as events.

What may pass by itself becomes an event only if it is still so some seconds later: a pod finds its
node a moment after the model's label is there, and nobody wants to read of that moment.
"""

from __future__ import annotations

import asyncio

from ome.api import conditions as cond
from ome.apimachinery.objects import Key, Object, condition, key_of, metadata
from ome.controllers.story import Told, of
from ome.kube import Events

DOUBT_SECONDS = 3.0
"""So long a problem that may pass by itself has to last to become an event."""


class Teller:
    """One for all services. Belongs to one event loop."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._doubts: dict[Key, tuple[Told, float]] = {}

    def changed(self, service: Object, updated: Object) -> None:
        """``updated`` has the status that was just written over that of ``service``."""
        was, now = condition(service, cond.READY) or {}, condition(updated, cond.READY) or {}
        told = of(metadata(service)["name"], was, now)
        key = key_of(service)
        if told is None and was.get("reason") == now.get("reason"):
            return
        self._doubts.pop(key, None)
        if told is None:
            return
        if told.may_pass:
            self._doubts[key] = told, asyncio.get_running_loop().time() + DOUBT_SECONDS
        else:
            self._emit(service, told)

    def look_again(self, service: Object) -> float | None:
        """Emits what lasted; else the seconds until it will have, None without any doubt.

        ``service`` as the cache has it, with the status that was written last.
        """
        told, due = self._doubts.get(key_of(service), (None, 0.0))
        if told is None:
            return None
        left = due - asyncio.get_running_loop().time()
        if left > 0:
            return left
        del self._doubts[key_of(service)]
        ready = condition(service, cond.READY) or {}
        if ready.get("reason") == told.reason:
            self._emit(service, Told(True, told.reason, str(ready.get("message") or "")))
        return None

    def forget(self, key: Key) -> None:
        self._doubts.pop(key, None)

    def _emit(self, service: Object, told: Told) -> None:
        emit = self._events.warning if told.warning else self._events.normal
        emit(service, told.reason, told.message)
