"""References of a service to other objects of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.api.resources import GROUP


def foreign(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, sentence) of every reference of a service's spec that leads out of our API group."""
    for name in ("model", "runtime"):
        group = (spec.get(name) or {}).get("apiGroup")
        if group and group != GROUP:
            yield (
                f"spec.{name}.apiGroup",
                f"{group!r} has no {name}s that OME knows; use {GROUP} or leave it out",
            )
