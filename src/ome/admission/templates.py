"""What neither a service nor a runtime can put into a pod template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.apimachinery.errors import FieldError

HOLDERS = ("leader", "worker", "workerSpec")


def ephemeral_errors(part: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """``ephemeralContainers`` of a component, its leader or its workers, were it only ``[]``."""
    holders = [(part, path), *((part.get(name), f"{path}.{name}") for name in HOLDERS)]
    for holder, where in holders:
        if holder and holder.get("ephemeralContainers") is not None:
            yield FieldError(
                f"{where}.ephemeralContainers",
                "can't be part of a template: Kubernetes refuses it; use kubectl debug",
                "FieldValueForbidden",
            )
