"""From the deprecated ``spec.predictor`` to engine, model and runtime.

The predictor is left in place; an engine that is there already wins. Nothing of the predictor is
lost: containers, worker, and what its model says (image, args, env, resources, storage URI,
protocol) all end up in the engine. Only ``runtimeVersion`` has no place to go: a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.admission.view import View
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.objects import Object

_USED_FIELDS = (
    "minReplicas",
    "serviceAccountName",
    "containers",
    "volumes",
    "nodeSelector",
    "tolerations",
    "affinity",
)
_NOT_CONTAINER = frozenset(
    {"runtime", "storageUri", "runtimeVersion", "protocolVersion", "baseModel", "fineTunedWeights"}
)


def is_used(predictor: Mapping[str, Any] | None) -> bool:
    """``predictor: {}`` is what older clients always write; it means nothing."""
    if not predictor:
        return False
    if (predictor.get("model") or {}).get("baseModel"):
        return True
    if predictor.get("minReplicas") is not None:
        return True
    return any(predictor.get(field) for field in _USED_FIELDS)


def migrate(spec: Object, namespace: str, view: View) -> list[str]:
    """Fills engine, model and runtime of ``spec`` from its predictor. Returns warnings."""
    predictor = spec.get("predictor") or {}
    if spec.get("engine") is not None:
        return []
    model = predictor.get("model") or {}
    engine: Object = {
        key: value for key, value in predictor.items() if key not in ("model", "workerSpec")
    }
    if predictor.get("workerSpec") is not None:
        engine["worker"] = predictor["workerSpec"]
    _runner_from_containers(engine)
    _runner_from_model(engine, model)
    spec["engine"] = engine
    warnings: list[str] = []
    if model.get("runtimeVersion"):
        warnings.append(
            "spec.predictor.model.runtimeVersion has no effect: runtimes name whole images. Set "
            "spec.engine.runner.image for another version"
        )
    if spec.get("model") is None and model.get("baseModel"):
        kind, unsure = _model_kind(model["baseModel"], namespace, view)
        warnings += unsure
        spec["model"] = {"name": model["baseModel"], "kind": kind}
        if model.get("fineTunedWeights"):
            spec["model"]["fineTunedWeights"] = list(model["fineTunedWeights"])
    if spec.get("runtime") is None and model.get("runtime"):
        local = view.get(o.SERVING_RUNTIMES, namespace, model["runtime"])
        kind = "ServingRuntime" if local is not None else "ClusterServingRuntime"
        spec["runtime"] = {"name": model["runtime"], "kind": kind}
    return warnings


def _runner_from_containers(engine: Object) -> None:
    """The container called ome-container, or like it, or the first, becomes the runner."""
    containers = list(engine.pop("containers", None) or ())
    if not containers:
        return
    index = next(
        (
            position
            for position, item in enumerate(containers)
            if "ome" in (item.get("name") or "").lower()
        ),
        0,
    )
    engine["runner"] = containers.pop(index)
    if containers:
        engine["containers"] = containers


def _runner_from_model(engine: Object, model: Mapping[str, Any]) -> None:
    """What the predictor's model says of a container, and of where the model comes from."""
    container = {key: value for key, value in model.items() if key not in _NOT_CONTAINER}
    env = [
        {"name": name, "value": value}
        for name, value in (
            (c.E_STORAGE_URI, model.get("storageUri")),
            (c.E_PROTOCOL_VERSION, model.get("protocolVersion")),
        )
        if value
    ]
    if not container and not env:
        return
    runner = dict(engine.get("runner") or {})
    added = [*(container.pop("env", None) or ()), *env]
    for key, value in container.items():
        runner.setdefault(key, value)
    taken = {item.get("name") for item in runner.get("env") or ()}
    new = [item for item in added if item.get("name") not in taken]
    if new:
        runner["env"] = [*(runner.get("env") or ()), *new]
    runner.setdefault("name", c.MAIN_CONTAINER)
    engine["runner"] = runner


def _model_kind(name: str, namespace: str, view: View) -> tuple[str, list[str]]:
    if view.get(o.CLUSTER_BASE_MODELS, "", name) is not None:
        return "ClusterBaseModel", []
    if view.get(o.BASE_MODELS, namespace, name) is not None:
        return "BaseModel", []
    return "ClusterBaseModel", [
        f"model {name} does not exist yet; it is taken to be a ClusterBaseModel"
    ]
