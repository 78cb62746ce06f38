"""The Job that looks at a model on a claim."""

from __future__ import annotations

from typing import Any

import pytest

from ome.api import storage_uri
from ome.controllers.claims import Inspector, job_name, metadata_job


def model(kind: str = "ClusterBaseModel", namespace: str = "", **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": kind,
        "metadata": {"name": "m", "namespace": namespace, "uid": "u1", **meta},
        "spec": {"storage": {"storageUri": "pvc://team:disk/llama/8b"}},
    }


def test_the_job_mounts_the_claim_read_only_and_has_no_rights() -> None:
    obj = model()
    place = storage_uri.parse(obj["spec"]["storage"]["storageUri"])
    job = metadata_job(obj, place, "team", Inspector("registry/ome:1"))
    assert job["metadata"]["namespace"] == "team"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "u1"
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry/ome:1"
    assert container["command"] == ["ome", "model", "inspect", "/model", "-o", "config"]
    assert container["volumeMounts"] == [
        {"name": "model", "mountPath": "/model", "readOnly": True, "subPath": "llama/8b"}
    ]
    (volume,) = pod["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "disk", "readOnly": True}
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    "other", [model("BaseModel", "team"), model(name="other"), model("FineTunedWeight")]
)
def test_no_two_models_share_a_job(other: dict[str, Any]) -> None:
    assert job_name(other) != job_name(model())
