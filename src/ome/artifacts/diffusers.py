"""Diffusers pipelines: ``model_index.json`` names a class, and a library and class per part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ome.artifacts import safetensors
from ome.artifacts.capabilities import of_pipeline
from ome.artifacts.errors import CorruptModelFile
from ome.artifacts.jsonfile import read_optional
from ome.artifacts.metadata import DiffusionPipeline, ModelMetadata, NameVersion

INDEX = "model_index.json"


def describe(index: Mapping[str, Any], folder: Path, card: Mapping[str, str]) -> ModelMetadata:
    """Metadata of the pipeline whose ``model_index.json`` is ``index``."""
    class_name = _first_text(index, "_class_name", "class_name", "className")
    version = _first_text(index, "_diffusers_version", "diffusers_version")
    parts = tuple(components(index))
    if not class_name and not parts:
        raise CorruptModelFile(
            f"{INDEX} names neither a pipeline nor its parts",
            remedy="download the model again, or correct the file",
        )
    parameters, size, dtype = _weights(folder, [name for name, _, _ in parts])
    encoder = read_optional(folder / "text_encoder" / "config.json")
    context = encoder.get("max_position_embeddings")
    return ModelMetadata(
        architecture=class_name,
        model_type="diffusers",
        parameter_count=parameters,
        parameters_from="headers" if parameters else "",
        dtype=dtype,
        max_tokens=context if isinstance(context, int) else 0,
        capabilities=of_pipeline(class_name),
        format=NameVersion("diffusers", version),
        framework=NameVersion("diffusers", version),
        has_vision=True,
        license=card.get("license", ""),
        size_bytes=size,
        diffusion_pipeline=DiffusionPipeline(class_name, parts),
    )


def _first_text(data: Mapping[str, Any], *names: str) -> str:
    return next((data[n] for n in names if isinstance(data.get(n), str) and data[n]), "")


def components(index: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(component, library, class). Parts that are switched off (null, null) are left out."""
    found = []
    for name, value in index.items():
        if name.startswith("_"):
            continue
        if (
            isinstance(value, list)
            and value
            and all(v is None or isinstance(v, str) for v in value)
        ):
            texts = [v for v in value if v]
            if texts:
                found.append((name, texts[0] if len(texts) > 1 else "", texts[-1]))
        elif isinstance(value, Mapping):
            kind = _first_text(value, "_class_name", "class_name", "className", "type")
            if kind:
                found.append((name, _first_text(value, "_library", "library"), kind))
    return found


def _weights(folder: Path, components: list[str]) -> tuple[int, int, str]:
    """Parameters, bytes and prevailing type over all parts that have weights."""
    parameters = size = 0
    by_type: dict[str, int] = {}
    for name in components:
        part = folder / name
        if not part.is_dir():
            continue
        config = read_optional(part / "config.json")
        quantization = config.get("quantization_config")
        found = safetensors.count(
            part_files(part), quantization if isinstance(quantization, Mapping) else {}
        )
        if found is None:
            continue
        parameters += found.parameters
        size += found.size_bytes
        by_type[found.dtype] = by_type.get(found.dtype, 0) + found.size_bytes
    dtype = max(by_type, key=lambda t: by_type[t]) if by_type else ""
    return parameters, size, _DTYPES.get(dtype, dtype.lower())


def part_files(part: Path) -> list[Path]:
    """One set of files: precision variants (``.fp16.``) only where there is nothing else."""
    files = safetensors.weight_files(part)
    plain = [p for p in files if ".fp16." not in p.name and ".bf16." not in p.name]
    return plain or files


_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F8_E4M3": "float8_e4m3fn"}
