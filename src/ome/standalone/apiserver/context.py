"""One resource request on its way through the server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from ome.standalone.apiserver.core import Core
from ome.standalone.apiserver.engine import Call
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.requests import MAX_MANAGER, Query, Target


@dataclass
class Context:
    core: Core
    request: web.BaseRequest
    kind: Kind
    target: Target
    query: Query
    user: str

    @cached_property
    def call(self) -> Call:
        """What a write of this request needs to know; its warnings go into the answer."""
        agent = self.request.headers.get("User-Agent", "")
        manager = self.query.manager() or agent.partition("/")[0] or "unknown"
        return Call(
            user=self.user,
            manager=manager[:MAX_MANAGER],
            dry_run=self.query.dry_run(),
            validation=self.query.validation(),
            force=self.query.flag("force"),
        )
