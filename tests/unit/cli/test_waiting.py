"""Waiting for a service ends when there is nothing to wait for."""

from __future__ import annotations

import pytest
from tests.unit.cli.conftest import Ome, Server

from ome.api import resources as ours
from ome.cli import waiting

SERVICE = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "s", "namespace": "default"},
    "spec": {"model": {"name": "m"}, "engine": {}},
}


def stands(server: Server, reason: str, message: str) -> None:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    server.set_status(ours.INFERENCE_SERVICES, "s", {"conditions": [condition]}, "default")


@pytest.fixture
def service(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(waiting, "STUCK_SECONDS", 0.5)
    server.create(ours.INFERENCE_SERVICES, SERVICE)
    return server


def test_what_somebody_has_to_change_is_not_waited_for_to_the_end(
    ome: Ome, service: Server
) -> None:
    stands(service, "NoRuntimeFits", "no runtime fits model m")
    answer = ome("wait", "s", "--timeout", "30")
    assert answer.status == 1
    assert "s does not become ready by itself: no runtime fits model m" in answer.err
    assert "'ome wait s' waits again" in answer.err


def test_what_passes_by_itself_is_waited_for(ome: Ome, service: Server) -> None:
    stands(service, "ModelNotReady", "waits for model m")
    answer = ome("wait", "s", "--timeout", "1.2")
    assert answer.status == 1
    assert "s is not ready after 1 s: waits for model m" in answer.err
