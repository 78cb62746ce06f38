"""The objects of the measurement: one model, one runtime that is chosen, N services."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

MODEL = "bench-model"
RUNTIME = "bench-runtime"
OME = "/apis/ome.io/v1beta1"

_CONTAINER: Object = {
    "name": "ome-container",
    "image": "docker.io/lmsysorg/sglang:v0.5.5",
    "ports": [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}],
    "command": ["python3", "-m", "sglang.launch_server"],
    "args": ["--host=0.0.0.0", "--port=8080", "--model-path=$(MODEL_PATH)"],
    "resources": {
        "requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"},
    },
    "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}},
}


def node(number: int) -> Object:
    """A machine with more of everything than N services need."""
    size = {
        "cpu": "10000",
        "memory": "100Ti",
        "pods": "100000",
        "nvidia.com/gpu": "10000",
        "ephemeral-storage": "100Ti",
    }
    labels = {
        "kubernetes.io/hostname": f"gpu-{number}",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "BM.GPU.H100.8",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        f"models.ome.io/clusterbasemodel.{MODEL}": "Ready",
    }
    meta = {
        "name": f"gpu-{number}",
        "labels": labels,
        "annotations": {"kwok.x-k8s.io/node": "fake"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta,
        "status": {"allocatable": size, "capacity": size},
    }


def report(number: int) -> Object:
    """What the model agent of that machine would say: the model is there."""
    entry = '{"name": "bench-model", "status": "Ready"}'
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"gpu-{number}",
            "namespace": "ome",
            "labels": {"models.ome/basemodel-status": "true"},
            "annotations": {"models.ome.io/node-name": f"gpu-{number}"},
        },
        "data": {f"clusterbasemodel.{MODEL}": entry},
    }


def configuration() -> Object:
    """Services are reached through the cluster's own addresses: the bed has no ingress."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
        "data": {"ingress": '{"disableIngressCreation": true}'},
    }


def model() -> Object:
    spec = {
        "vendor": "meta",
        "disabled": False,
        "version": "1.0.0",
        "modelType": "llama",
        "modelArchitecture": "LlamaForCausalLM",
        "modelParameterSize": "1.24B",
        "maxTokens": 131072,
        "modelCapabilities": ["TEXT_TO_TEXT"],
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelFramework": {"name": "transformers", "version": "4.45.0"},
        "storage": {
            "storageUri": "hf://meta-llama/Llama-3.2-1B-Instruct",
            "path": "/raid/models/meta/llama-3-2-1b-instruct",
        },
    }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "ClusterBaseModel",
        "metadata": {"name": MODEL},
        "spec": spec,
    }


def runtime(generation: int = 0) -> Object:
    """``generation`` changes one environment variable: an edit that every service renders."""
    runner = _CONTAINER | {"env": [{"name": "BENCH_GENERATION", "value": str(generation)}]}
    serves = {
        "name": "safetensors",
        "modelFramework": {"name": "transformers", "version": "4.45.0"},
        "modelFormat": {"name": "safetensors", "version": "1.0.0"},
        "modelArchitecture": "LlamaForCausalLM",
        "autoSelect": True,
        "priority": 1,
        "version": "1.0.0",
    }
    spec = {
        "disabled": False,
        "modelSizeRange": {"min": "1B", "max": "3B"},
        "protocolVersions": ["openAI"],
        "supportedModelFormats": [serves],
        "engineConfig": {"runner": runner},
    }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "ClusterServingRuntime",
        "metadata": {"name": RUNTIME},
        "spec": spec,
    }


def service(number: int) -> Object:
    spec = {
        "engine": {"minReplicas": 1, "maxReplicas": 1},
        "model": {"name": MODEL, "kind": "ClusterBaseModel"},
    }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": f"svc-{number:05d}"},
        "spec": spec,
    }


def children(name: str) -> list[tuple[str, Object]]:
    """The six objects that a service needs, as a script without any operator would make them:
    (path below the namespace's group, object)."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [_CONTAINER]}}
    deployment = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    autoscaler = {
        "metadata": {"name": name},
        "spec": {"minReplicas": 1, "maxReplicas": 1, "scaleTargetRef": target},
    }
    budget = {
        "metadata": {"name": name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    }
    ports = {"selector": labels, "ports": [{"port": 80}]}
    return [
        ("/api/v1/{}/configmaps", {"metadata": {"name": name}, "data": {"models.json": "[]"}}),
        ("/apis/apps/v1/{}/deployments", deployment),
        ("/api/v1/{}/services", {"metadata": {"name": name}, "spec": ports}),
        ("/api/v1/{}/services", {"metadata": {"name": f"{name}-e"}, "spec": ports}),
        ("/apis/autoscaling/v2/{}/horizontalpodautoscalers", autoscaler),
        ("/apis/policy/v1/{}/poddisruptionbudgets", budget),
    ]
