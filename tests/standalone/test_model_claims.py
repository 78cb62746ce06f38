"""Models on volume claims, on one machine: looked at by a real Job, like on a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes import tensors
from tests.standalone.omehome import OmeHome, until

from ome.api.resources import CLUSTER_BASE_MODELS


@pytest.fixture
def home() -> Iterator[OmeHome]:
    made = OmeHome()
    try:
        made.up()
        yield made
    finally:
        made.close()


def test_a_model_on_a_claim_is_looked_at_and_a_wrong_one_says_why(
    home: OmeHome, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    (disk / "llama").mkdir(parents=True)
    for name, data in tensors.base().items():
        (disk / "llama" / name).write_bytes(data)
    (disk / "empty").mkdir()
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.dump_all(objects(disk)))
    assert "created" in home.ok("apply", "-f", str(file)).out

    def state(name: str, wanted: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = home.find(CLUSTER_BASE_MODELS, name)
            status = found.get("status") or {}
            good = status.get("state") == wanted
            return found if good and "waiting" not in status.get("message", "") else None

        return until(look, f"{name} is {wanted}", 60)

    good = state("good", "Ready")
    assert good["status"]["message"] == "mounted from claim default/disk"
    until(
        lambda: home.find(CLUSTER_BASE_MODELS, "good")["spec"].get("modelArchitecture"),
        "what the files say is filled in",
    )
    filled = json.loads(home.ok("get", "cbm", "good", "-o", "json").out)["spec"]
    assert filled["modelArchitecture"] == "LlamaForCausalLM"
    assert filled["modelFormat"]["name"] == "safetensors"
    empty = state("empty", "Failed")["status"]["message"]
    assert "holds no model that OME can read" in empty
    absent = state("absent", "Failed")["status"]["message"]
    assert absent.startswith("there is no PersistentVolumeClaim nothing in namespace default")
    nowhere = state("nowhere", "Failed")["status"]["message"]
    assert "write pvc://NAMESPACE:disk/llama" in nowhere


def objects(disk: Path) -> list[dict[str, Any]]:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "hostPath": {"path": str(disk)},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "disk", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "disk",
        },
    }
    uris = {
        "good": "pvc://default:disk/llama",
        "empty": "pvc://default:disk/empty",
        "absent": "pvc://default:nothing/llama",
        "nowhere": "pvc://disk/llama",
    }
    models = [
        {
            "apiVersion": CLUSTER_BASE_MODELS.api_version,
            "kind": "ClusterBaseModel",
            "metadata": {"name": name},
            "spec": {"storage": {"storageUri": uri}},
        }
        for name, uri in uris.items()
    ]
    return [volume, claim, *models]
