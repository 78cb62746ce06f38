"""PCI devices of a node, as Node Feature Discovery writes them into labels.

``feature.node.kubernetes.io/pci-0302_10de.present`` (class and vendor) is what it writes by itself;
configured so, it names the device as well: ``pci-0302_10de_2330.present``. A class that lists
devices needs the latter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LABEL = re.compile(r"feature\.node\.kubernetes\.io/pci-([0-9a-f_]+)\.present")


def wanted(discovery: Mapping[str, Any]) -> bool:
    """Whether the class is described by PCI numbers."""
    return bool(discovery.get("pciVendorID") or discovery.get("deviceIDs"))


def found(labels: Mapping[str, str], discovery: Mapping[str, Any]) -> bool:
    """Whether the node has a device of that vendor, and of these numbers where they are given."""
    vendor = _number(discovery.get("pciVendorID") or "")
    devices = {_number(item) for item in discovery.get("deviceIDs") or ()}
    for label, value in labels.items():
        match = _LABEL.fullmatch(label.lower())
        if match is None or value != "true":
            continue
        parts = set(match[1].split("_"))
        if (not vendor or vendor in parts) and (not devices or devices & parts):
            return True
    return False


def _number(text: str) -> str:
    return str(text).lower().removeprefix("0x")
