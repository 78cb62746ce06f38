"""Xet storage on loopback, as far as ``hf_xet`` asks for it: reconstructions, and parts of xorbs.

Every file is one xorb of uncompressed chunks. Wire format: the open specification of the Xet
protocol. Tokens are given by the hub; a request without the right one is refused.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

_CHUNK = 64 * 1024


def xet_hash(data: bytes) -> str:
    """Not Xet's own hash, which nobody compares: a name."""
    return hashlib.sha256(b"xet" + data).hexdigest()


@dataclass
class FakeXet:
    """``add`` to the routes of a hub. Faults wear off by count, where they are counts."""

    token: str = "xet-loopback-token"
    enabled: bool = True
    away: bool = False
    """The hub gives a token, the storage answers nobody."""
    no_token: bool = False
    place: str = ""
    """What the hub names instead of the real address."""
    fail_after: int = -1
    """So many reconstructions are answered, then none."""
    wrong_bytes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    hub_token_seen: bool = False
    _files: dict[str, bytes] = field(default_factory=dict)

    def add(self, app: web.Application) -> None:
        app.router.add_get("/api/models/{org}/{name}/xet-read-token/{rev}", self._grant)
        app.router.add_get("/cas/v1/reconstructions/{hash}", self._reconstruct)
        app.router.add_get("/cas/xorbs/{hash}", self._xorb)

    def know(self, data: bytes) -> str:
        digest = xet_hash(data)
        self._files[digest] = data
        return digest

    async def _grant(self, request: web.Request) -> web.Response:
        self.requests["token"] += 1
        if self.no_token:
            raise web.HTTPNotFound
        place = self.place or f"{request.url.origin()}/cas"
        until = int(time.time()) + 3600
        return web.json_response({"accessToken": self.token, "exp": until, "casUrl": place})

    async def _reconstruct(self, request: web.Request) -> web.Response:
        self.requests["reconstruction"] += 1
        authorization = request.headers.get("Authorization", "")
        self.hub_token_seen |= "hf_" in authorization
        if self.away or self.fail_after == 0:
            raise web.HTTPServiceUnavailable
        self.fail_after -= self.fail_after > 0
        if authorization != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        digest = request.match_info["hash"]
        data = self._files[digest]
        start = request.http_range.start or 0
        stop = min(request.http_range.stop or len(data), len(data))
        if start >= len(data):
            raise web.HTTPRequestRangeNotSatisfiable
        first, last = start // _CHUNK, -(-stop // _CHUNK)
        length = min(last * _CHUNK, len(data)) - first * _CHUNK
        chunks = {"start": first, "end": last}
        part = {
            "range": chunks,
            "url": f"{request.url.origin()}/cas/xorbs/{digest}",
            "url_range": {
                "start": first * (_CHUNK + 8),
                "end": first * (_CHUNK + 8) + length + 8 * (last - first) - 1,
            },
        }
        return web.json_response(
            {
                "offset_into_first_range": start - first * _CHUNK,
                "terms": [{"hash": digest, "unpacked_length": length, "range": chunks}],
                "fetch_info": {digest: [part]},
            }
        )

    async def _xorb(self, request: web.Request) -> web.Response:
        self.requests["xorb"] += 1
        data = self._files[request.match_info["hash"]]
        body = bytearray()
        for at in range(0, len(data), _CHUNK):
            piece = data[at : at + _CHUNK]
            size = len(piece).to_bytes(3, "little")
            body += b"\0" + size + b"\0" + size + piece
        start, stop = request.http_range.start or 0, request.http_range.stop or len(body)
        part = body[start:stop]
        if self.wrong_bytes:
            self.wrong_bytes -= 1
            part[100] ^= 0xFF
        self.sent += len(part)
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}
        return web.Response(status=206, body=bytes(part), headers=headers)
