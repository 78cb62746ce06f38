"""Where an API server is and how to be let in: values, no input or output.

An :class:`Endpoint` is what a kubeconfig, the in-cluster files or a caller boil down to. Its
``credentials`` are asked before every request, because tokens rotate: a source answers from memory
until what it holds is due, so asking is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves who we are: request headers, or a client certificate (PEM), or both."""

    headers: Mapping[str, str] = field(default_factory=dict)
    certificate: bytes = b""
    key: bytes = b""


class CredentialSource(Protocol):
    async def current(self) -> Credential:
        """The credential to use now. Raises ConfigError where none can be had."""
        ...

    def invalidate(self) -> bool:
        """The server refused the credential. True where a fresh one may differ: worth a retry."""
        ...


class StaticCredentials:
    """A credential that never changes."""

    def __init__(self, credential: Credential | None = None) -> None:
        self._credential = credential or Credential()

    async def current(self) -> Credential:
        return self._credential

    def invalidate(self) -> bool:
        return False


def bearer(token: str) -> Credential:
    """The credential of a token; an anonymous one for the empty token."""
    return Credential({"Authorization": f"Bearer {token}"} if token else {})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach one API server.

    ``url`` has no trailing slash and may have a path prefix. With ``unix_socket`` the host in
    ``url`` is a mere label. ``source`` says where this came from, for messages.
    """

    url: str
    credentials: CredentialSource = field(default_factory=StaticCredentials)
    unix_socket: str = ""
    ca: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = ""
    namespace: str = "default"
    source: str = ""

    @property
    def shown(self) -> str:
        """The address for messages."""
        return f"unix://{self.unix_socket}" if self.unix_socket else self.url
