"""Which resources of nodes and pods are accelerators, where an AcceleratorClass names none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object

_WHOLE = ("nvidia.com/gpu", "amd.com/gpu")
_FAMILIES = ("nvidia.com/mig-", "gpu.intel.com/")
_PARTS = ("gpu.intel.com/memory", "gpu.intel.com/millicores", "gpu.intel.com/tiles")
"""What Intel's plugin counts beside the devices themselves."""


def is_device(name: str) -> bool:
    """NVIDIA's GPUs and parts of them (MIG), AMD's, Intel's."""
    if name in _WHOLE:
        return True
    return name.startswith(_FAMILIES) and not name.startswith(_PARTS)


def counted(accelerator: Object, amounts: Mapping[str, Any]) -> int:
    """How many of the class these resources (of a node, or requested by a container) hold.

    The first of ``spec.resources`` counts; a class without any counts every accelerator.
    """
    resources = (accelerator.get("spec") or {}).get("resources") or ()
    names: Iterable[str] = [resources[0]["name"]] if resources else filter(is_device, amounts)
    total = 0
    for name in names:
        try:
            total += quantity.to_int(amounts[name]) if amounts.get(name) is not None else 0
        except ValueError:
            continue
    return max(0, total)
