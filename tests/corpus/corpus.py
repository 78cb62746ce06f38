"""The corpus of real manifests: where it is and how it is read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(os.environ.get("OME_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))


@dataclass(frozen=True)
class Recording:
    """The children that the Go implementation made of one sample."""

    name: str
    service: Object
    children: list[Object]


def _load(pattern: str) -> list[Object]:
    found: list[Object] = []
    for path in sorted(ROOT.glob(pattern)):
        found += [doc for doc in yaml.safe_load_all(path.read_text()) if doc]
    return found


@cache
def runtimes() -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in _load("runtimes/**/*.yaml")}


@cache
def models() -> dict[str, Object]:
    """The models, with the metadata that the model agent would have merged in."""
    found = {obj["metadata"]["name"]: obj for obj in _load("models/**/*.yaml")}
    for name, metadata in json.loads((ROOT / "children/models.json").read_text()).items():
        if name in found:
            found[name]["spec"].update(metadata)
    return found


@cache
def recordings() -> dict[str, Recording]:
    found = {}
    for path in sorted(ROOT.glob("children/*--*.json")):
        document = json.loads(path.read_text())
        service = next(
            doc
            for doc in yaml.safe_load_all((ROOT / document["sample"]).read_text())
            if doc and doc["kind"] == "InferenceService"
        )
        meta = service["metadata"]
        meta["annotations"] = document["annotations"]
        meta["uid"] = "recorded"
        found[path.stem] = Recording(path.stem, service, document["children"])
    return found


def model_of(recording: Recording) -> Object:
    """The sample's model; where the corpus lacks it, what the recorded children say of it."""
    name = recording.service["spec"]["model"]["name"]
    if name in models():
        return models()[name]
    config = next(child for child in recording.children if child["kind"] == "ConfigMap")
    described = json.loads(config["data"]["models.json"])[0]["modelSpec"]
    workload = next(
        child for child in recording.children if child["kind"] in ("Deployment", "LeaderWorkerSet")
    )
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "ClusterBaseModel",
        "metadata": {"name": name},
        "spec": {
            "vendor": workload["metadata"]["annotations"].get("ome.io/base-model-vendor"),
            "modelFormat": {
                "name": described["modelFormatName"],
                "version": described["modelFormatVersion"],
            },
            "modelFramework": {
                "name": described["modelFrameworkName"],
                "version": described["modelFrameworkVersion"],
            },
            "storage": {"storageUri": described["storageUri"], "path": described["path"]},
        },
    }
