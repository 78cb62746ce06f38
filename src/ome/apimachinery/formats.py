"""The ``format`` values that the API server enforces. Unknown formats are not enforced."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_DURATION: Final = re.compile(
    r"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII
)
_LONG_DURATION: Final = re.compile(
    r"\s*\d+\s*(?:ns|nanos?|us|micros?|ms|millis?|s|sec(?:ond)?s?|m|min(?:ute)?s?"
    r"|h|hrs?|hours?|d|days?|w|wks?|weeks?)\s*",
    re.ASCII,
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.I)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_HOST: Final = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?"
                          r"(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?)*")  # fmt: skip
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}", re.I)
_HEX_ID: Final = re.compile(r"[0-9a-f]{24}", re.I)


def _integer(bits: int) -> Callable[[Any], bool]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return lambda v: not isinstance(v, int | float) or low <= v <= high


def _text(holds: Callable[[str], object]) -> Callable[[Any], bool]:
    """Formats of strings say nothing about other types."""

    def check(value: Any) -> bool:
        if not isinstance(value, str):
            return True
        try:
            return bool(holds(value))
        except ValueError:
            return False

    return check


def is_date_time(value: str) -> bool:
    """RFC 3339, as ``metadata.creationTimestamp`` has it."""
    if not _DATE_TIME.fullmatch(value):
        return False
    datetime.fromisoformat(value[:19])
    return True


def is_duration(value: str) -> bool:
    """Go's durations (``1h30m``) and one unit in words (``3 days``)."""
    return bool(_DURATION.fullmatch(value) or _LONG_DURATION.fullmatch(value))


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error:
        return False
    return True


def _is_date(value: str) -> bool:
    return len(value) == 10 and bool(date.fromisoformat(value))


OF_GO: Final = frozenset({"int32", "int64"})
"""Formats that only Go's types enforce: an integer of a custom resource always has 64 bits."""

CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "int32": _integer(32),
    "int64": _integer(64),
    "byte": _text(_is_base64),
    "date": _text(_is_date),
    "date-time": _text(is_date_time),
    "duration": _text(is_duration),
    "email": _text(_EMAIL.fullmatch),
    "hostname": _text(_HOST.fullmatch),
    "ipv4": _text(ipaddress.IPv4Address),
    "ipv6": _text(ipaddress.IPv6Address),
    "cidr": _text(lambda v: "/" in v and ipaddress.ip_network(v, strict=False)),
    "mac": _text(_MAC.fullmatch),
    "uri": _text(lambda v: urlsplit(v).scheme),
    "uuid": _text(_UUID.fullmatch),
    "bsonobjectid": _text(_HEX_ID.fullmatch),
}
