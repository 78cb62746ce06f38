"""Small objects of OME's kinds, to be varied by tests."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
API = "ome.io/v1beta1"


def model(name: str = "tiny", **spec: Any) -> Object:
    described = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "modelArchitecture": "LlamaForCausalLM",
        "modelParameterSize": "135M",
        "storage": {"storageUri": "hf://example/tiny", "path": f"/raid/models/{name}"},
    }
    return {
        "apiVersion": API,
        "kind": "ClusterBaseModel",
        "metadata": {"name": name},
        "spec": {**described, **spec},
    }


def runtime(name: str = "rt", *, image: str = "engine:1", **entry: Any) -> Object:
    supported = {
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.41.0"},
        "modelArchitecture": "LlamaForCausalLM",
        "autoSelect": True,
        "priority": 1,
        **entry,
    }
    return {
        "apiVersion": API,
        "kind": "ClusterServingRuntime",
        "metadata": {"name": name},
        "spec": {
            "supportedModelFormats": [supported],
            "engineConfig": {
                "runner": {
                    "name": "ome-container",
                    "image": image,
                    "args": ["--model", "$(MODEL_PATH)", "--name", "{{ .Name }}"],
                    "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}],
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                }
            },
        },
    }


def service(name: str = "chat", *, model: str = "tiny", **spec: Any) -> Object:
    return {
        "apiVersion": API,
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"name": model}, "engine": {}, **spec},
    }
