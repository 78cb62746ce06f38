"""Errors as the Kubernetes API states them: one exception, one ``Status`` object.

``StatusError`` carries the HTTP code and the machine-readable reason. The embedded API server
raises it and answers with :meth:`StatusError.to_status`; the client raises it again from the
answer. Code that must react to one cause catches the subclass of that cause::

    StatusError
    ├── BadRequest 400        ├── NotFound 404            ├── Expired 410 (Gone too)
    ├── Unauthorized 401      ├── MethodNotAllowed 405    ├── Invalid 422
    ├── Forbidden 403         ├── AlreadyExists 409       ├── TooManyRequests 429
    │                         ├── Conflict 409            ├── InternalError 500
    └── UnsupportedMediaType 415                          └── ServiceUnavailable 503
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ome.apimachinery.objects import Object


@dataclass(frozen=True, slots=True)
class FieldError:
    """One problem with one field.

    ``path`` is dotted with list indices (``spec.engine.runner.env[0].name``). ``reason`` is a
    Kubernetes cause reason such as ``FieldValueInvalid``, ``FieldValueRequired``,
    ``FieldValueNotSupported``, ``FieldValueForbidden``, ``FieldValueDuplicate``. ``message`` says
    what is wrong and what to do. Both are one line of printable text of bounded length, whatever
    the object holds that they quote.
    """

    path: str
    message: str
    reason: str = "FieldValueInvalid"

    def __post_init__(self) -> None:
        for name, most in (("path", 500), ("message", 1500)):
            text = getattr(self, name)
            clean = one_line(text, most)
            if clean is not text:
                object.__setattr__(self, name, clean)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def one_line(text: str, most: int) -> str:
    """The text without its middle where it is long, and with escapes for what doesn't print."""
    if len(text) <= most and text.isprintable():
        return text
    if len(text) > most:
        text = f"{text[: most * 2 // 3]}…{text[-(most // 3) :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class StatusError(Exception):
    """A failed request. ``details`` is ``Status.details`` of the Kubernetes API."""

    code: int = 500
    reason: str = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason
        self.details: Object = dict(details or {})

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asked to wait, if it did."""
        value = self.details.get("retryAfterSeconds")
        return float(value) if value else None

    @property
    def causes(self) -> list[FieldError]:
        return [
            FieldError(c.get("field", ""), c.get("message", ""), c.get("reason", ""))
            for c in self.details.get("causes") or ()
        ]

    def to_status(self) -> Object:
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status

    @staticmethod
    def from_status(status: Mapping[str, Any], code: int | None = None) -> StatusError:
        """The exception for a ``Status`` object; unknown reasons become a plain ``StatusError``."""
        reason = status.get("reason") or ""
        http = status.get("code") or code or 500
        cls = _BY_REASON.get(reason) or _BY_CODE.get(http) or StatusError
        return cls(
            status.get("message") or f"the server answered {http}",
            code=http,
            reason=reason or cls.reason,
            details=status.get("details"),
        )


class BadRequest(StatusError):  # noqa: N818 - names follow Kubernetes' reasons
    code = 400
    reason = "BadRequest"


class Unauthorized(StatusError):  # noqa: N818
    code = 401
    reason = "Unauthorized"


class Forbidden(StatusError):  # noqa: N818
    code = 403
    reason = "Forbidden"


class NotFound(StatusError):  # noqa: N818
    code = 404
    reason = "NotFound"


class MethodNotAllowed(StatusError):  # noqa: N818
    code = 405
    reason = "MethodNotAllowed"


class AlreadyExists(StatusError):  # noqa: N818
    code = 409
    reason = "AlreadyExists"


class Conflict(StatusError):  # noqa: N818
    code = 409
    reason = "Conflict"


class Expired(StatusError):  # noqa: N818
    code = 410
    reason = "Expired"


class UnsupportedMediaType(StatusError):  # noqa: N818
    code = 415
    reason = "UnsupportedMediaType"


class Invalid(StatusError):  # noqa: N818
    code = 422
    reason = "Invalid"

    @classmethod
    def of(cls, kind: str, name: str, problems: Iterable[FieldError], group: str = "") -> Invalid:
        """All problems of one object in one error."""
        listed = list(problems)
        text = "; ".join(str(p) for p in listed)
        if len(listed) > 1:
            text = f"[{', '.join(str(p) for p in listed)}]"
        subject = f"{kind}.{group}" if group else kind
        return cls(
            f'{subject} "{name}" is invalid: {text}',
            details={
                **({"name": name} if name else {}),
                "kind": kind,
                **({"group": group} if group else {}),
                "causes": [
                    {"reason": p.reason, "message": p.message, "field": p.path} for p in listed
                ],
            },
        )


class TooManyRequests(StatusError):  # noqa: N818
    code = 429
    reason = "TooManyRequests"


class InternalError(StatusError):
    code = 500
    reason = "InternalError"


class ServiceUnavailable(StatusError):  # noqa: N818
    code = 503
    reason = "ServiceUnavailable"


_CLASSES: tuple[type[StatusError], ...] = (
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    AlreadyExists,
    Conflict,
    Expired,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
)
_BY_REASON: dict[str, type[StatusError]] = {cls.reason: cls for cls in _CLASSES} | {"Gone": Expired}
_BY_CODE: dict[int, type[StatusError]] = {
    cls.code: cls for cls in _CLASSES if cls is not AlreadyExists
}


def not_found(resource: str, name: str) -> NotFound:
    """The server's usual words for an object that does not exist. ``resource`` is ``pods`` or
    ``deployments.apps``."""
    group = resource.partition(".")[2]
    return NotFound(
        f'{resource} "{name}" not found',
        details={
            "name": name,
            **({"group": group} if group else {}),
            "kind": resource.partition(".")[0],
        },
    )
