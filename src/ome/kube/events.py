"""Telling users what happened: Kubernetes Events that can't hurt who reports them.

``emit`` returns at once and never raises; a background task writes. The same thing about the same
object (kind, name, uid, type, reason, message) within ``window`` seconds becomes one Event whose
``count`` grows. Each object may cause a burst of ``burst`` and then one new Event every ``refill``
seconds; more is dropped, counted in ``dropped`` and logged at debug level. While the server is
away, up to ``backlog`` Events wait; one that the server keeps failing on is dropped after some
tries. An Event keeps its name from try to try: an answer that was lost makes no second one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ome.apimachinery.errors import AlreadyExists, Forbidden, NotFound, StatusError
from ome.apimachinery.objects import Object, metadata, uid_of
from ome.apimachinery.resources import EVENTS
from ome.kube.backoff import Backoff
from ome.kube.client import Client
from ome.kube.errors import KubeError
from ome.kube.workqueue import TokenBucket

log = logging.getLogger("ome.kube.events")

_MAX_MESSAGE = 1024
_REMEMBERED = 4096
_TRIES = 6
"""So often a server that answers may fail on one Event."""


class _Subject(NamedTuple):
    """What an Event says, without when and how often."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str
    type: str
    reason: str
    message: str
    action: str


@dataclass(slots=True)
class _Waiting:
    """An Event that is still to be written."""

    name: str
    version: str
    count: int = 1
    tries: int = 0


@dataclass(slots=True)
class _Written:
    """An Event that exists on the server."""

    name: str
    count: int
    last: float


class Events:
    """``component`` is what the users see as the source."""

    def __init__(
        self,
        client: Client,
        component: str = "ome",
        *,
        window: float = 600.0,
        burst: int = 25,
        refill: float = 60.0,
        backlog: int = 1000,
    ) -> None:
        self.dropped = 0
        self._client = client
        self._component = component
        self._instance = f"{component}-{socket.gethostname()}-{os.getpid()}"
        self._window = window
        self._burst = burst
        self._refill = refill
        self._backlog = backlog
        self._pending: OrderedDict[_Subject, _Waiting] = OrderedDict()
        self._written: OrderedDict[_Subject, _Written] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str, str], TokenBucket] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def emit(
        self,
        obj: Mapping[str, Any],
        reason: str,
        message: str,
        *,
        type: str = "Normal",
        action: str = "",
    ) -> None:
        """Reports ``reason`` (CamelCase) about ``obj``, which needs apiVersion, kind, metadata."""
        try:
            self._note(obj, reason, message, type, action)
        except MemoryError:
            raise
        except Exception:
            log.exception("an event could not be reported: %s: %s", reason, message)

    def normal(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        self.emit(obj, reason, message)

    def warning(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        self.emit(obj, reason, message, type="Warning")

    async def flush(self) -> None:
        """Waits until everything reported so far has been written or given up."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self, timeout: float = 2.0) -> None:
        """Writes what waits, for ``timeout`` seconds at most."""
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=timeout)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _note(
        self, obj: Mapping[str, Any], reason: str, message: str, type_: str, action: str
    ) -> None:
        meta = metadata(obj)
        if len(message) > _MAX_MESSAGE:
            message = message[: _MAX_MESSAGE - 1] + "…"
        subject = _Subject(
            obj["kind"],
            obj["apiVersion"],
            meta.get("namespace") or "",
            meta.get("name") or "",
            uid_of(obj),
            type_,
            reason,
            message,
            action,
        )
        if subject in self._pending:
            self._pending[subject].count += 1
            return
        if len(self._pending) >= self._backlog or not self._allowed(subject):
            self.dropped += 1
            log.debug("event dropped: %s %s: %s", subject.name, reason, message)
            return
        name = f"{subject.name[:200]}.{secrets.token_hex(8)}"
        self._pending[subject] = _Waiting(name, meta.get("resourceVersion") or "")
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write_all(), name="events")

    def _allowed(self, subject: _Subject) -> bool:
        key = (subject.kind, subject.namespace, subject.name)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(1 / self._refill, self._burst)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.try_take(asyncio.get_running_loop().time())

    async def _write_all(self) -> None:
        backoff = Backoff()
        while self._pending:
            subject, waiting = self._pending.popitem(last=False)
            try:
                await self._write(subject, waiting)
                backoff.reset()
            except (NotFound, Forbidden) as error:
                # The namespace is gone or going, or events are not ours to write: no use in trying.
                log.debug("event not written: %s: %s", subject.reason, error)
            except (StatusError, KubeError) as error:
                if not self._put_back(subject, waiting, error):
                    self.dropped += 1
                    log.warning("event not written: %s %s: %s", subject.name, subject.reason, error)
                    continue
                asked = error.retry_after if isinstance(error, StatusError) else None
                await asyncio.sleep(max(backoff.next(), asked or 0.0))
            except MemoryError:
                raise
            except Exception:
                log.exception("event not written: %s %s", subject.name, subject.reason)

    def _put_back(
        self, subject: _Subject, waiting: _Waiting, error: StatusError | KubeError
    ) -> bool:
        """To the front, where trying again may help. What was added meanwhile is counted in."""
        if isinstance(error, StatusError):
            waiting.tries += 1
            if waiting.tries >= _TRIES or not (error.code == 429 or error.code >= 500):
                return False
        again = self._pending.pop(subject, None)
        if again is not None:
            waiting.count += again.count
        self._pending[subject] = waiting
        self._pending.move_to_end(subject, last=False)
        return True

    async def _write(self, subject: _Subject, waiting: _Waiting) -> None:
        now = asyncio.get_running_loop().time()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = subject.namespace or "default"
        known = self._written.get(subject)
        if known is not None and now - known.last < self._window:
            count = known.count + waiting.count
            try:
                await self._client.patch(
                    EVENTS,
                    known.name,
                    {"count": count, "lastTimestamp": stamp},
                    namespace=namespace,
                )
            except NotFound:
                pass  # events expire: write a new one
            else:
                known.count, known.last = count, now
                return
        event = self._event(subject, waiting, namespace, stamp)
        with contextlib.suppress(AlreadyExists):  # a repeated sending of the same request
            await self._client.create(EVENTS, event)
        self._written[subject] = _Written(waiting.name, waiting.count, now)
        self._written.move_to_end(subject)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, subject: _Subject, waiting: _Waiting, namespace: str, stamp: str) -> Object:
        involved = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            "resourceVersion": waiting.version,
        }
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": waiting.name, "namespace": namespace},
            "involvedObject": {k: v for k, v in involved.items() if v},
            "type": subject.type,
            "reason": subject.reason,
            "message": subject.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance[:128],
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": waiting.count,
        }
        if subject.action:
            event["action"] = subject.action
        return event
