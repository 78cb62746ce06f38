"""Fields of a runtime that something else has taken the place of: accepted, with a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.rendering.olderform import FIELDS

_STILL_READ = ("containers", "nodeSelector")
"""Top-level fields that count beside ``engineConfig``: containers' resources, the selector."""


def no_effect(spec: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each field that is set and changes nothing."""
    yield from _formats(spec)
    if spec.get("engineConfig") is not None:
        fields = [name for name in (*FIELDS, "workers") if name not in _STILL_READ]
        idle = [name for name in fields if spec.get(name)]
        if idle:
            yield (
                f"spec.{', spec.'.join(idle)}: no effect beside spec.engineConfig, which describes "
                "the engine; move them into it"
            )
    for name in ("engineConfig", "decoderConfig"):
        if (spec.get(name) or {}).get("acceleratorOverride"):
            yield (
                f"spec.{name}.acceleratorOverride has no effect: what a runtime needs belongs into "
                "spec.acceleratorRequirements, the choice into the service"
            )


def _formats(spec: Mapping[str, Any]) -> Iterator[str]:
    for index, entry in enumerate(spec.get("supportedModelFormats") or ()):
        path = f"spec.supportedModelFormats[{index}]"
        if entry.get("modelType"):
            yield f"{path}.modelType is deprecated and has no effect; remove it"
        version = entry.get("version")
        if version and version != (entry.get("modelFormat") or {}).get("version"):
            yield f"{path}.version is deprecated: modelFormat.version is what is compared"
