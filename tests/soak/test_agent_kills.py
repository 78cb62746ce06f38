"""A hundred times kill -9 of the agent. Takes minutes; run by name or by its marker."""

from __future__ import annotations

import os

import pytest
from tests.standalone.agentkills import survive
from tests.standalone.agentworld import World, world

__all__ = ["world"]


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_an_agent_survives_a_hundred_kills(world: World) -> None:
    await survive(world, kills=100, seed=int(os.environ.get("OME_TEST_SEED", "1")))
