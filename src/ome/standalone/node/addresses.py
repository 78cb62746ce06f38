"""Loopback addresses for pods.

On Linux all of 127.0.0.0/8 answers without configuration, so each pod can bind the same port on an
address of its own. Elsewhere only 127.0.0.1 does, and pods share it (their ports then must differ).
"""

from __future__ import annotations

import hashlib
import ipaddress
import sys
from collections.abc import Collection

SHARED = "127.0.0.1"
_FIRST = int(ipaddress.IPv4Address("127.64.0.1"))
_COUNT = 1 << 21


def allocate(uid: str, taken: Collection[str], platform: str = sys.platform) -> str:
    """An address that no other living pod has: by hash of the uid, then the next free one."""
    if platform != "linux":
        return SHARED
    start = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4], "big")
    for step in range(_COUNT):
        number = _FIRST + (start + step) % _COUNT
        address = str(ipaddress.IPv4Address(number))
        if number & 0xFF not in (0, 255) and address not in taken:
            return address
    raise RuntimeError("every loopback address is taken")
