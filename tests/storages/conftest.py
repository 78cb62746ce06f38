"""Which storages are tested: those that need nothing but Python, and with OME_EMULATORS=1 all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.storages.places import EMULATED, PLACES, Place

WITH_EMULATORS = os.environ.get("OME_EMULATORS") == "1"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" in metafunc.fixturenames:
        names = [*PLACES, *(EMULATED if WITH_EMULATORS else ())]
        metafunc.parametrize("place", names, indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not WITH_EMULATORS:
        terminalreporter.write_line(
            "NOT RUN HERE: storages against the emulators of Azure and Google (they need node and "
            "go): make test-emulators"
        )


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    """A running storage, and nothing of this machine's own credentials in sight."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    for name in ("HF_TOKEN", "GITHUB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    async with {**PLACES, **EMULATED}[request.param](tmp_path) as running:
        yield running
