"""What admission fills into an InferenceService."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ome.admission import migration
from ome.admission.view import View, configuration
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.jsonvalues import compact, copy_json
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.rendering.mode import derived_annotation

_DEPRECATION = (
    "spec.predictor is deprecated and will be removed; describe the service with spec.model, "
    "spec.engine and spec.runtime ('ome migrate -f FILE' writes that for you)"
)
_LONGEST_SHOWN = 600


def default_service(
    obj: Object, old: Object | None, view: View, *, namespace: str, migrate: bool = True
) -> tuple[Object, list[str]]:
    """The service with defaults, and warnings. ``namespace`` is the operator's."""
    patched: Object = copy_json(obj)
    meta = patched.setdefault("metadata", {})
    annotations = dict(meta.get("annotations") or {})
    spec = patched.setdefault("spec", {})
    warnings: list[str] = []
    if migration.is_used(spec.get("predictor")):
        annotations.setdefault(c.A_DEPRECATION_WARNING, _DEPRECATION)
        warnings.append(_DEPRECATION + _new_form(patched, view))
        if migrate:
            warnings += migration.migrate(spec, meta.get("namespace") or "default", view)
    deploy = configuration(view, namespace).deploy
    _stamp_mode(annotations, spec, obj, old, deploy.default_deployment_mode)
    if annotations or "annotations" in meta:
        meta["annotations"] = annotations
    _default_replicas(patched, view)
    return patched, warnings


def _new_form(obj: Object, view: View) -> str:
    """The new form on one line, where it is short enough to be read."""
    spec = migration.rewrite(obj, view)[0]["spec"]
    shown = compact({part: spec[part] for part in ("model", "engine", "runtime") if part in spec})
    return f". The new form of this one: spec: {shown}" if len(shown) <= _LONGEST_SHOWN else ""


def _stamp_mode(
    annotations: dict[str, str],
    spec: Mapping[str, Any],
    obj: Object,
    old: Object | None,
    default_mode: str,
) -> None:
    """The derived mode; one that somebody wrote by hand is never touched.

    A derived mode follows the spec: it was derived if the old spec leads to it and the user's own
    manifest doesn't name it.
    """
    derived = derived_annotation(spec, default_mode)
    present = annotations.get(c.A_DEPLOYMENT_MODE)
    if present is not None:
        if old is None or annotations_of(old).get(c.A_DEPLOYMENT_MODE) != present:
            return
        if derived_annotation(old.get("spec") or {}, default_mode) != present:
            return
        if _in_last_applied(obj, c.A_DEPLOYMENT_MODE):
            return
    if derived:
        annotations[c.A_DEPLOYMENT_MODE] = derived


def _in_last_applied(obj: Object, key: str) -> bool:
    try:
        applied = json.loads(annotations_of(obj).get(c.A_LAST_APPLIED) or "{}")
    except ValueError:
        return False
    return isinstance(applied, dict) and key in annotations_of(applied)


def _default_replicas(obj: Object, view: View) -> None:
    """Counts for every component that says none, unless its named runtime says them."""
    spec = obj["spec"]
    runtime = _named_runtime(obj, view)
    for component in c.COMPONENTS:
        part = spec.get(component)
        if part is None:
            continue
        given = ((runtime or {}).get("spec") or {}).get(f"{component}Config") or {}
        if part.get("minReplicas") is None and given.get("minReplicas") is None:
            part["minReplicas"] = c.DEFAULT_MIN_REPLICAS
        if not part.get("maxReplicas") and not given.get("maxReplicas"):
            low = part.get("minReplicas")
            low = low if isinstance(low, int) else 0
            part["maxReplicas"] = max(c.DEFAULT_MAX_REPLICAS[component], low)


def _named_runtime(obj: Object, view: View) -> Object | None:
    reference = obj["spec"].get("runtime") or {}
    name = reference.get("name")
    if not name:
        return None
    local = view.get(o.SERVING_RUNTIMES, metadata(obj).get("namespace") or "default", name)
    cluster = view.get(o.CLUSTER_SERVING_RUNTIMES, "", name)
    if reference.get("kind") == "ServingRuntime":
        return local or cluster
    return cluster or local
