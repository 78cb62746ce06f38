"""An upgrade of OME restarts nothing: templates of every mode against a committed file.

The samples of the corpus are held the same way in tests/corpus/test_templates.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fakes import templates
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import GOLDEN, gpu_runtime, made

FILE = GOLDEN / "templates.json"
RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
BOTH = runtime()
BOTH["spec"]["decoderConfig"] = BOTH["spec"]["engineConfig"]
BOTH["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}


def test_no_pod_template_of_any_mode_changes_with_an_upgrade() -> None:
    cases = {
        "raw": made(),
        "own runner": made(service(engine={"runner": {"name": "ome-container", "image": "e:1"}})),
        "groups": made(runtime=gpu_runtime()),
        "ray": made(service(engine=RAY), runtime=gpu_runtime()),
        "serverless": made(service(engine={"minReplicas": 0})),
        "disaggregated": made(service(decoder={}, router={}), runtime=BOTH),
    }
    templates.check(FILE, {name: templates.hashes(rendered) for name, rendered in cases.items()})


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("a-b-c", "a-b-d", "OME_WRITE_GOLDEN=1"),
        ("a-b-c", "a-x-c", "RESTART ITS"),
        ("a-b-c", "x-b-c", "RESTART ITS"),
    ],
)
def test_a_change_fails_with_what_it_would_do(
    tmp_path: Path, was: str, now: str, words: str
) -> None:
    file = tmp_path / "templates.json"
    file.write_text(json.dumps({"s": {"Deployment d": was}}))
    templates.check(file, {"s": {"Deployment d": was}})
    with pytest.raises(AssertionError, match=words):
        templates.check(file, {"s": {"Deployment d": now}})
