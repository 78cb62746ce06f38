"""Helpers for tests of the modes: rendering with everything installed, and golden files."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from tests.fakes.objects import model, runtime, service

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource
from ome.controllers.settings import OperatorSettings, read
from ome.rendering import Capabilities, Observed, Rendered, RenderInput, render

Object = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"
EVERYTHING = Capabilities(frozenset({r.INGRESSES, *x.ALL}))
GATEWAYS = {
    "ingressGateway": "knative-serving/knative-ingress-gateway",
    "localGateway": "knative-serving/knative-local-gateway",
    "localGatewayService": "knative-local-gateway.istio-system.svc.cluster.local",
    "knativeLocalGatewayService": "knative-local-gateway.istio-system.svc.cluster.local",
}


def settings(**ingress: Any) -> OperatorSettings:
    """Without ingress settings: creation is disabled, as shipped."""
    section = ingress or {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}
    return _settings(ingress=section, multinodeProber={"image": "prober:1"})


def from_zero() -> OperatorSettings:
    """Where a gateway starts the first replica, as under ``ome up``."""
    return _settings(ingress={"disableIngressCreation": True}, scaling={"fromZero": True})


def _settings(**sections: Object) -> OperatorSettings:
    return read({"data": {name: json.dumps(section) for name, section in sections.items()}})


def made(
    given: Object | None = None,
    *,
    config: OperatorSettings | None = None,
    observed: Observed | None = None,
    **more: Any,
) -> Rendered:
    subject = copy.deepcopy(given or service())
    subject["metadata"].setdefault("uid", "u-1")
    arguments: dict[str, Any] = {
        "model": model(),
        "runtime": runtime(),
        "capabilities": EVERYTHING,
        "observed": observed or Observed(),
        **more,
    }
    return render(RenderInput(subject, config or settings(), **arguments))


def child(rendered: Rendered, resource: Resource, name: str) -> Object:
    return next(
        c.object for c in rendered.children if c.resource == resource and c.key.name == name
    )


def names(rendered: Rendered, resource: Resource) -> list[str]:
    return [c.key.name for c in rendered.children if c.resource == resource]


def live(*rendered: Rendered, status: dict[Resource, Object] | None = None) -> Observed:
    """The children as if they had been applied, with a status by kind."""
    objects: dict[Resource, list[Object]] = {}
    for one in rendered:
        for made_child in one.children:
            obj = copy.deepcopy(made_child.object)
            obj["metadata"]["uid"] = f"uid-{made_child.key.name}"
            if made_child.initial_replicas is not None:
                obj["spec"]["replicas"] = made_child.initial_replicas
            if status and made_child.resource in status:
                obj["status"] = copy.deepcopy(status[made_child.resource])
            objects.setdefault(made_child.resource, []).append(obj)
    return Observed(objects)


def check_golden(name: str, rendered: Rendered) -> None:
    text = json.dumps([c.object for c in rendered.children], indent=1, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("OME_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"differs from {path}; OME_WRITE_GOLDEN=1 writes it anew"


def gpu_runtime(gpus: int = 8, **config: Any) -> Object:
    """A runtime whose engine has a leader and workers with that many GPUs each."""
    made_runtime = runtime("groups")
    runner = made_runtime["spec"]["engineConfig"].pop("runner")
    runner["resources"] = {"limits": {"nvidia.com/gpu": gpus}, "requests": {"nvidia.com/gpu": gpus}}
    made_runtime["spec"]["engineConfig"].update(
        {
            "leader": {"runner": runner},
            "worker": {"size": 1, "runner": {k: v for k, v in runner.items() if k != "ports"}},
            **config,
        }
    )
    return made_runtime
