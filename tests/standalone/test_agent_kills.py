"""Ten times kill -9 of the agent, at moments that a seed chooses."""

from __future__ import annotations

import os

from tests.standalone.agentkills import survive
from tests.standalone.agentworld import World, world

__all__ = ["world"]


async def test_an_agent_that_is_killed_again_and_again_loses_and_mixes_nothing(
    world: World,
) -> None:
    await survive(world, kills=10, seed=int(os.environ.get("OME_TEST_SEED", "20261124")))
