"""Waiting for what the bed's programs do in their own time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ome.apimachinery.errors import NotFound


async def until(what: str, check: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """What ``check`` gives once that is true. An object that is not there yet is waited for."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(NotFound):
                    last = await check()
                    if last:
                        return last
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}; last: {last}")
