"""What neither a service nor a runtime can put into a pod template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ome.apimachinery import formats, quantity
from ome.apimachinery.errors import FieldError

HOLDERS = ("leader", "worker", "workerSpec")

SMALL: Final = frozenset({
    "containerPort", "defaultMode", "failureThreshold", "hostPort", "initialDelaySeconds", "lun",
    "maxExpirationSeconds", "maxSkew", "minDomains", "mode", "partition", "periodSeconds", "port",
    "priority", "successThreshold", "values",
})  # fmt: skip
"""Fields that hold 32 bits wherever a pod, or a part of ours that becomes one, has them."""
_fits: Final = formats.CHECKS["int32"]


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


def number_errors(part: Any, path: str) -> Iterator[FieldError]:
    """Amounts in ``resources``, and numbers, that no pod may have.

    The pattern that CRDs give for quantities, Kubernetes' own, accepts a little more than pods do;
    and a number of 32 bits is one of 64 in every custom resource, whatever its format says.
    """
    if isinstance(part, list):
        for index, item in enumerate(part):
            yield from number_errors(item, f"{path}[{index}]")
    elif isinstance(part, dict):
        for name, inner in part.items():
            if name == "resources" and isinstance(inner, dict):
                yield from _amounts(inner, f"{path}.{name}")
            elif name in SMALL and not isinstance(inner, dict):
                yield from _too_large(inner, f"{path}.{name}")
            elif isinstance(inner, dict | list):
                yield from number_errors(inner, f"{path}.{name}")


def _too_large(given: Any, path: str) -> Iterator[FieldError]:
    if isinstance(given, list):
        for index, item in enumerate(given):
            yield from _too_large(item, f"{path}[{index}]")
    elif not _fits(given):
        bounds = f"{-(2**31)} and {2**31 - 1}"
        yield FieldError(path, f"{given} must be between {bounds}: pods hold 32 bits here")


def _amounts(resources: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for kind in ("limits", "requests"):
        given = resources.get(kind)
        for name, value in given.items() if isinstance(given, dict) else ():
            # The API server takes a null out; it is no amount, and no mistake either.
            if value is not None and not quantity.is_valid(value):
                yield FieldError(
                    f"{path}.{kind}.{name}",
                    f"{value!r} is no amount that Kubernetes reads; write for example 500m, 4 or "
                    "1.5Gi",
                )
