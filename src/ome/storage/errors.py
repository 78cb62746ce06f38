"""What can go wrong between a place where a model lies and the disk: one exception tree.

Every error says the object, the cause and the remedy, and whether waiting alone can help
(``retryable``). Texts are shown to users and written to the API, so they never hold a credential:
whatever comes from outside goes through :func:`redact` first::

    StorageError
    ├── InvalidLocation        ├── AccessDenied          ├── Unreachable      (retryable)
    ├── UnsupportedScheme      │   └── Gated             ├── RateLimited      (retryable)
    ├── SourceNotFound         ├── UnsafeName            ├── ServerFailed     (retryable)
    ├── DestinationOccupied    ├── ToolMissing           ├── NotEnoughDisk    (retryable)
    └── RangeNotSupported      └── UnsuitablePackage     ├── CorruptDownload  (retryable)
                                                         ├── SourceChanged    (retryable)
                                                         ├── ClockSkew        (retryable)
                                                         └── Busy             (retryable)
"""

from __future__ import annotations

import re


class StorageError(Exception):
    """A transfer that failed. ``retry_after`` is in seconds, if the other side named a time."""

    reason: str = "StorageFailed"
    retryable: bool = False

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class InvalidLocation(StorageError):  # noqa: N818 - names are the reasons users see
    reason = "InvalidStorageUri"


class UnsupportedScheme(StorageError):  # noqa: N818
    reason = "UnsupportedStorage"


class SourceNotFound(StorageError):  # noqa: N818
    reason = "NotFound"


class AccessDenied(StorageError):  # noqa: N818
    reason = "AccessDenied"


class Gated(AccessDenied):
    reason = "Gated"


class UnsafeName(StorageError):  # noqa: N818
    reason = "UnsafeFileName"


class DestinationOccupied(StorageError):  # noqa: N818
    reason = "PathOccupied"


class ToolMissing(StorageError):  # noqa: N818
    reason = "ToolMissing"


class UnsuitablePackage(StorageError):  # noqa: N818
    reason = "UnsuitablePackage"


class RangeNotSupported(StorageError):  # noqa: N818
    """The server answers a request for a part with the whole; the engine then reads in order."""

    reason = "RangeNotSupported"


class Unreachable(StorageError):  # noqa: N818
    reason = "Unreachable"
    retryable = True


class RateLimited(StorageError):  # noqa: N818
    reason = "RateLimited"
    retryable = True


class ServerFailed(StorageError):  # noqa: N818
    reason = "ServerFailed"
    retryable = True


class NotEnoughDisk(StorageError):  # noqa: N818
    reason = "NotEnoughDisk"
    retryable = True


class CorruptDownload(StorageError):  # noqa: N818
    reason = "CorruptDownload"
    retryable = True


class SourceChanged(StorageError):  # noqa: N818
    reason = "SourceChanged"
    retryable = True


class ClockSkew(StorageError):  # noqa: N818
    reason = "ClockSkew"
    retryable = True


class Busy(StorageError):  # noqa: N818
    reason = "Busy"
    retryable = True


_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")
_SECRET_WORDS = re.compile(
    r"(?i)(\b(?:bearer|basic)\s+|(?:token|password|secret|api[_-]?key)\s*[=:]\s*)[^\s,;'\"]{6,}"
)
_HF_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{6,}")


def redact(text: str) -> str:
    """The text without user info in URLs, signed query strings and things that look like tokens."""
    text = _USERINFO.sub("***@", text)
    text = _QUERY.sub(r"\1?***", text)
    text = _HF_TOKEN.sub("hf_***", text)
    return _SECRET_WORDS.sub(r"\1***", text)


def human_bytes(count: float) -> str:
    """``1536`` -> ``1.5 KiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
