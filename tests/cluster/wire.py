"""Bare requests to an API server, the same for the real one and for the embedded one.

There is no client library in between on purpose: what is compared is what goes over the wire.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Object = dict[str, Any]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Answer:
    """What a server said. ``body`` is the JSON value, or the text where it is none."""

    status: int
    body: Any
    warnings: list[str] = field(default_factory=list)
    media: str = JSON

    @property
    def ok(self) -> bool:
        return self.status < 300

    def __str__(self) -> str:
        text = self.body.get("message") if isinstance(self.body, dict) else str(self.body)
        return f"{self.status} {text}"


class Api:
    """One API server. Parameters of :meth:`call` that are not named go into the query."""

    def __init__(self, name: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self._session = session

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        media: str = JSON,
        accept: str = JSON,
        **query: str,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else None if body is None else _dump(body)
        data = None if raw is None else io.BytesIO(raw)
        headers = {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = media
        async with self._session.request(
            method, path, data=data, headers=headers, params=query
        ) as response:
            text = await response.text()
            warnings = response.headers.getall("Warning", [])
            got = response.headers.get("Content-Type", "")
        return Answer(response.status, _parse(text), [_warning(w) for w in warnings], got)

    async def watch(self, path: str, *, count: int, seconds: float = 5, **query: str) -> list[Any]:
        """The first ``count`` events of a watch; fewer if it ends or nothing more comes."""
        seen: list[Any] = []
        query = {"watch": "true", "timeoutSeconds": str(int(seconds)), **query}
        timeout = aiohttp.ClientTimeout(total=seconds + 10)
        async with self._session.get(path, params=query, timeout=timeout) as response:
            if response.status != 200:
                return [await response.json()]
            async for line in response.content:
                seen.append(json.loads(line))
                if len(seen) == count:
                    break
        return seen


def _dump(body: Any) -> bytes:
    return json.dumps(body).encode()


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _warning(header: str) -> str:
    """The text of ``299 - "text"``."""
    text = header.partition('"')[2].removesuffix('"')
    return text.replace('\\"', '"').replace("\\\\", "\\")


@asynccontextmanager
async def over_tls(name: str, url: str, token: str) -> AsyncIterator[Api]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # self-signed, on loopback
    connector = aiohttp.TCPConnector(ssl=context)
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "parity/1"}
    async with aiohttp.ClientSession(
        url, connector=connector, headers=headers, read_bufsize=1 << 22
    ) as session:
        yield Api(name, session)


@asynccontextmanager
async def over_unix(name: str, socket: Path) -> AsyncIterator[Api]:
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession(
        "http://localhost",
        connector=connector,
        headers={"User-Agent": "parity/1"},
        read_bufsize=1 << 22,
    ) as session:
        yield Api(name, session)


async def established(api: Api, crds: list[Object], *, seconds: float = 60) -> list[Answer]:
    """Create CRDs with strict validation and wait until they are served; the answers to it."""
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    answers = []
    for crd in crds:
        answer = await api.call("POST", root, crd, fieldValidation="Strict")
        assert answer.ok or answer.status == 409, f"{api.name}: {crd['metadata']['name']}: {answer}"
        answers.append(answer)
    async with asyncio.timeout(seconds):
        for crd in crds:
            spec = crd["spec"]
            version = next(v["name"] for v in spec["versions"] if v["served"])
            path = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}"
            while not (
                _is_established((await api.call("GET", f"{root}/{crd['metadata']['name']}")).body)
                and (await api.call("GET", path, limit="1")).ok
            ):
                await asyncio.sleep(0.05)
    return answers


def _is_established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
