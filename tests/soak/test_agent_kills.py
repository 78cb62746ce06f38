"""A hundred times kill -9 of the agent. Takes minutes; `make soak` runs it, and so does its name.

With ``OME_SOAK_WRITE`` set the figures go to ``benchmarks/results/agent-kills.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.standalone.agentkills import survive
from tests.standalone.agentworld import World, world

__all__ = ["world"]

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "agent-kills.json"


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_an_agent_survives_a_hundred_kills(world: World) -> None:
    found = await survive(world, kills=100, seed=int(os.environ.get("OME_TEST_SEED", "1")))
    if os.environ.get("OME_SOAK_WRITE"):
        RESULT.write_text(json.dumps(found, indent=2) + "\n")
