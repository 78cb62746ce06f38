"""What this node should hold of one model: a pure function of the model and the node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ome.agent import location
from ome.agent.paths import PathMap
from ome.api import constants as c
from ome.api import names
from ome.apimachinery.objects import (
    Key,
    annotations_of,
    is_deleting,
    key_of,
    labels_of,
    metadata,
    uid_of,
)
from ome.apimachinery.selectors import node_selector_matches
from ome.storage import SourceSpec, known_vendor

How = Literal["download", "local", "nothing"]
_SECRET_PARAMETERS = frozenset({"token", "secretKey"})
_SKIP_PARSING = "ome.oracle.com/skip-config-parsing"


@dataclass(frozen=True, slots=True)
class Target:
    """``path`` is where the files belong on this machine. ``fingerprint`` changes when the files
    would: with the URI, the path and the parameters, not with a secret or a label."""

    key: Key
    uid: str
    generation: int
    created: str
    how: How
    spec: SourceSpec
    path: Path
    fingerprint: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    reuse: bool
    skip_parsing: bool
    secret: str
    secret_key: str


def label_key(key: Key) -> str:
    return names.model_label(key.namespace, key.name)


def data_key(key: Key) -> str:
    return names.model_config_map_key(key.namespace, key.name)


def keeps_files(model: Mapping[str, Any]) -> bool:
    """Whether the model's label asks to leave its files when the model goes."""
    return labels_of(model).get(c.L_RESERVE_ARTIFACT, "").lower() == "true"


def wanted_here(model: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether this node has to hold the model: not deleting, and its selectors match the node."""
    storage = (model.get("spec") or {}).get("storage") or {}
    uri = storage.get("storageUri") or ""
    if is_deleting(model) or not uri or uri.partition("://")[0] in location.NOTHING_TO_FETCH:
        return False
    labels = labels_of(node)
    selector = storage.get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = storage.get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return node_selector_matches(node, required.get("nodeSelectorTerms"))


def target_of(model: Mapping[str, Any], paths: PathMap) -> Target:
    """Raises :class:`~ome.storage.errors.InvalidLocation` for a URI or path that can't be."""
    key, meta = key_of(model), metadata(model)
    storage = model["spec"]["storage"]
    uri: str = storage["storageUri"]
    parameters = {str(k): str(v) for k, v in (storage.get("parameters") or {}).items()}
    spec = location.parse(uri, parameters)
    how = _how(spec)
    kind = "BaseModel" if key.namespace else "ClusterBaseModel"
    if how == "local":
        path = paths.existing(storage.get("path") or spec.path)
    else:
        path = paths.real(
            storage.get("path") or names.default_model_path(kind, key.namespace, key.name)
        )
    include = _patterns(parameters.get("include") or parameters.get("allowPatterns"))
    exclude = _patterns(parameters.get("exclude") or parameters.get("ignorePatterns"))
    return Target(
        key=key,
        uid=uid_of(model),
        generation=int(meta.get("generation") or 0),
        created=str(meta.get("creationTimestamp") or ""),
        how=how,
        spec=spec,
        path=path,
        fingerprint=_fingerprint(uri, path, parameters),
        include=include,
        exclude=exclude,
        reuse=storage.get("downloadPolicy") == "ReuseIfExists",
        skip_parsing=annotations_of(model).get(_SKIP_PARSING, "").lower() == "true",
        secret=storage.get("key") or "",
        secret_key=parameters.get("secretKey") or "token",
    )


def _how(spec: SourceSpec) -> How:
    if spec.scheme == "local":
        return "local"
    if spec.scheme == "vendor" and not known_vendor(spec.container):
        return "nothing"
    return "download"


def _patterns(text: str | None) -> tuple[str, ...]:
    """Shell patterns separated by commas."""
    return tuple(p.strip() for p in (text or "").split(",") if p.strip())


def _fingerprint(uri: str, path: Path, parameters: Mapping[str, str]) -> str:
    public = {k: v for k, v in parameters.items() if k not in _SECRET_PARAMETERS}
    text = json.dumps([uri, str(path), public], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
