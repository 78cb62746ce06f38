"""A server on a unix socket, and a client that shows answers as they are."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from ome.standalone.apiserver import Admission, ApiServer, Limits, PodLogs, Store

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
CORE = "/api/v1/namespaces/default"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


@dataclass
class Answer:
    status: int
    body: Any
    warnings: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def revision(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "api.sock"
        self.store: Store
        self.server: ApiServer
        self.session: aiohttp.ClientSession

    async def up(
        self,
        *,
        limits: Limits | None = None,
        admission: Admission | None = None,
        logs: PodLogs | None = None,
    ) -> None:
        self.store = Store.open(self.folder / "db", limits)
        self.server = ApiServer(self.store, admission, logs, version="test")
        await self.server.start(unix_socket=self.socket)
        connector = aiohttp.UnixConnector(str(self.socket))
        self.session = aiohttp.ClientSession(connector=connector)

    async def down(self) -> None:
        await self.session.close()
        await self.server.stop()
        self.store.close()

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        type: str = "application/json",
        accept: str = "",
        raw: bytes | None = None,
    ) -> Answer:
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        data = None if raw is None else io.BytesIO(raw)
        headers = {"Content-Type": type, "User-Agent": "tests/1"}
        if accept:
            headers["Accept"] = accept
        url = f"http://ome{path}"
        async with self.session.request(method, url, data=data, headers=headers) as response:
            text = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(
                response.status,
                json.loads(text) if is_json else text,
                response.headers.getall("Warning", []),
                response.headers,
            )

    async def ok(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        answer = await self(method, path, body, **how)
        assert answer.status < 300, answer.body
        return answer.body

    @asynccontextmanager
    async def watch(self, path: str, query: str = "", accept: str = "") -> AsyncIterator[Watch]:
        url = f"http://ome{path}?watch=true&{query}"
        headers = {"Accept": accept} if accept else {}
        async with self.session.get(url, headers=headers) as response:
            yield Watch(response)


class Watch:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response

    async def next(self, seconds: float = 10.0) -> Any:
        """The next event, or None at the end."""
        async with asyncio.timeout(seconds):
            line = await self._response.content.readline()
        return json.loads(line) if line else None

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name}
    if labels is not None:
        meta["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def crd(**version: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": {
        "size": {"type": "string"}, "count": {"type": "integer", "default": 1}}}  # fmt: skip
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    **version,
                }
            ],
        },
    }


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    }


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "none"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": containers, **spec},
    }
