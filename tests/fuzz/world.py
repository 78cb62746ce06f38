"""A small cluster for fuzzed objects to be in: models, runtimes, accelerators, a weight.

Everything is called what :mod:`tests.fuzz.generate` lets references name; the object under test
takes the name ``fuzzed`` beside them.
"""

from __future__ import annotations

from typing import Any

from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource
from ome.controllers.decide import Decision, World, decide
from ome.controllers.plan import OPTIONAL
from ome.controllers.settings import OperatorSettings, read
from ome.rendering import Capabilities
from ome.selection import Runtime, compile_runtimes

_LLAMA = {
    "modelFormat": {"name": "safetensors", "version": "1.0.0"},
    "modelFramework": {"name": "transformers", "version": "4.43.1"},
    "modelArchitecture": "LlamaForCausalLM",
    "modelParameterSize": "7B",
}
_RUNNER = {"name": "ome-container", "image": "registry.example/engine:1"}


def _named(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "ome.io/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _model(name: str, **spec: Any) -> Object:
    storage = {"storageUri": "hf://org/model", "path": f"/raid/models/{name}"}
    return _named("ClusterBaseModel", name, {"storage": storage, **spec})


def _runtime(name: str, architecture: str, **spec: Any) -> Object:
    entry: Object = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.43.1"},
        "autoSelect": True,
    }
    if architecture:
        entry["modelArchitecture"] = architecture
    given = {"supportedModelFormats": [entry], "engineConfig": {"runner": _RUNNER}, **spec}
    return _named("ClusterServingRuntime", name, given)


_PARTS = {"leader": {"runner": _RUNNER}, "worker": {"size": 1, "runner": _RUNNER}}
FIXED = (
    _model("llama", **_LLAMA),
    _model("qwen", **{**_LLAMA, "modelArchitecture": "Qwen3ForCausalLM"}),
    _model("small", **{**_LLAMA, "modelParameterSize": "135M"}),
    _model("unread"),
    _model("disabled", **_LLAMA, disabled=True),
    {**_model("local", **_LLAMA), "kind": "BaseModel",
     "metadata": {"name": "local", "namespace": "default"}},
    _runtime("rt-llama", "LlamaForCausalLM", modelSizeRange={"min": "1B", "max": "80B"}),
    _runtime("rt-any", ""),
    _runtime("rt-multi", "LlamaForCausalLM", engineConfig=_PARTS),
    _runtime("rt-pd", "LlamaForCausalLM", engineConfig={"runner": _RUNNER},
             decoderConfig={"runner": _RUNNER}, routerConfig={"runner": _RUNNER}),
    _runtime("rt-disabled", "LlamaForCausalLM", disabled=True),
    _named("FineTunedWeight", "weight", {
        "baseModelRef": {"name": "llama"}, "hyperParameters": {"strategy": "lora"},
        "storage": {"storageUri": "hf://org/weight", "path": "/mnt/weight"}, "modelType": "LoRA",
    }),
    _named("AcceleratorClass", "nvidia-h100-80gb", {
        "vendor": "nvidia", "family": "hopper", "model": "h100",
        "discovery": {"nodeSelector": {"nvidia.com/gpu.product": "H100"}},
        "capabilities": {"memoryGB": "80"}, "resources": [{"name": "nvidia.com/gpu"}],
    }),
    _named("AcceleratorClass", "cpu", {"vendor": "any", "discovery": {}, "capabilities": {}}),
)  # fmt: skip
SERVICES = tuple(
    {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "fixed", "namespace": "default", "uid": "u"},
        "spec": spec,
    }
    for spec in (
        {"model": {"name": "llama"}, "engine": {}},
        {"model": {"name": "fuzzed"}, "engine": {"minReplicas": 1}},
        {"model": {"name": "llama"}, "runtime": {"name": "fuzzed"}, "engine": {}},
        {
            "model": {"name": "llama", "fineTunedWeights": ["fuzzed"]},
            "engine": {},
            "acceleratorSelector": {"acceleratorClass": "fuzzed"},
        },
    )
)
"""What bears on services is judged through these."""


class Around:
    """The fixed objects, and perhaps one more, as a view of admission and for decisions."""

    def __init__(self, added: Object | None = None) -> None:
        self._objects = [*FIXED, *([added] if added else ())]
        self._compiled = _RUNTIMES
        if added and added["kind"] in _RUNTIME_KINDS:
            self._compiled = [*_RUNTIMES, *compile_runtimes([added])]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        for obj in self._objects:
            if obj["kind"] == resource.kind and obj["metadata"]["name"] == name:
                return obj
        return None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [obj for obj in self._objects if obj["kind"] == resource.kind]

    def runtimes(self, _namespace: str) -> list[Runtime]:
        return self._compiled

    def decide(self, service: Object) -> Decision:
        accelerators = self.list(o.ACCELERATOR_CLASSES)
        return decide(
            World(
                service=service,
                settings=_SETTINGS,
                runtimes=self._compiled,
                model=lambda kind, name: self.get(_BY_KIND[kind], "", name),
                model_names=lambda: [m["metadata"]["name"] for m in self._objects],
                weight=lambda name: self.get(o.FINE_TUNED_WEIGHTS, "", name),
                accelerators={a["metadata"]["name"]: a for a in accelerators},
                capabilities=_CAPABILITIES,
            )
        )


_RUNTIME_KINDS = (o.SERVING_RUNTIMES.kind, o.CLUSTER_SERVING_RUNTIMES.kind)
_RUNTIMES = list(compile_runtimes([obj for obj in FIXED if obj["kind"] in _RUNTIME_KINDS]))
_BY_KIND = {resource.kind: resource for resource in o.ALL}
_CAPABILITIES = Capabilities(frozenset(OPTIONAL))
_SETTINGS: OperatorSettings = read(None)
