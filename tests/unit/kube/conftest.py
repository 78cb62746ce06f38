"""A fake API server and a client of it for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from tests.unit.kube.fakeapi import FakeApi
from tests.unit.kube.waiting import Start

from ome.kube import Client


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as server:
        yield server


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(api.url) as made:
        yield made


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Runs coroutines beside the test and cancels them at its end."""
    tasks: list[asyncio.Task[Any]] = []

    def run(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        tasks.append(asyncio.create_task(coroutine))
        return tasks[-1]

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
