"""Waiting for conditions in tests: never for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def eventually(test: Callable[[], object], *, timeout: float = 10.0, what: str = "") -> None:
    """Returns once the test holds; fails when it does not in time."""
    end = time.monotonic() + timeout
    while True:
        if test():
            return
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what or test}")
        await asyncio.sleep(0.01)
