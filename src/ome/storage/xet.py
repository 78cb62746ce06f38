"""Files that a hub keeps in Xet storage, read in parts by the hub's own library (``hf_xet``).

Xet stores a file as pieces that many files share; the library puts them together again and any part
of a file can be asked for, so that ranges, resuming and verifying stay the engine's work. It is a
faster way to bytes that plain HTTP also gives, so nothing may depend on it: a hub that gives no
token for it, a storage that can't be reached, silence, an error in the middle - each ends with
:class:`XetFailed`, and the caller reads the rest over HTTP. That happens once for a source, not
once for a chunk.

The hub says where the storage is. Only addresses of the web are taken (the library would also read
folders of this machine), and no credential but the storage's own short-lived token goes there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from typing import Any

import aiohttp
from yarl import URL

from ome.storage.errors import redact

log = logging.getLogger("ome.storage.xet")

SMALLEST = 4 * 1024 * 1024
"""Shorter parts cost less over HTTP."""
_PIECE = 1024 * 1024
_FIRST_SECONDS = 30.0
_NEXT_SECONDS = 60.0
_SETTINGS: Mapping[str, Any] = {
    # What is fetched but not handed over is lost by a kill, and takes memory: by default 1.5 GB.
    "reconstruction.download_buffer_size": 16_000_000,
    "reconstruction.download_buffer_perfile_size": 4_000_000,
    "reconstruction.download_buffer_limit": 24_000_000,
    "reconstruction.min_prefetch_buffer": 8_000_000,
    "reconstruction.min_reconstruction_fetch_size": 32_000_000,
    "client.retry_max_attempts": 2,
    "client.retry_base_delay": "500ms",
    "client.connect_timeout": "10s",
    "log.dest": "",
    "telemetry.enabled": False,
}


class XetFailed(Exception):  # noqa: N818 - never shown: the caller has another way
    """The storage did not give the bytes. The text says why, without credentials."""


class XetReader:
    """Reads files of one repository by their Xet hash, after :meth:`open`."""

    def __init__(self, group: Any, library: Any) -> None:
        self._group = group
        self._library = library
        self._given: set[tuple[str, int]] = set()

    @classmethod
    async def open(
        cls, session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
    ) -> XetReader:
        """``url`` is the hub's address for tokens, ``headers`` are those that the hub wants."""
        try:
            library = import_module("hf_xet")
        except ImportError as error:
            raise XetFailed("hf_xet is not installed") from error
        grant = await _token(session, url, headers)
        try:
            group = await asyncio.wait_for(
                asyncio.to_thread(_group, library, grant, url, dict(headers)), _FIRST_SECONDS
            )
        except Exception as error:
            raise _failed(error) from error
        return cls(group, library)

    def takes(self, digest: str, start: int, end: int) -> bool:
        """Whether these bytes should come this way. What is read again was wrong, or lost."""
        return end - start >= SMALLEST and (digest, start) not in self._given

    async def read(self, digest: str, size: int, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes ``start`` to ``end`` of a file. Raises :class:`XetFailed`, also midway."""
        self._given.add((digest, start))
        try:
            info = self._library.XetFileInfo(digest, size)
            stream = await asyncio.to_thread(self._group.download_stream, info, start, end)
        except Exception as error:
            raise _failed(error) from error
        position, seconds = start, _FIRST_SECONDS
        try:
            while (piece := await _next(stream, seconds)) is not None:
                position += len(piece)
                for part in _cut(piece):
                    yield part
                seconds = _NEXT_SECONDS
        finally:
            stream.cancel()
        if position < end:  # the library ends some failures without a word
            raise XetFailed(f"it ended after {position - start} of {end - start} bytes")

    async def close(self) -> None:
        """Ends what still runs."""
        await asyncio.to_thread(self._group.abort)


async def _next(stream: Iterator[bytes], seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(next, stream, None)
    except TimeoutError as error:
        raise XetFailed(f"nothing came for {seconds:.0f} seconds") from error
    except Exception as error:
        raise _failed(error) from error


def _cut(piece: bytes) -> Iterator[bytes]:
    view = memoryview(piece)
    for at in range(0, len(piece), _PIECE):
        yield bytes(view[at : at + _PIECE])


def _failed(error: Exception) -> XetFailed:
    return XetFailed(redact(str(error)) or type(error).__name__)


async def _token(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]
) -> tuple[str, str, int]:
    """Where the storage is, the token for it, and until when it holds."""
    try:
        async with session.get(
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=_FIRST_SECONDS),
        ) as response:
            if response.status != 200:
                raise XetFailed(f"the hub gives no token for it ({response.status})")
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise _failed(error) from error
    if not isinstance(answer, dict):
        raise XetFailed("the hub's token is no object")
    place, token, until = (answer.get(name) for name in ("casUrl", "accessToken", "exp"))
    if not (isinstance(place, str) and isinstance(token, str) and isinstance(until, int)):
        raise XetFailed("the hub's token is not whole")
    schemes = ("https",) if URL(url).scheme == "https" else ("https", "http")
    try:
        allowed = URL(place).scheme in schemes and bool(URL(place).host)
    except ValueError:
        allowed = False
    if not allowed:
        raise XetFailed(f"the hub names no address of the web: {place[:80]!r}")
    return place, token, max(until, int(time.time()))


def _group(library: Any, grant: tuple[str, str, int], url: str, headers: dict[str, str]) -> Any:
    """The library keeps a folder of its own, which must be writable."""
    os.environ.setdefault("HF_XET_CACHE", tempfile.mkdtemp(prefix="ome-xet-"))
    place, token, until = grant
    return library.XetSession(_settings(library)).new_download_stream_group(
        endpoint=place,
        token=token,
        token_expiry_unix_secs=until,
        token_refresh_url=url,
        token_refresh_headers=headers,
    )


def _settings(library: Any) -> Any:
    """Ours, as far as this version of the library knows them."""
    found = library.XetConfig()
    for name, value in _SETTINGS.items():
        try:
            found = found.with_config(name, value)
        except Exception as error:
            log.debug("hf_xet does not know %s: %s", name, error)
    return found
