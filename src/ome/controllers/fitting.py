"""What a service's model needs of accelerators: brings artifacts, sizing and selection together.

What is known of the model comes from its object: its size and quantization, and its configuration
(what an agent read from the files, or a ``config.json`` that somebody put there). What the engine
is told comes from the runtime with the service's changes, and from what the runtime says about the
accelerator class in question. Pure, and computed only for runtimes that list classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.apimachinery import quantity
from ome.apimachinery.objects import Object, metadata
from ome.artifacts.estimate import estimate_parameters
from ome.artifacts.shape import shape as shape_of
from ome.artifacts.transformers import quantization_name
from ome.rendering.accelerate import into_runner
from ome.selection import Entry, Runtime
from ome.selection.accelerators import Holds, Memory, memory_gib
from ome.selection.criteria import Reason
from ome.selection.sizes import parse_parameters
from ome.sizing import GIB, ModelFacts, Place, Shape, judge, read_args

_MOST = 1 << 62
_WORDS = ("image", "command", "args")


class Fitting:
    """Of one service and one model; answers are kept, as the same question comes up again."""

    def __init__(self, service: Object, model: Object | None, classes: Mapping[str, Object]):
        self._service = service
        self._classes = classes
        self._facts = facts_of(model) if model is not None else ModelFacts()
        self._known: dict[tuple[str, str, str, str], Holds] = {}

    def memory(
        self, component: str, runtime: Object | None, entry: Mapping[str, Any] | None
    ) -> Memory | None:
        """Whether a class can hold the model for this component of this runtime."""
        if runtime is None or not self._facts.known:
            return None

        def holds(accelerator: Object) -> Holds:
            meta = metadata(runtime)
            name = metadata(accelerator)["name"]
            key = (component, meta.get("namespace") or "", meta["name"], name)
            if key not in self._known:
                self._known[key] = self._judge(component, runtime, entry, accelerator)
            return self._known[key]

        return holds

    def too_large(self, runtime: Runtime, entry: Entry | None) -> Reason | None:
        """Why none of the runtime's classes can hold the model; None unless that is certain."""
        if not runtime.accelerator_classes or not self._facts.known or self._chosen_by_hand():
            return None
        memory = self.memory(c.ENGINE, runtime.raw, entry.raw if entry else None)
        assert memory is not None
        names = [name for name in sorted(runtime.accelerator_classes) if name in self._classes]
        if len(names) < len(runtime.accelerator_classes):
            return None  # one that is yet to come may be large enough
        names.sort(key=lambda name: -memory_gib(self._classes[name]))
        for each in names:
            if memory(self._classes[each]).fits is not False:
                return None
        name = names[0]
        nearest = memory(self._classes[name])
        text = f"no accelerator class of it holds the model: {name} {nearest.sentence}"
        if len(names) > 1:
            text = f"none of its {len(names)} accelerator classes holds the model; the largest, "
            text += f"{name}: {nearest.sentence}"
        fix = nearest.fix or "use a quantized model, or a runtime for larger accelerators"
        return Reason(
            "NoAcceleratorFits", text, "spec.acceleratorRequirements.acceleratorClasses", fix
        )

    def _chosen_by_hand(self) -> bool:
        spec = self._service.get("spec") or {}
        override = (spec.get(c.ENGINE) or {}).get("acceleratorOverride") or {}
        return bool(
            override.get("acceleratorClass")
            or (spec.get("acceleratorSelector") or {}).get("acceleratorClass")
        )

    def _judge(
        self,
        component: str,
        runtime: Object,
        entry: Mapping[str, Any] | None,
        accelerator: Object,
    ) -> Holds:
        runner, pods = _runner(self._service, component, runtime)
        name = metadata(accelerator)["name"]
        overrides = ((entry or {}).get("acceleratorConfig") or {}).get(name) or {}
        into_runner(runner, accelerator, overrides, resources=True)
        gpus = _gpus(runner, accelerator)
        environment = {
            str(item.get("name")): str(item["value"])
            for item in runner.get("env") or ()
            if isinstance(item, Mapping) and item.get("value") is not None
        }
        environment.setdefault(c.E_PARALLELISM_SIZE, str(gpus * pods) if gpus else "")
        words = [str(w) for w in (*(runner.get("command") or ()), *(runner.get("args") or ()))]
        args = read_args(words, environment=environment, image=str(runner.get("image") or ""))
        memory = int(min(memory_gib(accelerator) * GIB, _MOST))
        verdict = judge(self._facts, args, Place(memory, gpus, pods))
        each = verdict.need.each / GIB if verdict.need is not None else 0.0
        return Holds(verdict.fits, verdict.sentence, verdict.fix, each)


def _runner(service: Object, component: str, runtime: Object) -> tuple[Object, int]:
    """(a copy of the container that loads the model, pods of one replica)."""
    base = (runtime.get("spec") or {}).get(f"{component}Config") or {}
    own = (service.get("spec") or {}).get(component) or {}
    parts = [base.get("runner"), own.get("runner")]
    pods = 1
    if base.get("leader") or own.get("leader"):
        parts = [
            base.get("runner"),
            (base.get("leader") or {}).get("runner"),
            own.get("runner"),
            (own.get("leader") or {}).get("runner"),
        ]
        size = (own.get("worker") or {}).get("size", (base.get("worker") or {}).get("size"))
        workers = bool(base.get("worker") or own.get("worker"))
        pods = 1 + (int(size) if isinstance(size, int) else workers)
    runner: Object = {}
    for part in (part or {} for part in parts):
        runner.update({key: part[key] for key in _WORDS if part.get(key)})
        runner["env"] = [*runner.get("env", ()), *(part.get("env") or ())]
        given = part.get("resources") or {}
        merged = runner.setdefault("resources", {})
        for side in ("requests", "limits"):
            merged[side] = {**(merged.get(side) or {}), **(given.get(side) or {})}
    return runner, max(1, pods)


def _gpus(runner: Object, accelerator: Object) -> int:
    """How many of the accelerator a pod gets; 0 where nothing says so."""
    resources = (accelerator.get("spec") or {}).get("resources") or ()
    name = resources[0]["name"] if resources else c.NVIDIA_GPU
    for side in ("limits", "requests"):
        amount = runner["resources"][side].get(name)
        if amount is not None:
            try:
                return max(0, quantity.to_int(amount))
            except ValueError:
                return 0
    return 0


def facts_of(model: Object) -> ModelFacts:
    """What the object says about the model."""
    spec = model.get("spec") or {}
    config = spec.get("modelConfiguration")
    config = config if isinstance(config, Mapping) else {}
    size = parse_parameters(spec.get("modelParameterSize"))
    parameters = int(size) if size is not None and size < _MOST else 0
    quantized = config.get("quantization_config")
    method = quantization_name(quantized) if isinstance(quantized, Mapping) else ""
    size_bytes = config.get("model_size_bytes")
    return ModelFacts(
        parameters=parameters or estimate_parameters(config),
        weight_bytes=size_bytes if isinstance(size_bytes, int) and 0 < size_bytes < _MOST else 0,
        quantization=str(spec.get("quantization") or method),
        dtype=str(config.get("torch_dtype") or config.get("dtype") or ""),
        format=str((spec.get("modelFormat") or {}).get("name") or ""),
        max_tokens=spec.get("maxTokens") or 0,
        shape=Shape.of(config.get("shape")) or Shape.of(shape_of(config)),
    )
