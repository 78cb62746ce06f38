from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.apiserver.home import Home


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path)
    await home.up()
    yield home
    await home.down()
