"""A service with ``minReplicas: 0`` under ``ome up``, with the real engine and the real model."""

from __future__ import annotations

import pytest
from tests.standalone.omehome import QUICKSTART, OmeHome, ome_home, until

from ome.api import resources as o
from ome.apimachinery import resources as r

pytestmark = pytest.mark.engine
AT_ZERO = "the engine is scaled to zero; a request starts it"


def replicas(home: OmeHome) -> int:
    return int(home.find(r.DEPLOYMENTS, "smollm2-engine")["spec"]["replicas"])


def test_a_service_at_zero_is_ready_answers_its_first_request_and_sleeps_again() -> None:
    text = QUICKSTART.read_text().replace("minReplicas: 1", "minReplicas: 0")
    text = text.replace(
        "  name: smollm2\n",
        "  name: smollm2\n  annotations:\n    ome.io/scale-to-zero-after: 3s\n",
    )
    with ome_home() as home:
        home.up()
        home.ok("apply", "-f", home.file(text), "--wait", "--timeout", "90")
        assert home.condition_of(o.INFERENCE_SERVICES, "smollm2")["reason"] == "ScaledToZero"
        assert home.why(o.INFERENCE_SERVICES, "smollm2", AT_ZERO)
        assert replicas(home) == 0
        assert not home.processes("ome.standalone.engines.llamacpp")
        assert not [e for e in home.events() if e["involvedObject"]["kind"] == "Pod"]
        assert home.answer()
        assert replicas(home) == 1
        home.kill_control()  # neither the gateway nor the engine mind
        assert home.answer()
        home.up()
        until(lambda: replicas(home) == 0, "nobody asks, so it is back at zero", 90)
        home.why(o.INFERENCE_SERVICES, "smollm2", AT_ZERO)
        until(lambda: not home.processes("ome.standalone.engines.llamacpp"), "the engine is gone")
        alarming = [e["message"] for e in home.events("smollm2") if e["type"] != "Normal"]
        assert alarming == []
