"""A package index on loopback: the simple API, and wheels built on the spot."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping

from aiohttp import web


def wheel(name: str, version: str, files: Mapping[str, bytes], *, lie: str = "") -> bytes:
    """A wheel with these files. ``lie`` names one whose RECORD hash is wrong."""
    info = f"{name}-{version}.dist-info"
    everything = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    rows = []
    for path, data in everything.items():
        real = data + b"!" if path == lie else data
        digest = base64.urlsafe_b64encode(hashlib.sha256(real).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}")
    rows.append(f"{info}/RECORD,,")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in everything.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", "\n".join(rows) + "\n")
    return out.getvalue()


class FakeIndex:
    """``files``: project -> file name -> bytes. ``wrong_hash`` announces hashes that are wrong."""

    def __init__(self, files: Mapping[str, Mapping[str, bytes]]) -> None:
        self.files = files
        self.wrong_hash = False

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/simple/{project}/", self._project)
        app.router.add_get("/files/{project}/{name}", self._file)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = site._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}/simple/"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _project(self, request: web.Request) -> web.Response:
        project = request.match_info["project"]
        if project not in self.files:
            raise web.HTTPNotFound
        links = []
        for name, data in self.files[project].items():
            digest = hashlib.sha256(data + (b"!" if self.wrong_hash else b"")).hexdigest()
            links.append(f'<a href="/files/{project}/{name}#sha256={digest}">{name}</a>')
        return web.Response(text="".join(links), content_type="text/html")

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self.files[request.match_info["project"]][request.match_info["name"]]
        )
