"""Ranged reading over HTTP, with every failure turned into one precise :class:`StorageError`.

Hubs answer with a redirect to a signed URL of a content network. The first answer of each file is
kept, so that not every chunk asks the hub again; when the signed URL expires, it is asked for
anew. Credentials go to the host they are meant for and to no other.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import aiohttp
from yarl import URL

from ome.storage.errors import (
    AccessDenied,
    ClockSkew,
    RangeNotSupported,
    RateLimited,
    ServerFailed,
    SourceChanged,
    SourceNotFound,
    StorageError,
    Unreachable,
    redact,
)

Authorize = Callable[[URL], Awaitable[Mapping[str, str]]]
ErrorFor = Callable[[int, Mapping[str, str]], StorageError | None]
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 6
_MOST_SKEW = 240
_PIECE = 256 * 1024


def new_session() -> aiohttp.ClientSession:
    """A session for large transfers: no limit on the whole, but on silence."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=20, sock_read=60),
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        trust_env=True,
        read_bufsize=1024 * 1024,
    )


class RangeReader:
    """Reads parts of files. ``explain`` may know better what a status of this host means."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        headers: Mapping[str, str] | None = None,
        authorize: Authorize | None = None,
        explain: ErrorFor = lambda _status, _headers: None,
    ) -> None:
        self._session = session
        self._authorize = authorize
        self._headers = dict(headers or {})
        self._explain = explain
        self._located: dict[str, URL] = {}

    async def read(
        self,
        url: str,
        start: int,
        end: int,
        *,
        size: int,
        name: str,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[bytes]:
        """Bytes ``start`` to ``end`` of the file ``name`` with ``size`` bytes at ``url``.

        ``url`` is taken as encoded. ``extra`` headers go to every host that is asked.
        """
        if end <= start:
            return
        try:
            response = await self._open(url, {**extra, "Range": f"bytes={start}-{end - 1}"})
            try:
                self._check(response, start, end, size, name)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(url, error) from error

    async def _open(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        known = self._located.get(url)
        if known is not None:
            response = await self._get(known, headers, secret=False)
            if response.status in (200, 206, 416, 429) or response.status >= 500:
                return response
            response.close()
            del self._located[url]  # the signed URL has expired
        origin = at = URL(url, encoded=True)
        for _ in range(_MOST_REDIRECTS):
            same = at.origin() == origin.origin()
            response = await self._get(at, headers, secret=same)
            if response.status not in _REDIRECTS:
                if not same and response.status in (200, 206):
                    self._located[url] = at
                return response
            location = response.headers.get("Location", "")
            response.close()
            at = at.join(URL(location, encoded=True))
            if at.scheme not in ("http", "https") or (
                origin.scheme == "https" and at.scheme == "http"
            ):
                break
        raise ServerFailed(
            f"{origin.host} redirects in circles or to an unsafe place",
            remedy="check the endpoint",
        )

    async def _get(
        self, url: URL, extra: Mapping[str, str], *, secret: bool
    ) -> aiohttp.ClientResponse:
        headers = dict(self._headers) if secret else {}
        if secret and self._authorize is not None:
            headers |= await self._authorize(url)
        headers |= {**extra, "Accept-Encoding": "identity"}
        return await self._session.get(url, headers=headers, allow_redirects=False)

    def _check(
        self, response: aiohttp.ClientResponse, start: int, end: int, size: int, name: str
    ) -> None:
        if response.status == 206:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            if found and int(found[1]) == start and found[3] in ("*", str(size)):
                return
            raise _changed(name, f"the server sent {response.headers.get('Content-Range')!r}")
        if response.status == 200:
            length = response.content_length
            if length is not None and length != size:
                raise _changed(name, f"it has {length} bytes, listed were {size}")
            if start == 0 and end == size:
                return
            raise RangeNotSupported(f"{response.url.host} does not answer with parts of files")
        if response.status == 412:
            raise _changed(name, "another version is there now")
        if response.status == 416:
            raise _changed(name, f"it is shorter than the {size} bytes that were listed")
        raise self.error(response.status, response.headers, response.url.host or "", name)

    def error(self, status: int, headers: Mapping[str, str], host: str, name: str) -> StorageError:
        return self._explain(status, headers) or error_for(status, headers, host, name)


def error_for(status: int, headers: Mapping[str, str], host: str, name: str) -> StorageError:
    """What a status means where nobody knows better."""
    if status == 429:
        return RateLimited(
            f"{host} limits the rate of requests (429)",
            remedy="OME waits and tries again; a token usually raises the limit",
            retry_after=retry_after(headers),
        )
    if status in (401, 403):
        return AccessDenied(
            f"{host} refuses access to {name} ({status})",
            remedy="give credentials that may read it (spec.storage.key names a Secret)",
        )
    if status in (404, 410):
        return SourceNotFound(f"{host} has no {name} ({status})", remedy="check the storage URI")
    if status == 408 or status >= 500:
        return ServerFailed(
            f"{host} failed with status {status}",
            remedy="OME tries again by itself",
            retry_after=retry_after(headers),
        )
    return ServerFailed(f"{host} answered {status} for {name}", remedy="check the endpoint")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the other side asked to wait: a number, or a date."""
    value = (headers.get("Retry-After") or "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def clock_skew(headers: Mapping[str, str], who: str) -> ClockSkew | None:
    """After a refusal: whether this machine's clock explains it. Signatures hold five minutes."""
    try:
        theirs = parsedate_to_datetime(headers.get("Date") or "")
        apart = (datetime.now(UTC) - theirs).total_seconds()
    except (ValueError, TypeError):
        return None
    if abs(apart) < _MOST_SKEW:
        return None
    return ClockSkew(
        f"{who} refuses requests because this machine's clock is {abs(apart) / 60:.0f} minutes "
        + ("ahead" if apart > 0 else "behind"),
        remedy="set the clock (NTP); OME tries again by itself",
    )


def unreachable(url: str, error: BaseException) -> Unreachable:
    host = URL(url).host or "the source"
    cause = redact(str(error)) or type(error).__name__
    if isinstance(error, TimeoutError):
        cause = "no answer in time"
    return Unreachable(
        f"{host} can't be reached: {cause}",
        remedy="check the network, the proxy and the endpoint; OME tries again by itself",
    )


def _changed(name: str, why: str) -> SourceChanged:
    return SourceChanged(
        f"{name} changed at the source while it was read: {why}",
        remedy="OME lists the source again and starts over",
    )
