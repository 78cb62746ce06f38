"""What a cloud's refusal means, in a sentence with a remedy.

obstore's messages hold the server's whole answer, which may quote keys and signatures. They are
searched for the status and the code, and never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ome.storage.errors import (
    AccessDenied,
    ClockSkew,
    InvalidLocation,
    RateLimited,
    ServerFailed,
    SourceChanged,
    SourceNotFound,
    StorageError,
    Unreachable,
    UnsafeName,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_REGION = re.compile(r"<Region>\s*([a-z0-9-]+)\s*</Region>|expecting '([a-z0-9-]+)'")
_METADATA = ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "metadata/identity")

_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_ELSEWHERE = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "TemporaryRedirect",
}
_BUSY = {"SlowDown", "ServerBusy", "TooManyRequests", "RequestLimitExceeded", "OperationTimedOut"}
_REFUSED = {
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "finds the signature wrong: the secret key is not that of the key id",
    "ExpiredToken": "says that the session token has expired",
    "InvalidToken": "refuses the session token",
    "AuthenticationFailed": "refuses the key or signature",
    "AuthorizationFailure": "refuses the request: the account's firewall or the key's rights",
    "AccountIsDisabled": "says that the account is disabled",
}


@dataclass(frozen=True, slots=True)
class Place:
    """The bucket or container, as people call it. ``home``: who serves it (a host or a cloud)."""

    uri: str
    home: str
    bucket: str
    form: str
    """The URI's form with a region, for who is sent to another one."""

    def __str__(self) -> str:
        return f"{self.home}, {self.bucket}"


def explain(error: Exception, place: Place, name: str) -> StorageError:
    """Any exception of obstore, or what is a ``StorageError`` already."""
    if isinstance(error, StorageError):
        return error
    text = str(error)
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    code = found[1] if (found := _CODE.search(text)) else ""
    if type(error).__name__ in ("InvalidPathError",) or "Path contains" in text:
        return UnsafeName(
            f"{place} names an object that is no path of a file, below {name!r}",
            remedy="rename it there",
        )
    return (
        _identity(text, status, place)
        or _sent_elsewhere(text, status, code, place)
        or _clock(text, code, place)
        or _by_status(status, code, error, place, name)
        or _transport(text, place)
    )


def _identity(text: str, status: int, place: Place) -> StorageError | None:
    """Without any key the last resort is the cloud's metadata service."""
    if not any(host in text for host in _METADATA) and "No credentials" not in text:
        return None
    return AccessDenied(
        f"no credentials were found for {place}: none given, none in the environment, and no "
        "workload identity answers here",
        remedy="name a Secret with credentials in spec.storage.key, or set the parameter "
        "auth: anonymous for what is public",
    )


def _sent_elsewhere(text: str, status: int, code: str, place: Place) -> StorageError | None:
    bare = "redirect without LOCATION" in text or "BareRedirect" in text
    if not (bare or code in _ELSEWHERE or status in (301, 307, 308)):
        if "redirect" in text.lower():
            return ServerFailed(f"{place.home} redirects in circles", remedy="check the endpoint")
        return None
    found = _REGION.search(text)
    region = (found[1] or found[2]) if found else ""
    there = f" It is in {region}." if region else ""
    return InvalidLocation(
        f"{place.bucket} is not in the region that was asked.{there}".rstrip("."),
        remedy=f"write {place.form.replace('REGION', region or 'REGION')}, or set the parameter "
        "region",
    )


def _clock(text: str, code: str, place: Place) -> StorageError | None:
    old = code == "AuthenticationFailed" and re.search(r"(?i)date header.*too old|clock", text)
    if code not in _SKEWED and not old:
        return None
    return ClockSkew(
        f"{place.home} refuses requests because this machine's clock is wrong",
        remedy="set the clock (NTP); OME tries again by itself",
    )


def _by_status(
    status: int, code: str, error: Exception, place: Place, name: str
) -> StorageError | None:
    what = f"{name!r}" if name else "the list of objects"
    if code in _BUSY or status == 429:
        return RateLimited(
            f"{place.home} limits the rate of requests ({code or status})",
            remedy="OME slows down and tries again by itself",
        )
    if code in _NO_BUCKET:
        return SourceNotFound(
            f"{place.home} has no bucket or container {place.bucket}",
            remedy="check the storage URI",
        )
    if code in _REFUSED or status in (401, 403):
        why = _REFUSED.get(code, f"refuses access to {what} ({code or status})")
        return AccessDenied(
            f"{place.home} {why} (for {place.bucket})",
            remedy="give credentials that may list and read it: spec.storage.key names a Secret",
        )
    if status in (412, 416):
        return SourceChanged(
            f"{name} in {place.bucket} changed at the source while it was read ({status})",
            remedy="OME lists the source again and starts over",
        )
    if status == 404 or isinstance(error, FileNotFoundError):
        return SourceNotFound(f"{place} has no {what}", remedy="check the storage URI")
    if status >= 500 or status == 408:
        return ServerFailed(
            f"{place.home} failed with status {status}", remedy="OME tries again by itself"
        )
    if status:
        return ServerFailed(
            f"{place.home} answered {status} {code} for {what}".replace("  ", " "),
            remedy="check the storage URI and the endpoint",
        )
    return None


def _transport(text: str, place: Place) -> StorageError:
    lower = text.lower()
    cause = "the connection failed"
    if "timed out" in lower or "timeout" in lower:
        cause = "no answer in time"
    elif "dns" in lower:
        cause = "its name is not known (DNS)"
    elif "certificate" in lower:
        cause = "its certificate is not trusted"
    elif "error decoding response body" in lower or "end of file" in lower:
        cause = "the connection ended too early"
    return Unreachable(
        f"{place.home} can't be reached: {cause}",
        remedy="check the network, the proxy and the endpoint; OME tries again by itself",
    )
