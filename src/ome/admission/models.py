"""What makes a model invalid, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.selection.sizes import parse_parameters

_PVC = "pvc://"
SCHEMES = ("oci", "pvc", "vendor", "hf", "s3", "az", "gs", "github", "local")


def model_errors(obj: Object) -> list[FieldError]:
    """Storage that can't be meant, in any cluster."""
    storage = (obj.get("spec") or {}).get("storage") or {}
    found = []
    uri = str(storage.get("storageUri") or "")
    scheme, separator, rest = uri.partition("://")
    if uri and (not separator or scheme not in SCHEMES or not rest):
        found.append(
            FieldError(
                "spec.storage.storageUri",
                f"{uri!r} is no place that models come from; write for example "
                f"hf://organisation/model (schemes: {', '.join(SCHEMES)})",
            )
        )
    path = storage.get("path")
    if path and not is_clean_path(path):
        found.append(
            FieldError(
                "spec.storage.path",
                f"{path!r} must be an absolute path without . or .. in it",
            )
        )
    return found


def is_clean_path(path: str) -> bool:
    parts = path.split("/")
    return path.startswith("/") and not {".", ".."} & set(parts) and "\0" not in path


def model_warnings(obj: Object, old: Object | None) -> list[str]:
    spec: Mapping[str, Any] = obj.get("spec") or {}
    found = []
    size = spec.get("modelParameterSize")
    if size and parse_parameters(size) is None:
        found.append(
            f"spec.modelParameterSize {size!r} is no size (write 7B or 500M); size ranges of "
            "runtimes are ignored for this model"
        )
    if old is not None and (old.get("status") or {}).get("state") == "Ready":
        before = ((old.get("spec") or {}).get("storage") or {}).get("storageUri")
        after = (spec.get("storage") or {}).get("storageUri")
        if before != after:
            found.append(
                f"the model is ready from {before}; nodes fetch it anew from {after} while "
                "services keep using what is there"
            )
    if (spec.get("storage") or {}).get("parameters", {}).get("token"):
        found.append(
            "spec.storage.parameters.token is a secret in plain text; put it into a Secret and "
            "name that in spec.storage.key"
        )
    return found + _idle_comparisons(spec)


def _idle_comparisons(spec: Mapping[str, Any]) -> list[str]:
    """Format and framework share their types with runtimes, which alone compare and rank."""
    return [
        f"spec.{part}.{name} has no effect in a model; it counts in supportedModelFormats of a "
        "runtime"
        for part in ("modelFormat", "modelFramework")
        for name, usual in (("operator", "Equal"), ("weight", 1))
        if (spec.get(part) or {}).get(name) not in (None, usual)
    ]
