"""What of everything that goes in can change a component's pod template: its input hashes.

Never take something away or rename it here without need: every hash would change, and with it every
service's "own" change would seem new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.rendering import rollout
from ome.rendering import weights as tuned
from ome.rendering.facts import RenderInput
from ome.rendering.merge import runtime_part

_SCALING_FIELDS = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleTarget",
        "scaleMetric",
        "minAvailable",
        "maxUnavailable",
        "deploymentStrategy",
        "kedaConfig",
        "timeoutSeconds",
        "containerConcurrency",
        "canaryTrafficPercent",
    }
)
"""Fields of a component that never reach its pod template."""
_IN_REVISIONS = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleTarget",
        "scaleMetric",
        "timeoutSeconds",
        "containerConcurrency",
    }
)
"""Of these, what a Knative revision is made of all the same."""


def of(given: RenderInput, component: str, mode: str, accelerator: Object | None) -> rollout.Inputs:
    """The input hashes of one component in that mode."""
    service = given.service
    spec = service.get("spec") or {}
    left_out = _SCALING_FIELDS - _IN_REVISIONS if mode == c.MODE_SERVERLESS else _SCALING_FIELDS
    own = {
        "part": {k: v for k, v in (spec.get(component) or {}).items() if k not in left_out},
        "model": spec.get("model"),
        "runtime": spec.get("runtime"),
        "accelerator": spec.get("acceleratorSelector"),
        "labels": metadata(service).get("labels"),
        "annotations": {
            key: value
            for key, value in annotations_of(service).items()
            if key not in c.NOT_PROPAGATED_ANNOTATIONS and key != c.A_HOLD_ROLLOUT
        },
    }
    shared = {
        "model": _model_inputs(given.model),
        "runtime": _runtime_inputs(given.runtime, component),
        "accelerator": rollout.relevant_spec(accelerator),
        "overrides": (given.entry or {}).get("acceleratorConfig") if accelerator else None,
        "weights": tuned.inputs(given.weights),
    }
    return rollout.Inputs.of(own, shared, _shared_names(given))


def _shared_names(given: RenderInput) -> str:
    parts = []
    for obj in (given.runtime, given.model, *given.weights):
        if obj is not None:
            parts.append(f"{obj.get('kind')} {metadata(obj)['name']}")
    return " or ".join(parts) + " changed"


def _model_inputs(model: Object | None) -> Any:
    """What of a model reaches a template. Nothing that a node fills in later may be here."""
    if model is None:
        return None
    spec = model.get("spec") or {}
    storage = spec.get("storage") or {}
    return {
        "name": metadata(model)["name"],
        "namespace": metadata(model).get("namespace"),
        "kind": model.get("kind"),
        "path": storage.get("path"),
        "claim": storage.get("storageUri")
        if str(storage.get("storageUri") or "").startswith("pvc://")
        else None,
        "vendor": spec.get("vendor"),
        "category": annotations_of(model).get(c.A_MODEL_CATEGORY),
        "keys": [
            annotations_of(model).get(c.A_DECRYPTION_KEY_NAME),
            annotations_of(model).get(c.A_DECRYPTION_SECRET_NAME),
        ],
    }


def _older_part(spec: Mapping[str, Any], component: str) -> Any:
    """That of a runtime in the older form; None where there is no part at all."""
    return runtime_part(spec, component) or None


def _runtime_inputs(runtime: Object | None, component: str) -> Any:
    """The runtime's part of one component, so that a router's change rolls no engine."""
    if runtime is None:
        return None
    spec = runtime.get("spec") or {}
    return {
        "name": metadata(runtime)["name"],
        "kind": runtime.get("kind"),
        "part": spec.get(f"{component}Config") or _older_part(spec, component),
        "nodeSelector": spec.get("nodeSelector"),
        "containers": spec.get("containers"),
    }
