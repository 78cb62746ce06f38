"""Parameter counts as people write them: ``7B``, ``134.5M``, ``1.2T``."""

from __future__ import annotations

import re

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_PATTERN = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([KMBTkmbt]?)\s*")


def parse_parameters(text: str | None) -> float | None:
    """The number of parameters, or None where nothing is given or it isn't a size.

    Upstream reads nonsense as zero, which makes every size range with a minimum refuse the model
    for a misleading reason; here nonsense is unknown, and the caller says so.
    """
    if not text:
        return None
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    return float(found[1]) * _UNITS[found[2].upper()]


def format_parameters(count: float) -> str:
    """The shortest usual form: ``7B``, ``134.5M``."""
    for unit, factor in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= factor:
            return f"{count / factor:.4g}{unit}"
    return f"{count:.4g}"
