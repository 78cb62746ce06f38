"""Reading a model from other nodes: the origin says what there is, the peers give the bytes.

Each read goes to the peer with the least to do. One that is busy is asked again a moment later, one
that can't be reached or does not have the file is left out. When none is left
(:class:`PeersGone`), or all stay busy (:class:`PeersBusy`), the attempt ends with everything that
has arrived kept, and the agent makes a new plan.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from ome.agent.peers.auth import sign
from ome.storage.errors import SourceChanged
from ome.storage.http import new_session
from ome.storage.source import FileEntry, Source

_PIECE = 256 * 1024
_BUSY_WAIT = 0.2
BUSY_PATIENCE = 10.0
"""Seconds without a byte after which it is worth looking for nodes that have it since."""
_CONNECT = 5.0


class PeersGone(SourceChanged):
    """No peer can give it any more."""

    reason = "PeersGone"


class PeersBusy(SourceChanged):
    """All of them give it to others; meanwhile there may be more that have it."""

    reason = "PeersBusy"


@dataclass(slots=True, eq=False)
class _Peer:
    url: str
    load: int = 0
    """What it said that it serves, and what is asked of it since."""
    busy_until: float = 0.0
    lacks: set[str] = field(default_factory=set)
    gone: str = ""


class PeerSource:
    """``origin`` is listed, and read only for files of which it gives no hash."""

    def __init__(
        self,
        origin: Source,
        urls: Sequence[str],
        key: bytes,
        *,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.uri = origin.uri
        self.ranged = True
        self._origin = origin
        self._key = key
        self._rng = rng or random.Random()
        self._clock = clock
        self._peers = [_Peer(url) for url in urls]
        self._session = new_session()

    @property
    def revision(self) -> str:
        return self._origin.revision

    async def list(self) -> Sequence[FileEntry]:
        files = await self._origin.list()
        await asyncio.gather(*(self._ask_load(peer) for peer in self._peers))
        return files

    async def close(self) -> None:
        await self._session.close()
        await self._origin.close()

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        content = _content(entry)
        if not content:
            async for piece in self._origin.read(entry, start, end):
                yield piece
            return
        position, waited = start, 0.0
        while position < end:
            peer = self._choose(content, entry)
            if peer is None:
                if waited > BUSY_PATIENCE:
                    raise PeersBusy(
                        f"all nodes that have {entry.path} are busy", remedy="OME asks again"
                    )
                pause = _BUSY_WAIT * (0.5 + self._rng.random())
                waited += pause
                await asyncio.sleep(pause)
                continue
            peer.load += 1
            try:
                async for piece in self._read(peer, content, entry, position, end):
                    position += len(piece)
                    waited = 0.0
                    yield piece
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                peer.gone = str(error) or type(error).__name__
            finally:
                peer.load -= 1

    def _choose(self, content: str, entry: FileEntry) -> _Peer | None:
        """The least loaded; None where all that have it are busy. Raises PeersGone."""
        usable = [p for p in self._peers if not p.gone and content not in p.lacks]
        if not usable:
            why = "; ".join(f"{p.url}: {p.gone}" for p in self._peers if p.gone)
            raise _gone(entry, why or "none of them has it")
        now = self._clock()
        free = [peer for peer in usable if peer.busy_until <= now]
        if not free:
            return None
        least = min(peer.load for peer in free)
        return self._rng.choice([peer for peer in free if peer.load == least])

    async def _read(
        self, peer: _Peer, content: str, entry: FileEntry, start: int, end: int
    ) -> AsyncIterator[bytes]:
        """What the peer gives; nothing where it can't."""
        part = f"bytes={start}-{end - 1}"
        path = f"/v1/content/{content}"
        async with self._session.get(
            peer.url + path, headers={"Range": part, **self._signed(path, part)}
        ) as answer:
            if answer.status == 503:
                peer.busy_until = self._clock() + _BUSY_WAIT
                return
            if answer.status != 206:
                peer.lacks.add(content)
                if answer.status == 401:
                    peer.gone = (await answer.text())[:200]
                return
            given = answer.headers.get("Content-Range", "")
            if given != f"bytes {start}-{end - 1}/{entry.size}":
                peer.lacks.add(content)
                return
            async for piece in answer.content.iter_chunked(_PIECE):
                yield piece

    async def _ask_load(self, peer: _Peer) -> None:
        try:
            async with asyncio.timeout(_CONNECT):
                path = "/v1/load"
                async with self._session.get(
                    peer.url + path, headers=self._signed(path, "")
                ) as answer:
                    if answer.status != 200:
                        peer.gone = (await answer.text())[:200]
                        return
                    peer.load = int((await answer.json())["active"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            peer.gone = str(error) or type(error).__name__

    def _signed(self, path: str, part: str) -> dict[str, str]:
        return {"Authorization": sign(self._key, "GET", path, part, self._clock())}


def _content(entry: FileEntry) -> str:
    """What names a file's content between agents; empty where the origin gives no hash."""
    if entry.sha256:
        return f"sha256/{entry.sha256.lower()}"
    return f"git/{entry.git_sha1.lower()}" if entry.git_sha1 else ""


def _gone(entry: FileEntry, why: str) -> PeersGone:
    return PeersGone(
        f"no other node can give {entry.path}: {why}",
        remedy="OME looks for other nodes, or goes to the origin",
    )
