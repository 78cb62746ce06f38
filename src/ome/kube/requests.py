"""The plumbing below the verbs: addresses, headers, measuring, decoding.

It knows which requests are idempotent in Kubernetes' sense, and loads the HTTP library only when
the first request is made, so that importing this room costs little.
"""

from __future__ import annotations

import platform
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

import msgspec

from ome import __version__
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object
from ome.kube import wire
from ome.kube.endpoint import Endpoint, StaticCredentials, bearer
from ome.kube.errors import Unreachable

if TYPE_CHECKING:
    import ssl as tls

    from ome.kube.transport import Transport

JSON = "application/json"
T = TypeVar("T")

RequestObserver = Callable[[str, str, int, float], None]
"""Called after each request with verb, resource, HTTP code (0: no answer) and seconds."""

# A JSON patch may append, and a POST makes something each time: these are not sent twice.
_NOT_IDEMPOTENT = frozenset({"POST", "application/json-patch+json"})


class Requests:
    """Raw requests to one server.

    ``timeout`` is seconds for one request, ``attempts`` how often it may be sent at most.
    ``observer`` is called after each request (metrics), ``on_warning`` with each warning that the
    server sends along. ``namespace`` is the default one of the kubeconfig's context; no method
    fills it in by itself.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        ssl: tls.SSLContext | None = None,
        token: str = "",
        endpoint: Endpoint | None = None,
        user_agent: str = "",
        timeout: float = 30.0,
        attempts: int = 4,
        observer: RequestObserver | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = endpoint or Endpoint(
            base_url.rstrip("/"), credentials=StaticCredentials(bearer(token))
        )
        self.observer = observer
        self.on_warning = on_warning
        self.namespace = self.endpoint.namespace
        self._ssl = ssl
        self._user_agent = user_agent or f"ome/{__version__} ({platform.system().lower()})"
        self._timeout = timeout
        self._attempts = attempts
        self._opened: Transport | None = None

    @classmethod
    def unix(cls, socket_path: str | Path, **options: Any) -> Self:
        """A client of the server that listens on a unix socket."""
        endpoint = Endpoint("http://localhost", unix_socket=str(socket_path))
        return cls(endpoint=endpoint, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections. The client may be used again afterwards."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | Object | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | None = None,
    ) -> bytes:
        """Any request; ``path`` is encoded already."""
        return await self._send(
            method.lower(),
            method,
            "",
            path,
            params=params,
            body=wire.encode(body) if isinstance(body, dict) else body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
        )

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accept: str = "*/*",
        idle_timeout: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The chunks of an answer of any length, as they arrive."""
        return self._stream(
            method.lower(),
            method,
            "",
            path,
            params=params,
            body=body,
            accept=accept,
            idle_timeout=idle_timeout,
        )

    async def _send(
        self,
        verb: str,
        method: str,
        resource: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float | None = None,
    ) -> bytes:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        begin = time.perf_counter()
        code = 0
        try:
            answer = await self._transport().send(
                method,
                f"{path}?{urlencode(params)}" if params else path,
                headers=headers,
                body=body,
                idempotent=not _NOT_IDEMPOTENT & {method, content_type},
                timeout=timeout,
            )
            code = answer.status
            return answer.body
        except StatusError as error:
            code = error.code
            raise
        finally:
            if self.observer is not None:
                self.observer(verb, resource, code, time.perf_counter() - begin)

    async def _stream(
        self,
        verb: str,
        method: str,
        resource: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accept: str = JSON,
        idle_timeout: float | None = None,
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """``opened`` is called when the server has agreed, before there is anything to read."""
        begin = time.perf_counter()
        code = 0
        try:
            async with self._transport().stream(
                method,
                f"{path}?{urlencode(params)}" if params else path,
                headers={"Accept": accept},
                body=body,
                idle_timeout=idle_timeout,
            ) as chunks:
                code = 200
                if opened is not None:
                    opened()
                async for chunk in chunks:
                    yield chunk
        except StatusError as error:
            code = error.code
            raise
        finally:
            if self.observer is not None:
                self.observer(verb, resource, code, time.perf_counter() - begin)

    def _transport(self) -> Transport:
        if self._opened is None:
            from ome.kube.transport import Transport

            self._opened = Transport(
                self.endpoint,
                user_agent=self._user_agent,
                timeout=self._timeout,
                attempts=self._attempts,
                context=self._ssl,
                on_warning=self._warn,
            )
        return self._opened

    def _warn(self, text: str) -> None:
        if self.on_warning is not None:
            self.on_warning(text)

    def _decoded(self, data: bytes, decode: Callable[[bytes], T]) -> T:
        """What a 2xx answer holds; a login page or a truncated proxy answer is no answer."""
        try:
            return decode(data)
        except msgspec.MsgspecError as error:
            shown = data[:100].decode("utf-8", "replace")
            raise Unreachable(
                self.endpoint.shown,
                f"the answer is not what the Kubernetes API gives ({error}): {shown!r}",
                hint="Check that the address is an API server's, not a proxy's or a web page's",
            ) from error
