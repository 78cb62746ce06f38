from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.objects import model, runtime, service

from ome.apimachinery import resources as r
from ome.controllers.settings import OperatorSettings, read
from ome.rendering import Observed, Rendered, RenderError, RenderInput, render

Object = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"
ON_CLUSTER = json.dumps({"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"})


def settings() -> OperatorSettings:
    return read({"data": {"ingress": ON_CLUSTER}})


def made(given: Object | None = None, **more: Any) -> Rendered:
    subject = given or service()
    subject["metadata"].setdefault("uid", "u-1")
    arguments: dict[str, Any] = {"model": model(), "runtime": runtime(), **more}
    return render(RenderInput(subject, settings(), **arguments))


def child(rendered: Rendered, resource: Any, name: str) -> Object:
    return next(
        c.object for c in rendered.children if c.resource == resource and c.key.name == name
    )


def deployment(rendered: Rendered, name: str = "chat-engine") -> Object:
    return child(rendered, r.DEPLOYMENTS, name)


def container(rendered: Rendered) -> Object:
    found: Object = deployment(rendered)["spec"]["template"]["spec"]["containers"][0]
    return found


def _check_golden(name: str, rendered: Rendered) -> None:
    text = json.dumps([c.object for c in rendered.children], indent=1, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("OME_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"differs from {path}; OME_WRITE_GOLDEN=1 writes it anew"


def test_a_plain_service_is_rendered_as_in_the_golden_file() -> None:
    _check_golden("plain", made())


def test_a_service_with_router_and_gpus_is_rendered_as_in_the_golden_file() -> None:
    with_gpus = runtime("gpu")
    runner = with_gpus["spec"]["engineConfig"]["runner"]
    runner["resources"]["limits"] = {"nvidia.com/gpu": 4, "cpu": "1000m"}
    with_gpus["spec"]["engineConfig"]["tolerations"] = [
        {"key": "nvidia.com/gpu", "operator": "Exists"}
    ]
    with_gpus["spec"]["routerConfig"] = {
        "config": {"POLICY": "cache_aware", "A": "b"},
        "runner": {"name": "router", "image": "router:1", "ports": [{"containerPort": 30000}]},
    }
    subject = service(router={"minReplicas": 1}, engine={"minReplicas": 2, "maxReplicas": 5})
    subject["metadata"]["annotations"] = {
        "prometheus.io/scrape": "true",
        "ome.io/volcano-queue": "gold",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    _check_golden("router", made(subject, runtime=with_gpus))


def test_the_same_input_gives_the_same_bytes_whatever_the_key_order() -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in reversed(list(value))}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    one = made()
    other = made(shuffled(service()), model=shuffled(model()), runtime=shuffled(runtime()))
    first, second = (
        json.dumps([c.object for c in rendered.children], sort_keys=True)
        for rendered in (one, other)
    )
    assert first == second


def test_nothing_that_goes_in_is_changed() -> None:
    inputs = [service(), model(), runtime()]
    inputs[0]["metadata"]["uid"] = "u-1"
    before = copy.deepcopy(inputs)
    made(inputs[0], model=inputs[1], runtime=inputs[2])
    assert inputs == before


def test_the_services_runner_is_laid_over_the_runtimes() -> None:
    mine = service(
        engine={
            "runner": {
                "env": [{"name": "X", "value": "1"}, {"name": "MODEL_PATH", "value": "/else"}],
                "args": ["--mine"],
            }
        }
    )
    found = container(made(mine))
    assert found["image"] == "engine:1"
    assert found["name"] == "ome-container"
    assert found["args"] == ["--mine"]
    assert {"name": "MODEL_PATH", "value": "/else"} in found["env"]
    assert sum(item["name"] == "MODEL_PATH" for item in found["env"]) == 1


def test_a_model_whose_name_is_no_volume_name_gets_a_clean_one() -> None:
    rendered = made(model=model("Llama-3.1"))
    pod = deployment(rendered)["spec"]["template"]["spec"]
    name = pod["volumes"][0]["name"]
    assert "." not in name
    assert name == name.lower()
    assert pod["containers"][0]["volumeMounts"][0]["name"] == name


def test_a_model_on_a_volume_claim_is_mounted_and_asks_for_no_node() -> None:
    on_claim = model(storage={"storageUri": "pvc://models/llama/8b"})
    pod = deployment(made(model=on_claim))["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "models"
    assert pod["containers"][0]["volumeMounts"][0]["subPath"] == "llama/8b"
    assert "nodeSelector" not in pod


def test_replicas_are_never_part_of_what_is_applied() -> None:
    rendered = made(service(engine={"minReplicas": 3, "maxReplicas": 5}))
    assert "replicas" not in deployment(rendered)["spec"]
    found = next(c for c in rendered.children if c.resource == r.DEPLOYMENTS)
    assert found.initial_replicas == 3
    assert found.replica_bounds == (3, 5)


def test_the_url_is_the_gateways_path_where_the_configuration_has_one() -> None:
    section = {
        "ingressDomain": "127.0.0.1:11435",
        "pathTemplate": "/services/{{ .Namespace }}/{{ .Name }}",
        "disableIngressCreation": True,
    }
    subject = service()
    subject["metadata"]["uid"] = "u"
    local = read({"data": {"ingress": json.dumps(section)}})
    rendered = render(RenderInput(subject, local, model(), runtime()))
    assert rendered.url == "http://127.0.0.1:11435/services/default/chat"
    assert made().url == "http://chat.default.svc.cluster.local:8080"


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        ({"worker": {"size": 1}}, "MissingKind"),
        ({"runner": {"name": "ome-container", "args": ["{{ .Nope }}"]}}, "InvalidTemplate"),
        ({"runner": {"resources": {"limits": {"cpu": "lots"}}}}, "InvalidSpec"),
        ({"ephemeralContainers": [{"name": "x"}]}, "InvalidSpec"),
    ],
)
def test_what_cannot_be_rendered_says_why_where_and_what_to_do(engine: Object, code: str) -> None:
    with pytest.raises(RenderError) as caught:
        made(service(engine=engine))
    assert caught.value.code == code
    assert caught.value.field.startswith("spec.")
    assert caught.value.fix


# --- no surprise restarts -------------------------------------------------------------------------


def _live(rendered: Rendered) -> Observed:
    return Observed({r.DEPLOYMENTS: [copy.deepcopy(deployment(rendered))]})


def _template(rendered: Rendered) -> Object:
    found: Object = deployment(rendered)["spec"]["template"]
    return found


def test_a_legacy_workload_keeps_its_template_until_the_services_own_change() -> None:
    legacy = copy.deepcopy(deployment(made()))
    del legacy["metadata"]["annotations"]["ome.io/template-input-hash"]
    legacy["spec"]["template"]["spec"]["containers"][0]["image"] = "made-by-another:1"
    adopted = made(observed=Observed({r.DEPLOYMENTS: [legacy]}))
    assert _template(adopted) == legacy["spec"]["template"]
    again = made(observed=_live(adopted))
    assert _template(again) == legacy["spec"]["template"]
    scaled = made(service(engine={"minReplicas": 2}), observed=_live(adopted))
    assert _template(scaled) == legacy["spec"]["template"]
    own = made(service(engine={"labels": {"a": "b"}}), observed=_live(adopted))
    assert container(own)["image"] == "engine:1"


def test_a_new_version_of_ome_that_renders_differently_restarts_nothing() -> None:
    first = made()
    live = copy.deepcopy(deployment(first))
    own, shared, _ = live["metadata"]["annotations"]["ome.io/template-input-hash"].split("-")
    live["metadata"]["annotations"]["ome.io/template-input-hash"] = f"{own}-{shared}-0ther0utput"
    live["spec"]["template"]["spec"]["containers"][0]["args"] = ["as", "before"]
    kept = made(observed=Observed({r.DEPLOYMENTS: [live]}))
    assert _template(kept) == live["spec"]["template"]


def test_a_hand_edited_template_is_healed() -> None:
    live = copy.deepcopy(deployment(made()))
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "by-hand:1"
    healed = made(observed=Observed({r.DEPLOYMENTS: [live]}))
    assert container(healed)["image"] == "engine:1"


def test_a_shared_change_waits_for_its_turn_and_for_the_hold_annotation() -> None:
    live = _live(made())
    new = runtime(image="engine:2")
    waiting = made(runtime=new, observed=live, may_roll=False)
    assert container(waiting)["image"] == "engine:1"
    assert "ClusterServingRuntime rt" in waiting.pending[0]
    assert container(made(runtime=new, observed=live))["image"] == "engine:2"
    held = service()
    held["metadata"]["annotations"] = {"ome.io/hold-rollout": "true"}
    kept = made(held, runtime=new, observed=live)
    assert container(kept)["image"] == "engine:1"
    assert "held by annotation" in kept.pending[0]


def test_metadata_that_a_node_fills_in_later_rolls_nothing() -> None:
    before = model()
    del before["spec"]["modelFormat"]
    live = _live(made(model=before))
    after = made(model=model(), observed=live)
    assert _template(after) == live.get(r.DEPLOYMENTS, "chat-engine")["spec"]["template"]  # type: ignore[index]
    assert not after.pending
