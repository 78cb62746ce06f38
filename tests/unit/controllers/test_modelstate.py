from __future__ import annotations

import json
from typing import Any

from ome.controllers.modelstate import aggregate, missing_metadata


def report(node: str, **entry: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": node, "annotations": {"models.ome.io/node-name": node}},
        "data": {"clusterbasemodel.m": json.dumps({"name": "m", **entry})},
    }


def state(*reports: dict[str, Any], nodes: set[str] | None = None) -> Any:
    return aggregate("clusterbasemodel.m", reports, nodes)


def test_one_ready_node_makes_the_model_ready() -> None:
    found = state(report("b", status="Ready"), report("a", status="Failed"))
    assert found.state == "Ready"
    assert found.ready == ("b",)
    assert "failed on a" in found.sentence


def test_failing_everywhere_is_failed_and_says_why() -> None:
    found = state(report("a", status="Failed", message="401: gated repository"))
    assert found.state == "Failed"
    assert "401: gated repository" in found.sentence


def test_nodes_that_are_gone_do_not_count() -> None:
    assert state(report("gone", status="Ready"), nodes={"other"}).state == "In_Transit"


def test_progress_is_a_sentence_with_share_and_time_left() -> None:
    progress = {
        "phase": "downloading",
        "totalBytes": 10_000_000_000,
        "completedBytes": 4_200_000_000,
        "speedBytesPerSec": 20_000_000.0,
    }
    found = state(report("a", status="Updating", progress=progress))
    assert found.sentence == "downloading on 1 node: 42 % of 10 GB, about 5 min left"


def test_a_report_that_cannot_be_read_is_no_report() -> None:
    broken = report("a", status="Ready")
    broken["data"]["clusterbasemodel.m"] = "{"
    assert state(broken).sentence == "no node has taken it up yet"


def test_only_what_the_user_left_empty_is_filled_in() -> None:
    config = {
        "modelType": "llama",
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "maxTokens": 2048,
    }
    given = {"modelType": "mine", "modelFormat": {"name": "safetensors"}}
    assert missing_metadata(given, config) == {
        "modelFormat": {"version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "maxTokens": 2048,
    }
    assert missing_metadata({"modelFormat": {"name": "gguf"}}, {"modelFormat": {"name": "x"}}) == {}
