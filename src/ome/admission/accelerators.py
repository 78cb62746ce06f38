"""What makes an AcceleratorClass invalid, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

_QUANTITIES = (
    ("capabilities", "memoryGB"),
    ("capabilities", "memoryBandwidthGBps"),
    ("cost", "perHour"),
    ("cost", "perMillionTokens"),
    ("cost", "spotPerHour"),
)


def accelerator_errors(obj: Object) -> list[FieldError]:
    """Amounts that can't be meant, and resources that pods can't ask for."""
    spec = obj.get("spec") or {}
    return [*_amounts(spec), *_resources(spec)]


def _amounts(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for part, name in _QUANTITIES:
        value = (spec.get(part) or {}).get(name)
        if value is not None:
            yield from _amount(value, f"spec.{part}.{name}")
    latency = ((spec.get("capabilities") or {}).get("performance") or {}).get("latency") or {}
    usual, worst = latency.get("averageMillis"), latency.get("maximumMillis")
    if isinstance(usual, int | float) and isinstance(worst, int | float) and usual > worst:
        yield FieldError(
            "spec.capabilities.performance.latency",
            f"averageMillis {usual} is more than maximumMillis {worst}; exchange them",
        )


def _amount(value: Any, path: str) -> Iterator[FieldError]:
    try:
        number = quantity.parse(value)
    except ValueError as error:
        yield FieldError(path, str(error))
        return
    if number < 0:
        yield FieldError(path, f"{value} must not be negative")


def _resources(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    seen: dict[str, int] = {}
    for index, resource in enumerate(spec.get("resources") or ()):
        path = f"spec.resources[{index}]"
        name = str(resource.get("name") or "")
        if name in seen:
            yield FieldError(
                f"{path}.name",
                f"{name} is entry {seen[name]} already; remove one",
                "FieldValueDuplicate",
            )
        seen.setdefault(name, index)
        amount = resource.get("quantity")
        if amount is None:
            continue
        yield from _amount(amount, f"{path}.quantity")
        if not quantity.is_valid(amount):
            continue
        whole = quantity.parse(amount) == quantity.to_int(amount)
        if "/" in name and not whole and resource.get("divisible") is not True:
            yield FieldError(
                f"{path}.quantity",
                f"{amount} of {name} can't be requested: extended resources come in whole numbers",
            )


_FINDS_NODES = ("nodeSelector", "affinity", "pciVendorID", "deviceIDs")


def accelerator_warnings(obj: Object) -> list[str]:
    spec = obj.get("spec") or {}
    discovery = spec.get("discovery") or {}
    warnings = []
    if not any(discovery.get(key) for key in _FINDS_NODES):
        warnings.append(
            "spec.discovery says nothing about nodes, so no node is found to have this "
            "accelerator; give nodeSelector"
        )
    if (spec.get("integration") or {}).get("kueueResourceFlavor"):
        warnings.append(
            "spec.integration.kueueResourceFlavor has no effect: Kueue takes the flavor whose "
            "nodeLabels agree with what pods ask for; put these labels into "
            "spec.discovery.nodeSelector"
        )
    return warnings
