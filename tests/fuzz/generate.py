"""Random objects that a CRD's schema accepts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.schema import Schema
from ome.apimachinery.validation import compile_pattern
from ome.cli.checks import schema_of

QUANTITIES: Final = ("1", "500m", "2Gi", "1.5Gi", "64Mi", "1e3", "0", "100k", "0.5", "1Ti")
SIZES: Final = ("7B", "1.5T", "500M", "0.5B", "70B", "135M", "8b", "1K")
URIS: Final = (
    "hf://meta-llama/Llama-3.1-8B-Instruct",
    "hf://Qwen/Qwen3-0.6B@main",
    "oci://n/ns/b/bucket/o/models/llama",
    "pvc://claim/path/to/model",
    "pvc://other:claim/x",
    "s3://bucket@eu-central-1/prefix",
    "az://account/container/blob",
    "gs://bucket/object",
    "github://owner/repo@v1",
    "vendor://nvidia/models/x",
    "vendor://pypi/ome-smollm2/model.gguf",
    "local:///data/models/x",
)
MODELS: Final = ("llama", "qwen", "small", "local", "unread", "disabled", "absent", "fuzzed")
RUNTIMES: Final = ("rt-llama", "rt-any", "rt-multi", "rt-pd", "rt-disabled", "absent", "fuzzed")
WEIGHTS: Final = ("weight", "absent", "fuzzed")
ACCELERATORS: Final = ("nvidia-h100-80gb", "cpu", "absent", "fuzzed")
_WORDS: Final = ("alpha", "beta", "gamma", "x", "main", "ome-container", "model", "a-b", "v1")
_ENV: Final = ("MODEL_PATH", "PARALLELISM_SIZE", "HF_TOKEN", "DEPLOYMENT_MODE", "A", "PORT")
_BY_NAME: Final[dict[str, tuple[str, ...]]] = {
    "storageUri": URIS,
    "modelParameterSize": SIZES,
    "modelSizeRange": SIZES,
    "min": SIZES,
    "max": SIZES,
    "quantization": ("fp8", "int4", "awq"),
    "modelArchitecture": ("LlamaForCausalLM", "Qwen3ForCausalLM", "BertModel"),
    "modelType": ("llama", "qwen3"),
    "acceleratorClass": ACCELERATORS,
    "acceleratorClasses": ACCELERATORS,
    "baseModel": MODELS,
    "fineTunedWeights": WEIGHTS,
    "operator": ("Equal", "GreaterThan", "GreaterThanOrEqual", "In", "Exists"),
    "version": ("1", "1.0.0", "4.43.1", "v2", "1.0.0-rc1"),
    "protocolVersion": ("openAI", "cohere", "v1"),
    "protocolVersions": ("openAI", "cohere"),
    "image": ("registry.example/engine:1", "vllm/vllm-openai@sha256:" + "a" * 64, "x"),
    "path": ("/raid/models/x", "/mnt/y", "/", "/a/b/c"),
    "mountPath": ("/models", "/dev/shm", "/etc/x"),
    "url": ("http://model.example:8080", "https://x"),
    "schedule": ("0 * * * *",),
    "scalingThreshold": ("10", "0.5"),
    "scalingOperator": ("GreaterThanOrEqual", "LessThanOrEqual"),
    "promServerAddress": ("http://prometheus:9090",),
    "authModes": ("basic", "bearer", "tls,basic"),
    "args": ("--model", "$(MODEL_PATH)", "--port=8080", "{{.Name}}"),
    "command": ("python3", "/bin/sh", "-c"),
    "trafficScenarios": ("D(100,100)", "N(480,240)/(300,150)", "E(128)"),
    "size": SIZES,
}
_ANNOTATIONS: Final[dict[str, tuple[str, ...]]] = {
    c.A_DEPLOYMENT_MODE: (
        "RawDeployment", "Serverless", "MultiNode", "MultiNodeRayVLLM", "VirtualDeployment",
        "PDDisaggregated", "nonsense",
    ),
    c.A_AUTOSCALER_CLASS: ("hpa", "keda", "external", "nonsense"),
    c.A_AUTOSCALER_METRICS: ("cpu", "memory"),
    c.A_TARGET_UTILIZATION: ("80", "0", "x"),
    c.A_INGRESS_DOMAIN_TEMPLATE: ("{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}", "{{.Nope}}"),
    c.A_INGRESS_PATH_TEMPLATE: ("/serving/{{ .Namespace }}/{{ .Name }}", "{{ if .Name }}", "{{"),
    c.A_INGRESS_DOMAIN: ("example.com",),
    c.A_INGRESS_ADDITIONAL_DOMAINS: ("a.example,b.example", ","),
    c.A_SERVICE_TYPE: ("LoadBalancer", "NodePort", "x"),
    c.A_ENTRYPOINT_COMPONENT: ("engine", "router", "x"),
    c.A_ACCELERATOR_CLASS: ACCELERATORS,
    c.A_VOLCANO_QUEUE: ("queue",),
    c.A_DEDICATED_AI_CLUSTER: ("dac",),
    c.A_KEDA_THRESHOLD: ("10", "ten"),
    c.A_ENABLE_PROMETHEUS_SCRAPING: ("true", "false", "maybe"),
    c.A_APP_METRICS_PORT: ("8080", "-1", "x"),
    c.A_LAST_APPLIED: ("{}", "[]", "{", '{"metadata":{"annotations":[]}}'),
    c.A_SKIP_CONFIG_PARSING: ("true",),
    c.A_KNATIVE_MIN_SCALE: ("1", "x"),
}  # fmt: skip
# What makes an object mean something: without these most random objects are one sentence.
_LIKELY: Final[dict[str, tuple[str, ...]]] = {
    "InferenceService.spec": ("engine", "model", "runtime"),
    "InferenceService.spec.engine": ("runner", "minReplicas"),
    "ServingRuntime.spec": ("supportedModelFormats", "engineConfig", "modelSizeRange"),
    "ClusterServingRuntime.spec": ("supportedModelFormats", "engineConfig", "decoderConfig"),
    "BaseModel.spec": ("storage", "modelFormat", "modelParameterSize"),
    "ClusterBaseModel.spec": ("storage", "modelFormat", "modelParameterSize"),
}


class Generator:
    """``pick`` decides everything; the same one gives the same object."""

    def __init__(self, pick: random.Random) -> None:
        self._pick = pick
        self._left = 0
        self._kind = ""

    def object(self, resource: Resource) -> Object:
        pick = self._pick
        self._left = pick.choice((10, 30, 60, 120, 250))
        self._kind = resource.kind
        schema = schema_of(resource)
        obj: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": self._metadata(resource),
        }
        for part in ("spec", "status"):
            child = schema.child(part)
            if part in schema.properties and child is not None:
                if part == "status" and pick.random() < 0.8:
                    continue
                obj[part] = self._value(child, f"{resource.kind}.{part}", part)
        return obj

    def _metadata(self, resource: Resource) -> Object:
        pick = self._pick
        meta: Object = {"name": "fuzzed" if pick.random() < 0.7 else "a" * pick.randint(1, 63)}
        if resource.namespaced:
            meta["namespace"] = "default"
        if pick.random() < 0.4:
            keys = pick.sample(sorted(_ANNOTATIONS), pick.randint(1, 4))
            meta["annotations"] = {key: pick.choice(_ANNOTATIONS[key]) for key in keys}
        if pick.random() < 0.2:
            meta["labels"] = {"team": pick.choice(_WORDS), "kueue.x-k8s.io/queue-name": "q"}
        if pick.random() < 0.05:
            meta["finalizers"] = ["ome.io/finalizer"]
        return meta

    def _value(self, node: Schema, path: str, name: str) -> Any:
        self._left -= 1
        if node.raw.get("enum"):
            chosen = self._pick.choice(node.raw["enum"])
            return str(chosen) if isinstance(chosen, str) else chosen  # plain, not of an Enum
        if node.int_or_string:
            return self._int_or_string(node)
        make: Callable[[Schema, str, str], Any] | None = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
        }.get(node.type)
        if make is not None:
            return make(node, path, name)
        if node.type == "integer":
            return self._integer(node, name)
        if node.type == "boolean":
            return self._pick.random() < 0.5
        if node.type == "number":
            return self._pick.choice((0, 0.5, 1, 12.75))
        return self._free(2)

    def _object(self, node: Schema, path: str, _name: str) -> Object:
        pick = self._pick
        if node.properties:
            names = list(node.raw.get("required") or ())
            names += [n for n in _LIKELY.get(path, ()) if pick.random() < 0.75]
            if self._left > 0:
                most = min(len(node.properties), pick.choice((0, 1, 2, 3, 6)))
                names += pick.sample(sorted(node.properties), most)
            made = {}
            for name in dict.fromkeys(names):
                child = node.child(name)
                if child is not None:
                    made[name] = self._value(child, f"{path}.{name}", name)
            return made
        if node.additional is not None and node.raw.get("additionalProperties"):
            keys = pick.sample(_WORDS, pick.randint(0, 2))
            return {key: self._value(node.additional, f"{path}.{key}", key) for key in keys}
        return {"free": self._free(2)} if node.preserve_unknown else {}

    def _array(self, node: Schema, path: str, name: str) -> list[Any]:
        count = self._pick.choice((0, 1, 1, 2, 3)) if self._left > 0 else 0
        items = [self._value(node.items, f"{path}[]", name) for _ in range(count)]
        if node.list_type == "map":
            seen: dict[str, Any] = {}
            for item in items:
                seen.setdefault(repr([item.get(key) for key in node.map_keys]), item)
            items = list(seen.values())
        elif node.list_type == "set":
            items = list(dict.fromkeys(items))
        return items

    def _string(self, node: Schema, path: str, name: str) -> str:
        pick = self._pick
        if node.format == "date-time":
            return "2026-01-02T03:04:05Z"
        if node.format == "byte":
            return "aGVsbG8="
        options: tuple[str, ...] = _BY_NAME.get(name, ())
        if name == "name":
            options = self._names(path)
        options = options or _WORDS
        pattern = node.raw.get("pattern")
        if pattern:
            compiled = compile_pattern(pattern)
            everything = (*options, *QUANTITIES, *SIZES, *URIS, *_WORDS, "8080", "10s", "A_B")
            fitting = [text for text in everything if compiled is None or compiled.search(text)]
            options = tuple(fitting) or options
        return pick.choice(options)

    def _names(self, path: str) -> tuple[str, ...]:
        if re.search(r"\.(env|envFrom)\[\]", path):
            return _ENV
        if path.endswith(("spec.model.name", "baseModelRef.name")):
            return MODELS
        if path.endswith("spec.runtime.name"):
            return RUNTIMES
        if "modelFormat" in path or "modelFramework" in path:
            return ("safetensors", "transformers", "gguf", "llamacpp", "vllm")
        return _WORDS

    def _integer(self, node: Schema, name: str) -> int:
        low = node.raw.get("minimum", 0)
        high = node.raw.get("maximum", 2**31 - 1)
        if name in ("containerPort", "hostPort", "port"):
            return self._pick.choice((80, 8080, 65535))
        small = (low, low + 1, low + 2, 3, 8, 100, high)
        return int(self._pick.choice([n for n in small if low <= n <= high] or [low]))

    def _int_or_string(self, node: Schema) -> Any:
        if node.raw.get("pattern"):
            return self._pick.choice((*QUANTITIES, 1, 8))
        return self._pick.choice((1, 8080, "50%", "http"))

    def _free(self, depth: int) -> Any:
        pick = self._pick
        if depth == 0 or pick.random() < 0.5:
            return pick.choice((None, True, 1, 2.5, "text", ""))
        if pick.random() < 0.5:
            return [self._free(depth - 1) for _ in range(pick.randint(0, 2))]
        return {word: self._free(depth - 1) for word in pick.sample(_WORDS, 2)}


KINDS: Final = o.ALL
