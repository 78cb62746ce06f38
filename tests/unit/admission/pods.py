"""Pods and configuration for tests of pod mutation."""

from __future__ import annotations

import json
from typing import Any

Object = dict[str, Any]

AGENT = {
    "image": "registry.example/ome-agent:1",
    "authType": "InstancePrincipal",
    "compartmentId": "ocid1.compartment.oc1..example",
    "region": "eu-frankfurt-1",
    "cpuRequest": "15",
    "cpuLimit": 15,
    "memoryRequest": "150Gi",
    "memoryLimit": "180Gi",
}
CONFIG = {
    "metricsAggregator": {
        "enableMetricAggregation": "false",
        "enablePrometheusScraping": "false",
    },
    "modelInit": {**AGENT, "vaultId": "ocid1.vault.oc1..example"},
    "fineTunedAdapter": AGENT,
    "servingSidecar": {**AGENT, "realmDomainComponent": "example.com"},
}
MODEL = {
    "ome.io/base-model-name": "tiny",
    "ome.io/base-model-format": "safetensors",
    "ome.io/base-model-vendor": "meta",
}


def config(**sections: Any) -> dict[str, str]:
    """``data`` of the ConfigMap; a text stands as it is, None takes a section out."""
    merged = {**CONFIG, **sections}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in merged.items()
        if value is not None
    }


def pod(annotations: dict[str, str] | None = None, **container: Any) -> Object:
    """A pod of a service with one engine container and a volume with the model ``tiny``."""
    main: Object = {
        "name": "ome-container",
        "image": "engine:1",
        "env": [{"name": "NCCL_DEBUG", "value": "WARN"}],
        "securityContext": {"runAsUser": 1000},
        "volumeMounts": [{"name": "tiny", "mountPath": "/raid/models/tiny", "readOnly": True}],
        **container,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "chat-engine-5d4f-",
            "namespace": "default",
            "labels": {"ome.io/inferenceservice": "chat", "base-model-type": "Serving"},
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {
            "containers": [main],
            "volumes": [{"name": "tiny", "hostPath": {"path": "/raid/models/tiny"}}],
        },
    }


def weight(uri: str = "oci://n/tenancy/b/weights/o/tuned/tiny-v1") -> Object:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "FineTunedWeight",
        "metadata": {"name": "tuned"},
        "spec": {"storage": {"storageUri": uri}},
    }
