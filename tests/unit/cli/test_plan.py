"""``ome plan`` against a live API: what changes, and what restarts pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.home import _crd
from tests.fakes.objects import model, runtime, service
from tests.unit.cli.conftest import Ome, Server
from tests.unit.rendering.modes import gpu_runtime

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource

Object = dict[str, Any]
KINDS = {
    kind.kind: kind
    for kind in (
        r.DEPLOYMENTS,
        r.SERVICES,
        r.CONFIG_MAPS,
        r.HORIZONTAL_POD_AUTOSCALERS,
        r.POD_DISRUPTION_BUDGETS,
        r.INGRESSES,
    )
}


def written(folder: Path, *objects: Object) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return path


@pytest.fixture
def running(ome: Ome, server: Server, tmp_path: Path) -> Server:
    """A service whose children are there, as the operator would have made them."""
    applied = ome("apply", "-f", written(tmp_path, model(), runtime(), service()))
    assert applied.status == 0, applied
    planned = ome("plan", "chat", "-o", "json")
    assert planned.status == 0, planned
    decoder, at = json.JSONDecoder(), 0
    while planned.out[at:].strip():
        at += len(planned.out[at:]) - len(planned.out[at:].lstrip())
        child, at = decoder.raw_decode(planned.out, at)
        resource: Resource = KINDS[child["kind"]]
        server._do(server.client.apply(resource, child, field_manager="ome"))
    return server


def difference(ome: Ome, folder: Path, *objects: Object) -> list[str]:
    found = ome("plan", "-f", written(folder, *objects))
    assert found.status == 0, found
    lines = found.out.splitlines()
    assert lines[0] == "InferenceService default/chat"
    return [line.strip() for line in lines[1:]]


def test_what_runs_already_is_no_difference(ome: Ome, running: Server, tmp_path: Path) -> None:
    assert difference(ome, tmp_path, service()) == ["nothing changes in its objects"]


def test_another_image_restarts_pods_and_names_the_field(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    new = {"runner": {"name": "ome-container", "image": "engine:2"}}
    found = difference(ome, tmp_path, service(runtime={"name": "rt"}, engine=new))
    assert found == [
        "~ Deployment chat-engine: RESTARTS its pods",
        "spec.template.spec.containers[ome-container].image: engine:1 -> engine:2",
    ]


def test_more_replicas_restart_nothing(ome: Ome, running: Server, tmp_path: Path) -> None:
    found = difference(ome, tmp_path, service(engine={"maxReplicas": 7}))
    assert found == [
        "~ HorizontalPodAutoscaler chat-engine: no pod restarts",
        "spec.maxReplicas: 3 -> 7",
    ]


def test_children_of_a_new_component_and_those_that_go_are_listed(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    external = service(engine={"annotations": {"ome.io/autoscalerClass": "external"}})
    found = difference(ome, tmp_path, external)
    assert "- HorizontalPodAutoscaler chat-engine" in found
    both = runtime()
    both["spec"]["decoderConfig"] = both["spec"]["engineConfig"]
    found = difference(ome, tmp_path, both, service(decoder={}))
    assert "+ Deployment chat-decoder" in found
    assert not any(line.startswith("-") for line in found)


def test_a_changed_runtime_in_the_files_counts(ome: Ome, running: Server, tmp_path: Path) -> None:
    found = difference(ome, tmp_path, runtime(image="engine:3"), service())
    assert "~ Deployment chat-engine: RESTARTS its pods" in found


def test_a_service_that_is_not_there_yet_is_all_new(
    ome: Ome, server: Server, tmp_path: Path
) -> None:
    found = difference(ome, tmp_path, model(), runtime(), service())
    assert "+ Deployment chat-engine" in found
    assert all(line.startswith("+") for line in found)


def test_what_the_server_refuses_is_said_and_is_a_failure(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    new = {"runner": {"name": "ome-container", "image": "engine:2", "ports": [
        {"containerPort": 99999999}]}}  # fmt: skip
    found = ome("plan", "-f", written(tmp_path, service(engine=new)))
    assert found.status == 1
    assert "99999999" in found.out + found.err


def test_nothing_was_done_by_all_this(ome: Ome, running: Server, tmp_path: Path) -> None:
    before = ome("get", "deployments,services", "-o", "json").out
    difference(ome, tmp_path, service(engine={"maxReplicas": 9}))
    assert ome("get", "deployments,services", "-o", "json").out == before
    assert ome("get", "isvc", "chat", "-o", "json").out.count('"maxReplicas"') == 0


def test_without_an_api_there_is_nothing_to_compare_with(
    ome: Ome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OME_DATA", str(tmp_path / "nobody"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    found = ome("plan", "-f", written(tmp_path, model(), runtime(), service()), "-o", "diff")
    assert found.status == 1
    assert "no API answers" in found.err


def planned(ome: Ome, folder: Path, *objects: Object) -> list[str]:
    found = ome("plan", "-f", written(folder, *objects))
    assert found.status == 0, found
    return [line.strip() for line in found.out.splitlines()]


def test_a_changed_runtime_alone_names_every_service_that_uses_it_and_what_restarts(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    other = runtime("other", autoSelect=False)
    second = service("second", runtime={"name": "other"})
    assert ome("apply", "-f", written(tmp_path, other, second)).status == 0
    found = planned(ome, tmp_path, runtime(image="engine:3"))
    # "second" names another runtime, so the file does not reach it.
    assert found[:2] == [
        "InferenceService default/chat",
        "~ Deployment chat-engine: RESTARTS its pods",
    ]
    assert not [line for line in found if "second" in line]
    both = planned(ome, tmp_path, runtime(image="engine:3"), runtime("other", image="engine:3"))
    assert both[-1] == "of 2 services, 1 would restart pods"
    assert "+ Deployment second-engine" in both


def test_a_model_or_an_accelerator_that_nobody_uses_changes_nothing(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    nothing = ["no service uses it: nothing changes"]
    assert planned(ome, tmp_path, model("unused")) == nothing
    moved = model(storage={"storageUri": "hf://example/tiny", "path": "/raid/models/elsewhere"})
    assert "~ Deployment chat-engine: RESTARTS its pods" in planned(ome, tmp_path, moved)


def test_another_mode_says_what_serves_until_then_and_goes_afterwards(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    running._do(running.client.create(r.CUSTOM_RESOURCE_DEFINITIONS, _crd(x.LEADER_WORKER_SETS)))
    found = difference(ome, tmp_path, gpu_runtime(1), service(runtime={"name": "groups"}))
    assert "+ LeaderWorkerSet lws-chat-engine" in found
    assert not any(line.startswith("-") for line in found)
    assert found[-1] == (
        "Deployment chat-engine serves until LeaderWorkerSet lws-chat-engine is available, then "
        "it is deleted: its pods stop"
    )


def test_a_service_by_name_is_compared_as_it_is_stored(
    ome: Ome, running: Server, tmp_path: Path
) -> None:
    changed = runtime(image="engine:4")
    assert ome("apply", "-f", written(tmp_path, changed)).status == 0
    found = ome("plan", "chat", "-o", "diff")
    assert found.status == 0, found
    assert "~ Deployment chat-engine: RESTARTS its pods" in found.out
