"""A model hub on loopback: model info, file tree with pages, files with ranges, and faults.

It speaks the part of the Hugging Face API that a download uses. Weights (``.safetensors``,
``.gguf``, ``.bin``) are large files with a sha256 and are served through a redirect to a second
"content network" path, as the real hub does. Faults are set per test and wear off by count.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web
from tests.fakes.xet import FakeXet

_LARGE = (".safetensors", ".gguf", ".bin")


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class Repository:
    files: dict[str, bytes]
    commit: str = "c0ffee" * 6 + "c0ff"
    gated: bool = False
    private: bool = False


@dataclass
class FakeHub:
    """``repositories`` by name. ``token`` is the one that opens gated and private ones."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    token: str = "hf_loopbacktoken"
    page_size: int = 3
    # Faults: how often each still happens.
    cut_after: list[int] = field(default_factory=list)
    """For each number: one content answer is cut after so many bytes."""
    fail_with: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """For each: one content request is answered with this status and these headers."""
    wrong_bytes: int = 0
    ignore_ranges: bool = False
    extra_bytes: int = 0
    seconds_per_piece: float = 0.0
    expire_links: int = 0
    listed_sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that are listed instead of the real ones."""
    redirect_loop: bool = False
    xet: FakeXet | None = None
    """Large files are in Xet storage too."""
    # What happened.
    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    starts: list[tuple[str, int]] = field(default_factory=list)
    authorized_content: int = 0
    running: int = 0
    most_running: int = 0

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/api/models/{org}/{name}/revision/{rev:.+}", self._info)
        app.router.add_get("/api/models/{org}/{name}/tree/{rest:.+}", self._tree)
        app.router.add_get("/{org}/{name}/resolve/{rev}/{path:.+}", self._resolve)
        app.router.add_get("/cdn/{org}/{name}/{path:.+}", self._content)
        if self.xet is not None:
            self.xet.add(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Another name of this machine, so that the content network is another origin.
        self.content_url = f"http://localhost:{port}"
        return self.url

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _find(self, request: web.Request) -> tuple[str, Repository]:
        name = f"{request.match_info['org']}/{request.match_info['name']}"
        repository = self.repositories.get(name)
        known = request.headers.get("Authorization") == f"Bearer {self.token}"
        if repository is None and known:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        if repository is None or (repository.private and not known):
            raise web.HTTPUnauthorized(headers={"X-Error-Code": "RepoNotFound"})
        if repository.gated and not known:
            raise web.HTTPForbidden(headers={"X-Error-Code": "GatedRepo"})
        return name, repository

    async def _info(self, request: web.Request) -> web.Response:
        self.requests["info"] += 1
        name, repository = self._find(request)
        if request.match_info["rev"] not in ("main", repository.commit):
            raise web.HTTPNotFound(headers={"X-Error-Code": "RevisionNotFound"})
        return web.json_response({"id": name, "sha": repository.commit, "siblings": []})

    async def _tree(self, request: web.Request) -> web.Response:
        self.requests["tree"] += 1
        _, repository = self._find(request)
        _, _, folder = request.match_info["rest"].partition("/")
        items = []
        for path, data in sorted(repository.files.items()):
            if folder and not path.startswith(folder + "/"):
                continue
            size = self.listed_sizes.get(path, len(data))
            item = {"type": "file", "path": path, "size": size, "oid": git_sha1(data)}
            if path.endswith(_LARGE):
                digest = hashlib.sha256(data).hexdigest()
                item["lfs"] = {"oid": digest, "size": size, "pointerSize": 134}
                if self.xet is not None:
                    item["xetHash"] = self.xet.know(data)
            items.append(item)
        if folder and not items:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"})
        start = int(request.query.get("cursor", 0))
        headers = {}
        if start + self.page_size < len(items):
            link = request.url.update_query(cursor=start + self.page_size)
            headers["Link"] = f'<{link}>; rel="next"'
        return web.json_response(items[start : start + self.page_size], headers=headers)

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        self.requests["resolve"] += 1
        name, repository = self._find(request)
        path = request.match_info["path"]
        if self.redirect_loop:
            raise web.HTTPFound(request.url)
        if path not in repository.files:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"})
        if path.endswith(_LARGE):
            raise web.HTTPFound(f"{self.content_url}/cdn/{name}/{path}?Signature=secret")
        return await self._serve(request, repository.files[path], path)

    async def _content(self, request: web.Request) -> web.StreamResponse:
        self.requests["content"] += 1
        if "Authorization" in request.headers:
            self.authorized_content += 1
        if self.expire_links:
            self.expire_links -= 1
            raise web.HTTPForbidden()
        name = f"{request.match_info['org']}/{request.match_info['name']}"
        path = request.match_info["path"]
        return await self._serve(request, self.repositories[name].files[path], path)

    async def _serve(self, request: web.Request, data: bytes, path: str) -> web.StreamResponse:
        if self.fail_with:
            status, headers = self.fail_with.pop(0)
            return web.Response(status=status, headers=headers)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self._send(request, data, path)
        finally:
            self.running -= 1

    async def _send(self, request: web.Request, data: bytes, path: str) -> web.StreamResponse:
        total = len(data)
        start, stop = 0, total
        response = web.StreamResponse()
        if not self.ignore_ranges and "Range" in request.headers:
            start = request.http_range.start or 0
            stop = min(request.http_range.stop or total, total)
            if start >= total:
                return web.Response(status=416)
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        body = data[start:stop]
        if self.wrong_bytes:
            self.wrong_bytes -= 1
            body = bytes([body[0] ^ 0xFF]) + body[1:]
        self.starts.append((path, start))
        cut = self.cut_after.pop(0) if self.cut_after else None
        response.content_length = len(body) + self.extra_bytes
        await response.prepare(request)
        body += b"x" * self.extra_bytes
        for at in range(0, len(body), 65536):
            piece = body[at : at + 65536]
            if cut is not None and at + len(piece) > cut:
                await response.write(piece[: max(0, cut - at)])
                self.sent += max(0, cut - at)
                request.transport.close()
                return response
            await response.write(piece)
            self.sent += len(piece)
            if self.seconds_per_piece:
                await asyncio.sleep(self.seconds_per_piece)
        return response
