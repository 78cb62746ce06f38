"""Failures that are not an answer of the API server.

What the server answered is a :class:`ome.apimachinery.errors.StatusError`. The rest is here::

    KubeError
    ├── ConfigError        kubeconfig, in-cluster files or an exec plugin can't be used
    ├── Unreachable        no answer: not listening, cut, timed out, certificate not trusted
    └── LeadershipLost     the lease went to somebody else while we were leading
"""

from __future__ import annotations


class KubeError(Exception):
    """Base of the errors of this room."""


class ConfigError(KubeError):
    """How to reach the API server could not be worked out. The message names file and field."""


class LeadershipLost(KubeError):  # noqa: N818 - states what happened
    """Another holder has the lease, or it could not be renewed in time."""


class Unreachable(KubeError):  # noqa: N818 - states what happened
    """No answer from ``url``. ``maybe_done``: the request may have taken effect all the same."""

    def __init__(
        self, url: str, cause: BaseException | str, *, hint: str = "", maybe_done: bool = False
    ) -> None:
        self.url = url
        self.cause = cause
        self.maybe_done = maybe_done
        self.hint = hint or _hint(cause)
        text = str(cause) or type(cause).__name__
        super().__init__(f"no answer from {url}: {text}" + (f". {self.hint}" if self.hint else ""))


def _hint(cause: BaseException | str) -> str:
    """What the user can do about it."""
    error: BaseException | None = cause if isinstance(cause, BaseException) else None
    while error is not None:
        if _is_tls(error, "SSLCertVerificationError"):
            return (
                "The server's certificate is not trusted: check certificate-authority and "
                "tls-server-name in the kubeconfig"
            )
        if is_tls_error(error):
            return "Check that the address speaks TLS and that the client certificate is accepted"
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return "Nothing listens there: start the API server, or correct the address"
        if isinstance(error, PermissionError):
            return "This user may not open the socket: run as the user that started the server"
        if isinstance(error, TimeoutError):
            return "It took too long: check the network, proxy settings and the server's load"
        if type(error).__name__ in {"ClientConnectorDNSError", "gaierror"}:
            return "The host name does not resolve: check `server` in the kubeconfig and the DNS"
        error = error.__cause__ or getattr(error, "os_error", None)
    return ""


def is_tls_error(error: BaseException | str) -> bool:
    """Whether it is an ``ssl.SSLError``. By name: who speaks no TLS need not import it."""
    return _is_tls(error, "SSLError")


def _is_tls(error: BaseException | str, name: str) -> bool:
    return any(c.__module__ == "ssl" and c.__name__ == name for c in type(error).__mro__)
