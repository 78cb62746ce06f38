"""What fine-tuned weights and accelerator classes say of themselves, in words for people."""

from __future__ import annotations

from ome.api import resources as ours
from ome.apimachinery.objects import Object, Resource


def card(resource: Resource, obj: Object) -> list[tuple[str, str]]:
    """Lines for the top of a description; what the object does not say is left out."""
    spec = obj.get("spec") or {}
    if resource == ours.FINE_TUNED_WEIGHTS:
        pairs = [
            ("Called", spec.get("displayName")),
            ("On top of", _reference(spec.get("baseModelRef"))),
            ("Trained by", _reference(spec.get("trainingJobRef"))),
        ]
    elif resource == ours.ACCELERATOR_CLASSES:
        names = (spec.get("vendor"), spec.get("family"), spec.get("model"))
        pairs = [("Product", " ".join(str(name) for name in names if name))]
    else:
        return []
    return [(name, str(value)) for name, value in pairs if value]


def _reference(given: Object | None) -> str:
    """``namespace/name``, or the name where no namespace is given."""
    parts = ((given or {}).get("namespace"), (given or {}).get("name"))
    return "/".join(str(part) for part in parts if part)
