"""Waiting for conditions in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

Start = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


async def until(condition: Callable[[], object], what: str = "", seconds: float = 5.0) -> None:
    """Waits for a condition; fails after ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not in {seconds} s: {what or condition}")
        await asyncio.sleep(0.005)
