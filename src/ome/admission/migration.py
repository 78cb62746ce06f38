"""From the deprecated ``spec.predictor`` to engine, model and runtime.

Admission leaves the predictor in place; :func:`rewrite`, for manifests, takes it out. An engine
that is there already wins. Nothing of the predictor is lost: containers, worker, and what its model
says (image, args, env, resources, storage URI, protocol) all end up in the engine. Only
``runtimeVersion`` has no place to go: a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.admission.view import View
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, metadata

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


def rewrite(obj: Object, view: View) -> tuple[Object, list[str]]:
    """The service without its predictor, and what became of each part of it.

    The service itself, and nothing to say, where there is no predictor that means anything.
    """
    predictor: Object = (obj.get("spec") or {}).get("predictor") or {}
    if not is_used(predictor):
        return obj, []
    spec: Object = copy_json(obj["spec"])
    before = {part for part in ("engine", "model", "runtime") if spec.get(part) is not None}
    warnings = migrate(spec, metadata(obj).get("namespace") or "default", view)
    del spec["predictor"]
    said = [*_moved(predictor, spec, before), *idle(predictor), *warnings]
    rewritten = {**obj, "spec": spec}
    annotations = metadata(obj).get("annotations") or {}
    if c.A_DEPRECATION_WARNING in annotations:
        kept = {k: v for k, v in annotations.items() if k != c.A_DEPRECATION_WARNING}
        rewritten["metadata"] = {**obj["metadata"], "annotations": kept}
        said.append(f"annotation {c.A_DEPRECATION_WARNING} is gone with what it warned of")
    return rewritten, said


def _moved(predictor: Object, spec: Object, before: set[str]) -> Iterator[str]:
    model = predictor.get("model") or {}
    if "engine" in before:
        yield "spec.predictor is gone; beside spec.engine it had no effect"
        if model.get("protocolVersion"):
            yield (
                f"spec.predictor.model.protocolVersion ({model['protocolVersion']}) is gone; name "
                "a runtime that speaks it in spec.runtime.name"
            )
        return
    yield "spec.predictor has become spec.engine"
    if predictor.get("workerSpec") is not None:
        yield "spec.predictor.workerSpec has become spec.engine.worker"
    for old, part in (("baseModel", "model"), ("runtime", "runtime")):
        if not model.get(old):
            continue
        if part in before:
            yield f"spec.predictor.model.{old} is gone; spec.{part} was there and is used"
        else:
            now = spec[part]
            yield f"spec.predictor.model.{old} has become spec.{part}: {now['kind']} {now['name']}"
    for old, name in (
        ("storageUri", c.E_STORAGE_URI),
        ("protocolVersion", c.E_PROTOCOL_VERSION),
    ):
        if model.get(old):
            yield f"spec.predictor.model.{old} has become {name} in spec.engine.runner.env"


def idle(predictor: Mapping[str, Any]) -> list[str]:
    """Warnings about what has no place in the new form."""
    if not (predictor.get("model") or {}).get("runtimeVersion"):
        return []
    return [
        "spec.predictor.model.runtimeVersion has no effect: runtimes name whole images. Set "
        "spec.engine.runner.image for another version"
    ]


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
