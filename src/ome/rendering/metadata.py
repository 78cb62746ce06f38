"""Labels and annotations of a component's children and pods."""

from __future__ import annotations

from collections.abc import Mapping

from ome.api import constants as c
from ome.api import names
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata
from ome.rendering import weights as tuned
from ome.rendering.weights import Weights


def component_labels(
    service: Object,
    component: str,
    part: Object,
    model: Object | None,
    runtime: Object | None,
    weights: Weights | None = None,
) -> dict[str, str]:
    """Labels for every child of a component and for its pods, without ``app``."""
    labels = {**labels_of(service), **(part.get("labels") or {})}
    labels[c.L_INFERENCE_SERVICE] = names.label_value(metadata(service)["name"])
    labels[c.L_COMPONENT] = component
    labels[c.L_SERVING_RUNTIME] = names.label_value(_name(runtime))
    for key, value in tuned.weight_labels(weights).items():
        labels[key] = names.label_value(value)
    if model is not None:
        labels[c.L_BASE_MODEL_NAME] = names.label_value(_name(model))
        labels[c.L_BASE_MODEL_SIZE] = names.label_value(
            annotations_of(model).get(c.A_MODEL_CATEGORY) or c.DEFAULT_MODEL_CATEGORY
        )
        labels[c.L_BASE_MODEL_TYPE] = c.BASE_MODEL_TYPE_SERVING
        vendor = (model.get("spec") or {}).get("vendor")
        if vendor:
            labels[c.L_BASE_MODEL_VENDOR] = names.label_value(vendor)
    labels.update(queue_labels({**annotations_of(service), **(part.get("annotations") or {})}))
    return labels


def component_annotations(
    service: Object,
    part: Object,
    model: Object | None,
    runtime: Object | None,
    weights: Weights | None = None,
) -> dict[str, str]:
    """Annotations for every child of a component and for its pods."""
    annotations = {
        key: value
        for key, value in annotations_of(service).items()
        if key not in c.NOT_PROPAGATED_ANNOTATIONS and key not in _OWN_ANNOTATIONS
    }
    annotations.update(part.get("annotations") or {})
    if weights is not None:
        annotations.update(tuned.weight_annotations(weights))
    if model is not None:
        _model_annotations(annotations, model, whole=weights is None or not weights.merged)
    if runtime is not None:
        annotations[c.A_SERVING_RUNTIME] = _name(runtime)
    return annotations


_OWN_ANNOTATIONS = frozenset({c.A_HOLD_ROLLOUT})
"""Speaks about the service itself; on pods it would only cause restarts."""


def _model_annotations(annotations: dict[str, str], model: Object, *, whole: bool) -> None:
    """``whole`` is False where the model's own files are not served."""
    spec = model.get("spec") or {}
    for key in (c.A_DECRYPTION_KEY_NAME, c.A_DECRYPTION_SECRET_NAME):
        value = annotations_of(model).get(key)
        if value is not None and whole:
            annotations[key] = value
    annotations[c.A_BASE_MODEL_NAME] = _name(model)
    format_ = spec.get("modelFormat") or {}
    for key, value in (
        (c.A_BASE_MODEL_VENDOR, spec.get("vendor")),
        (c.A_BASE_MODEL_FORMAT, format_.get("name")),
        (c.A_BASE_MODEL_FORMAT_VERSION, format_.get("version")),
    ):
        if value:
            annotations[key] = value


def queue_labels(annotations: Mapping[str, str]) -> dict[str, str]:
    """Scheduling queue labels that annotations ask for (Volcano, Kueue)."""
    labels: dict[str, str] = {}
    queue = annotations.get(c.A_VOLCANO_QUEUE)
    cluster = annotations.get(c.A_DEDICATED_AI_CLUSTER)
    if queue:
        labels[c.L_VOLCANO_QUEUE] = queue
    elif cluster and c.A_KUEUE_ENABLED in annotations:
        labels[c.L_KUEUE_QUEUE] = cluster
        labels[c.L_KUEUE_PRIORITY_CLASS] = c.KUEUE_PRIORITY_CLASS
    elif cluster:
        labels[c.L_VOLCANO_QUEUE] = cluster
        labels[c.L_RAY_PRIORITY_CLASS] = c.VOLCANO_PRIORITY_CLASS
    if c.A_VOLCANO in annotations:
        labels[c.L_RAY_SCHEDULER] = c.A_VOLCANO
    return labels


def queue_annotations(labels: Mapping[str, str], accelerator: Object | None) -> dict[str, str]:
    """What the pods of a Volcano queue say of the GPUs that they want; on pods alone."""
    spec = (accelerator or {}).get("spec") or {}
    wanted = (spec.get("integration") or {}).get("volcanoGPUType")
    in_queue = c.L_VOLCANO_QUEUE in labels or labels.get(c.L_RAY_SCHEDULER) == c.A_VOLCANO
    return {c.A_VOLCANO_GPU_TYPE: str(wanted)} if wanted and in_queue else {}


def service_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The component's annotations without those that only mean something on a pod."""
    return {
        key: value
        for key, value in annotations.items()
        if not key.startswith(c.POD_ONLY_ANNOTATION_PREFIXES)
        and key not in c.POD_ONLY_ANNOTATIONS
        and key != c.A_HOST_PROCESS
    }


def _name(obj: Object | None) -> str:
    return metadata(obj).get("name") or "" if obj else ""
