"""Kubernetes quantities: ``500m``, ``1.5Gi``, ``2e3``, ``4``.

A quantity is an exact decimal number with at most nine fractional digits (finer values are rounded
away from zero) and at most 2**63 - 1 in magnitude (larger values are capped), written with a
suffix. Values that are equal have one canonical spelling within a suffix family: the largest suffix
that leaves no fraction.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal
from typing import Final

_FORM: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""The pattern that generated CRDs give for a quantity."""

_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_DECIMAL_NAMES: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_NAMES: Final = {power: suffix for suffix, power in _BINARY.items()}
_MAX: Final = Decimal(2**63 - 1)
_NANO: Final = Decimal("1e-9")
_WIDE: Final = Context(prec=400)
_LONGEST: Final = 128


def parse(value: str | int | float) -> Decimal:
    """The number that a quantity stands for. ``ValueError`` says what is wrong with it."""
    return _parse(value)[0]


def is_valid(value: object) -> bool:
    if not isinstance(value, str | int | float):
        return False
    try:
        _parse(value)
    except ValueError:
        return False
    return True


def to_int(value: str | int | float) -> int:
    """The value as a whole number, a fraction rounded away from zero (as Kubernetes does)."""
    return int(parse(value).to_integral_value(ROUND_UP))


def to_millis(value: str | int | float) -> int:
    """Thousandths, rounded away from zero: ``"1.5"`` is 1500."""
    return int((parse(value) * 1000).to_integral_value(ROUND_UP))


def canonical(value: str | int | float) -> str:
    """The spelling that the API server stores: ``1024Mi`` becomes ``1Gi``, ``0.5`` ``500m``."""
    number, family = _parse(value)
    if number == 0:
        return "0"
    if family == "binary" and abs(number) >= 1024 and number == number.to_integral_value():
        return _binary(int(number))
    return _decimal(number, exponent_form=family == "exponent")


def from_number(number: Decimal | int, *, binary: bool = False) -> str:
    """The canonical spelling of a number, for example of a sum of quantities."""
    exact = _limit(Decimal(number))
    if exact == 0:
        return "0"
    if binary and abs(exact) >= 1024 and exact == exact.to_integral_value():
        return _binary(int(exact))
    return _decimal(exact, exponent_form=False)


def _parse(value: str | int | float) -> tuple[Decimal, str]:
    """Number and suffix family: ``decimal``, ``binary`` or ``exponent``."""
    if isinstance(value, bool):
        raise ValueError(f"a quantity must be a number or a string such as '500m', not {value!r}")
    text = value.strip() if isinstance(value, str) else repr(value)
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
        raise ValueError(
            f"{shown!r} is not a quantity: expected a number with an optional suffix"
            " (n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3)"
        )
    number = Decimal(match["number"])
    suffix = match["suffix"] or ""
    if suffix in _BINARY:
        scaled = _limit(_WIDE.multiply(number, Decimal(1024 ** _BINARY[suffix])))
        # A binary quantity below one has no exact binary spelling.
        return scaled, "decimal" if 0 < scaled < 1 else "binary"
    exponent = int(match["exponent"]) if match["exponent"] else _DECIMAL[suffix]
    # Outside this range the limits below decide; Decimal itself would overflow.
    exponent = max(-300, min(300, exponent))
    return _limit(number.scaleb(exponent, _WIDE)), "exponent" if match["exponent"] else "decimal"


def _limit(number: Decimal) -> Decimal:
    if abs(number) > _MAX:
        return _MAX.copy_sign(number)
    return number.quantize(_NANO, ROUND_UP, _WIDE)


def _binary(number: int) -> str:
    power = 0
    while number % 1024 == 0 and power < 6:
        number //= 1024
        power += 1
    return f"{number}{_BINARY_NAMES[power] if power else ''}"


def _decimal(number: Decimal, *, exponent_form: bool) -> str:
    nanos = int(_WIDE.multiply(number, Decimal(10**9)))
    exponent = -9
    while nanos % 1000 == 0 and exponent < 18:
        nanos //= 1000
        exponent += 3
    if exponent_form:
        return f"{nanos}e{exponent}" if exponent else str(nanos)
    return f"{nanos}{_DECIMAL_NAMES[exponent]}"
