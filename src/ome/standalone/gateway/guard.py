"""Who may ask: an API key where there is a key file, otherwise only this machine.

Without keys the gateway answers only requests that name this machine in their ``Host`` and, from
a browser, in their ``Origin``: a web page from elsewhere that resolves its own name to loopback
reaches nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from ome.standalone.gateway.errors import ApiError


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Checks requests. The key file (one key a line, ``#`` comments) is read again when changed."""

    def __init__(self, key_file: Path | None) -> None:
        self._key_file = key_file
        self._stamp: tuple[int, int] | None = None
        self._keys: list[bytes] = []
        if key_file is not None:
            self._refresh(key_file)
            if not self._keys:
                raise ValueError(f"{key_file}: no key in it; write one key a line")

    def _refresh(self, key_file: Path) -> None:
        stat = key_file.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            lines = (line.strip() for line in key_file.read_bytes().splitlines())
            self._keys = [line for line in lines if line and not line.startswith(b"#")]
            self._stamp = stamp

    def check(self, request: web.BaseRequest) -> None:
        """Raises ApiError where the request is not let in."""
        if self._key_file is None:
            self._check_local(request)
        else:
            self._check_key(request, self._key_file)

    def _check_key(self, request: web.BaseRequest, key_file: Path) -> None:
        # While the file is away (being replaced, say) the keys last read stay good.
        with contextlib.suppress(OSError):
            self._refresh(key_file)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given.strip().encode() if scheme.lower() == "bearer" else b""
        # Every key is compared, in constant time, so that timing tells nothing.
        matches = [hmac.compare_digest(token, key) for key in self._keys]
        if not any(matches):
            raise ApiError(
                401,
                "invalid_api_key",
                "This gateway asks for an API key: send it as 'Authorization: Bearer <key>'.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _check_local(self, request: web.BaseRequest) -> None:
        host = urlsplit(f"//{request.headers.get('Host', 'localhost')}").hostname or ""
        origin = request.headers.get("Origin", "")
        origin_host = urlsplit(origin).hostname or "" if origin else "localhost"
        if not is_loopback(host) or not is_loopback(origin_host):
            raise ApiError(
                403,
                "not_this_machine",
                f"This gateway has no API key and answers this machine only; the request came "
                f"for host '{host}'{f' from origin {origin!r}' if origin else ''}. "
                f"Use http://127.0.0.1, or start the gateway with --api-key-file.",
            )
