"""Where pod output comes from; whoever composes the server injects it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ome.apimachinery.objects import Object


class PodLogs(Protocol):
    """Reads a container's output. Raises StatusError (400 for a container that has not started,
    404 for one that does not exist)."""

    async def logs(
        self,
        pod: Object,
        *,
        container: str,
        follow: bool,
        tail_lines: int | None,
        since_seconds: int | None,
        previous: bool,
        timestamps: bool,
        limit_bytes: int | None,
    ) -> AsyncIterator[bytes]: ...
