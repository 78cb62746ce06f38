"""An upgrade of OME restarts nothing: templates of every mode against a committed file.

The samples of the corpus are held the same way in tests/corpus/test_templates.py.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import templates
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import GOLDEN, child, gpu_runtime, live, made

from ome.api.constants import A_INPUT_HASH
from ome.apimachinery.objects import Object, annotations_of
from ome.rendering import component
from ome.rendering import pod as pod_rules
from ome.rendering.env import set_env

FILE = GOLDEN / "templates.json"
RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
BOTH = runtime()
BOTH["spec"]["decoderConfig"] = BOTH["spec"]["engineConfig"]
BOTH["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}


def has_hash(obj: Object) -> bool:
    return A_INPUT_HASH in annotations_of(obj)


CASES: dict[str, tuple[Object, Object]] = {
    "raw": (service(), runtime()),
    "own runner": (
        service(engine={"runner": {"name": "ome-container", "image": "e:1"}}),
        runtime(),
    ),
    "groups": (service(), gpu_runtime()),
    "ray": (service(engine=RAY), gpu_runtime()),
    "serverless": (service(engine={"minReplicas": 0}), runtime()),
    "disaggregated": (service(decoder={}, router={}), BOTH),
}


def test_no_pod_template_of_any_mode_changes_with_an_upgrade() -> None:
    rendered = {name: made(subject, runtime=serving) for name, (subject, serving) in CASES.items()}
    templates.check(FILE, {name: templates.hashes(one) for name, one in rendered.items()})


def _next_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer that gives every pod something more."""

    def finish(pod: Object, *args: Any, **more: Any) -> None:
        pod_rules.finish(pod, *args, **more)
        for container in pod["containers"]:
            set_env(container, "NEXT_VERSION", "1")

    monkeypatch.setattr(component, "finish", finish)


@pytest.mark.parametrize("name", CASES)
def test_two_versions_of_the_renderer_agree_on_what_runs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject, serving = CASES[name]
    first = made(subject, runtime=serving)
    workloads = {(c.resource, c.key.name): c.object for c in first.children if has_hash(c.object)}
    assert workloads
    _next_version(monkeypatch)
    assert "NEXT_VERSION" in str(made(subject, runtime=serving).children), "new services get it"
    upgraded = made(subject, runtime=serving, observed=live(first))
    for (kind, workload), before in workloads.items():
        assert child(upgraded, kind, workload) == before
    # The service's own next change takes the new rendering along.
    changed = copy.deepcopy(subject)
    changed["metadata"]["labels"] = {"team": "a"}
    rolled = made(changed, runtime=serving, observed=live(upgraded))
    for kind, workload in workloads:
        made_anew = (kind, workload) in rolled.replaced  # Ray clusters
        prober = workload.endswith("-mnp")  # made without what the next version changes here
        assert prober or made_anew or "NEXT_VERSION" in str(child(rolled, kind, workload))


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
