"""Where a model's files are, seen from a pod: the volume, the mount, the node that has them."""

from __future__ import annotations

from dataclasses import dataclass

from ome.api import constants as c
from ome.api import names
from ome.apimachinery.objects import Object, metadata
from ome.rendering.errors import RenderError


@dataclass(frozen=True)
class ModelFiles:
    """``node_label`` is empty for a model that is not bound to nodes (a volume claim)."""

    path: str
    volume: Object
    mount: Object
    node_label: str


def model_files(model: Object, namespace: str) -> ModelFiles:
    """The files of a model for a pod in ``namespace``."""
    spec = model.get("spec") or {}
    storage = spec.get("storage") or {}
    name = metadata(model)["name"]
    uri = storage.get("storageUri") or ""
    volume_name = names.volume_name(name)
    if uri.startswith("pvc://"):
        return claim_files(uri, storage.get("path") or c.MODEL_STORE_PATH, volume_name, namespace)
    kind = model.get("kind") or "ClusterBaseModel"
    model_namespace = metadata(model).get("namespace") or ""
    path = storage.get("path") or _own_path(uri)
    path = path or names.default_model_path(kind, model_namespace, name)
    return ModelFiles(
        path=path,
        volume={"name": volume_name, "hostPath": {"path": path, "type": ""}},
        mount={"name": volume_name, "mountPath": path, "readOnly": True},
        node_label=names.model_label(model_namespace if kind == "BaseModel" else "", name),
    )


def _own_path(uri: str) -> str:
    """Files that are on the node already stay where they are: ``local:///absolute/path``."""
    path = uri.removeprefix("local://")
    return path.rstrip("/") if path != uri and path.startswith("/") else ""


def claim_files(
    uri: str, path: str, volume: str, namespace: str, *, field: str = "spec.model"
) -> ModelFiles:
    """``pvc://[namespace:]claim/sub/path``: the claim is mounted, no node is asked for."""
    head, _, sub_path = uri.removeprefix("pvc://").partition("/")
    claim_namespace, _, claim = head.rpartition(":")
    if claim_namespace and claim_namespace != namespace:
        raise RenderError(
            "ModelNotReachable",
            f"the files lie in claim {claim} of namespace {claim_namespace}, and pods of "
            f"namespace {namespace} can't mount it",
            field=field,
            fix=f"run the service in namespace {claim_namespace}, or copy the claim",
        )
    mount = {"name": volume, "mountPath": path, "readOnly": True}
    if sub_path:
        mount["subPath"] = sub_path.strip("/")
    source = {"claimName": claim, "readOnly": True}
    return ModelFiles(path, {"name": volume, "persistentVolumeClaim": source}, mount, "")
