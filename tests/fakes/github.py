"""Releases of a GitHub on loopback: the API, pages of assets, and redirects to another host."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class FakeGitHub:
    """``releases``: (owner/repository, tag) -> files. The last of a repository is the latest."""

    releases: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    token: str = "ghp_loopbacktoken"
    digests: bool = True
    page_size: int = 2
    limited: int = 0
    """How many requests are still refused because of the rate."""
    requests: Counter[str] = field(default_factory=Counter)
    authorized_content: int = 0
    sent: int = 0

    async def start(self) -> str:
        app = web.Application()
        base = "/repos/{owner}/{name}/releases"
        app.router.add_get(f"{base}/latest", self._release)
        app.router.add_get(f"{base}/tags/{{tag:.+}}", self._release)
        app.router.add_get(f"{base}/{{id:\\d+}}/assets", self._assets)
        app.router.add_get(f"{base}/assets/{{id:\\d+}}-{{file}}", self._asset)
        app.router.add_get("/content/{id}/{file}", self._content)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.content_url = f"http://localhost:{port}"
        return self.url

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _check(self, request: web.Request) -> str:
        if self.limited:
            self.limited -= 1
            reset = str(int(time.time()))
            raise web.HTTPForbidden(
                headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
            )
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        given = request.headers.get("Authorization", "")
        if given and given != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        if name in self.private and not given:
            raise web.HTTPNotFound
        return name

    async def _release(self, request: web.Request) -> web.Response:
        name = self._check(request)
        self.requests["release"] += 1
        tags = [tag for repository, tag in self.releases if repository == name]
        tag = request.match_info.get("tag") or (tags[-1] if tags else "")
        if tag not in tags:
            raise web.HTTPNotFound
        number = list(self.releases).index((name, tag))
        return web.json_response({"id": number, "tag_name": tag})

    async def _assets(self, request: web.Request) -> web.Response:
        name = self._check(request)
        self.requests["assets"] += 1
        number = int(request.match_info["id"])
        files = list(self.releases.values())[number]
        size = min(self.page_size, int(request.query["per_page"]))
        start = (int(request.query["page"]) - 1) * size
        items = []
        for file in sorted(files)[start : start + size]:
            item: dict[str, object] = {
                "name": file,
                "size": len(files[file]),
                "state": "uploaded",
                "id": 7,
                "url": f"{self.url}/repos/{name}/releases/assets/{number}-{file}",
            }
            if self.digests:
                item["digest"] = f"sha256:{hashlib.sha256(files[file]).hexdigest()}"
            items.append(item)
        return web.json_response(items)

    async def _asset(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.headers.get("Accept") != "application/octet-stream":
            raise web.HTTPBadRequest
        where = f"{request.match_info['id']}/{request.match_info['file']}"
        raise web.HTTPFound(f"{self.content_url}/content/{where}?sig=secret")

    async def _content(self, request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            self.authorized_content += 1
        files = list(self.releases.values())[int(request.match_info["id"])]
        data = files[request.match_info["file"]]
        span = request.http_range
        start, stop = span.start or 0, min(span.stop or len(data), len(data))
        self.sent += stop - start
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        return web.Response(status=206, body=data[start:stop], headers=headers)
