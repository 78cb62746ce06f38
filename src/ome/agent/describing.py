"""A model's metadata as the JSON that the node's ConfigMap carries (``config``)."""

from __future__ import annotations

from typing import Any

from ome.artifacts import DiffusionPipeline, ModelMetadata, NameVersion

_INT32_MAX = 2**31 - 1
_NAMES = {
    "text_encoder": "textEncoder",
    "unet": "transformer",
    "scheduler": "scheduler",
    "tokenizer": "tokenizer",
    "transformer": "transformer",
    "vae": "vae",
}


def config_of(found: ModelMetadata) -> dict[str, Any]:
    """Empty values are left out, except ``artifact``, which the caller sets."""
    config: dict[str, Any] = {
        "modelType": found.model_type,
        "modelArchitecture": found.architecture,
        "modelFramework": _named(found.framework),
        "modelFormat": _named(found.format),
        "modelParameterSize": found.parameter_size,
        "maxTokens": min(found.max_tokens, _INT32_MAX),
        "modelCapabilities": list(found.capabilities),
        "decodedModelConfiguration": _decoded(found),
        "quantization": found.quantization,
        "diffusionPipeline": _pipeline(found.diffusion_pipeline),
        "license": found.license,
        "parametersFrom": found.parameters_from,
    }
    return {name: value for name, value in config.items() if value}


def _named(value: NameVersion | None) -> dict[str, str]:
    if value is None:
        return {}
    return {"name": value.name, **({"version": value.version} if value.version else {})}


def _decoded(found: ModelMetadata) -> dict[str, Any]:
    values = {
        "model_type": found.model_type,
        "architecture": found.architecture,
        "context_length": found.max_tokens,
        "parameter_count": found.parameter_size,
        "has_vision": found.has_vision,
        "is_embedding": found.is_embedding,
        "transformers_version": found.transformers_version,
        "torch_dtype": found.dtype,
        "model_size_bytes": found.size_bytes,
        "shape": dict(found.shape),
    }
    return {name: value for name, value in values.items() if value not in ("", 0, {})}


def _pipeline(pipeline: DiffusionPipeline | None) -> dict[str, Any]:
    """As in the API: five named components, all others under ``additionalComponents``."""
    if pipeline is None:
        return {}
    result: dict[str, Any] = {"className": pipeline.class_name}
    others = {}
    for name, library, kind in pipeline.components:
        value = {"library": library, "type": kind}
        if name in _NAMES:
            result[_NAMES[name]] = value
        else:
            others[name] = value
    if others:
        result["additionalComponents"] = others
    return result
