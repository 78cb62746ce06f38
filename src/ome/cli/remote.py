"""The transport to a cluster: OME's asynchronous client on an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ome.cli.api import JSON
from ome.cli.errors import CliError
from ome.kube import Client, connect
from ome.kube.errors import KubeError

T = TypeVar("T")


class RemoteTransport:
    """Any Kubernetes API, as a kubeconfig names it."""

    def __init__(self, kubeconfig: Path | None, context: str | None) -> None:
        self._runner = asyncio.Runner()
        self._client: Client = self._run(connect(kubeconfig=kubeconfig, context=context))
        self.where = self._client.endpoint.shown
        self.namespace = self._client.namespace

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except KubeError as error:
            raise CliError(str(error)) from error

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        return self._run(
            self._client.request(
                method,
                path,
                params=dict(params or {}),
                body=body,
                content_type=content_type,
                accept=accept,
            )
        )

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Iterator[Iterator[bytes]]:
        chunks = aiter(
            self._client.stream(method, path, params=dict(params or {}), body=body, accept="*/*")
        )

        def pull() -> Iterator[bytes]:
            while True:
                chunk = self._run(_next(chunks, timeout))
                if chunk is None:
                    return
                yield chunk

        try:
            yield pull()
        finally:
            self._run(_close(chunks))

    def warnings(self) -> list[str]:
        return []

    def close(self) -> None:
        self._run(self._client.close())
        self._runner.close()


async def _next(chunks: AsyncIterator[bytes], timeout: float | None) -> bytes | None:
    async with asyncio.timeout(timeout):
        return await anext(chunks, None)


async def _close(chunks: AsyncIterator[bytes]) -> None:
    closing = getattr(chunks, "aclose", None)
    if closing is not None:
        await closing()
