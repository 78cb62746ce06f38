"""What this node should hold of one model: a pure function of the model and the node."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ome.agent import location
from ome.agent.identity import WEIGHT_KIND, key_of, kind_of
from ome.agent.paths import PathMap
from ome.api import constants as c
from ome.api import names
from ome.apimachinery import objects
from ome.apimachinery.objects import (
    Key,
    annotations_of,
    condition,
    is_deleting,
    labels_of,
    metadata,
    uid_of,
)
from ome.apimachinery.selectors import node_selector_matches
from ome.storage import SourceSpec, known_vendor

How = Literal["download", "local", "nothing"]
_SECRET_PARAMETERS = frozenset({"token", "secretKey"})
_FINALIZERS = {c.FINALIZER_BASE_MODEL, c.FINALIZER_CLUSTER_BASE_MODEL, c.FINALIZER_WEIGHTS}
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
    weights: Mapping[str, Any] | None
    """What a FineTunedWeight declares of itself; None for a model, and for merged weights."""
    verify: str
    """What last asked for all bytes to be read again; empty where nothing did."""


def keeps_files(model: Mapping[str, Any]) -> bool:
    """Whether the model's label asks to leave its files when the model goes."""
    return labels_of(model).get(c.L_RESERVE_ARTIFACT, "").lower() == "true"


def wanted_here(model: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether this node has to hold the model: its selectors match the node, and it is not being
    deleted, or still used by services (which the operator says in the condition ``InUse``)."""
    storage = (model.get("spec") or {}).get("storage") or {}
    if _let_go(model) or not storage.get("storageUri") or on_a_claim(model):
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


def _let_go(model: Mapping[str, Any]) -> bool:
    """Whether the model is being deleted and nobody needs it any more.

    While the operator's finalizer is there, the operator has the say: it knows the services.
    """
    if not is_deleting(model):
        return False
    if not _FINALIZERS & set(metadata(model).get("finalizers") or ()):
        return True
    return (condition(model, "InUse") or {}).get("status") == "False"


def on_a_claim(model: Mapping[str, Any]) -> bool:
    """Whether pods mount the files themselves, so that no node has to bring them."""
    uri = str(((model.get("spec") or {}).get("storage") or {}).get("storageUri") or "")
    return uri.partition("://")[0] in location.NOTHING_TO_FETCH


def target_of(model: Mapping[str, Any], paths: PathMap) -> Target:
    """Raises :class:`~ome.storage.errors.InvalidLocation` for a URI or path that can't be."""
    key, meta = key_of(model), metadata(model)
    storage = model["spec"]["storage"]
    uri: str = storage["storageUri"]
    parameters = {str(k): str(v) for k, v in (storage.get("parameters") or {}).items()}
    spec = location.parse(uri, parameters)
    how = _how(spec)
    if how == "local":
        path = paths.existing(storage.get("path") or spec.path)
    else:
        path = paths.real(
            storage.get("path")
            or names.default_model_path(kind_of(key), objects.key_of(model).namespace, key.name)
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
        weights=_declared(model),
        verify=annotations_of(model).get(c.A_VERIFY, ""),
    )


def _declared(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    spec = model.get("spec") or {}
    if model.get("kind") != WEIGHT_KIND or is_merged(spec):
        return None
    settings = spec.get("hyperParameters") or {}
    return {"modelType": spec.get("modelType"), "rank": settings.get("rank")}


def is_merged(spec: Mapping[str, Any]) -> bool:
    """Whether fine-tuned weights were stored together with those of their base model."""
    value = (spec.get("configuration") or {}).get("merged_weights")
    return value is True or (isinstance(value, str) and value.lower() == "true")


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
