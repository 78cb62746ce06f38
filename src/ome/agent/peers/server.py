"""Gives the files of this node's models to other agents, by their hashes.

``GET /v1/content/sha256/<hash>`` (or ``/v1/content/git/<hash>``) answers with the bytes, or with
the part that a Range header names; 404 where no complete model here has such a file, 503 while as
many are being served as may be. ``GET /v1/load`` says how many that is. Only files that a record
and a manifest name are ever opened.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from ome.agent.peers.auth import refuse
from ome.agent.records import Record
from ome.storage import manifest
from ome.storage.source import MANIFEST_NAME

log = logging.getLogger("ome.agent.peers")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class _Given(web.FileResponse):
    """A file, or a part of one, that counts while it is being sent."""

    def __init__(self, path: Path, server: PeerServer) -> None:
        super().__init__(path)
        self._server = server

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends all of it, as file responses do."""
        self._server.active += 1
        try:
            writer = await super().prepare(request)
            self._server.sent += self.content_length or 0
            return writer
        finally:
            self._server.active -= 1


class PeerServer:
    """``records`` gives what is on this node; ``limit`` is how many are served at once."""

    def __init__(
        self,
        key: bytes,
        records: Callable[[], Iterable[Record]],
        *,
        limit: int = 8,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._records = records
        self._limit = limit
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self._index: dict[tuple[str, str], Path] = {}
        self._indexed: dict[str, float] = {}
        self.active = 0
        self.sent = 0
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Raises OSError where it can't listen there."""
        app = web.Application()
        app.router.add_get("/v1/load", self._load)
        app.router.add_get("/v1/content/{kind}/{digest}", self._content)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host or None, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]
        log.info("models are served to other nodes at port %d", self.port)

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _check(self, request: web.Request) -> None:
        why = refuse(
            self._key,
            request.headers.get("Authorization", ""),
            request.method,
            request.path,
            request.headers.get("Range", ""),
            self._clock(),
        )
        if why:
            raise web.HTTPUnauthorized(text=why)

    async def _load(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response({"active": self.active, "limit": self._limit})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        path = self._find(request.match_info["kind"], request.match_info["digest"])
        if path is None:
            raise web.HTTPNotFound
        if self.active >= self._limit:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        return _Given(path, self)

    def _find(self, kind: str, digest: str) -> Path | None:
        if not _HASH.fullmatch(digest):
            return None
        self._refresh()
        path = self._index.get((kind, digest))
        return path if path is not None and path.is_file() and not path.is_symlink() else None

    def _refresh(self) -> None:
        """Read the manifests again where what is on this node has changed."""
        now: dict[str, float] = {}
        for record in self._records():
            if not record.managed or not record.fingerprint:
                continue
            try:
                now[record.path] = (Path(record.path) / MANIFEST_NAME).stat().st_mtime
            except OSError:
                continue
        if now == self._indexed:
            return
        index: dict[tuple[str, str], Path] = {}
        for folder in now:
            found = manifest.read(Path(folder))
            for entry in found.files if found is not None else ():
                path = Path(folder) / entry.path
                if entry.sha256:
                    index[("sha256", entry.sha256.lower())] = path
                if entry.git_sha1:
                    index[("git", entry.git_sha1.lower())] = path
        self._index, self._indexed = index, now
