"""Models in the layout of transformers: ``config.json``, and weights if they are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ome.artifacts import capabilities, safetensors, traits
from ome.artifacts.errors import TruncatedModelFile
from ome.artifacts.estimate import estimate_parameters
from ome.artifacts.fields import TEXT_PARTS, VISION_PARTS, Fields, text_part
from ome.artifacts.jsonfile import read_optional
from ome.artifacts.metadata import ModelMetadata, NameVersion
from ome.artifacts.shape import shape

_DTYPES: Mapping[str, str] = {
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_CONTEXTS = (
    ("tokenizer_config.json", "model_max_length"),
    ("generation_config.json", "max_length"),
)
_LONGEST_CONTEXT = 100_000_000
"""Tokenizers without a limit say some enormous number."""


def describe(
    config: Mapping[str, Any], folder: Path, card: Mapping[str, str], name: str
) -> ModelMetadata:
    """Metadata of the model whose ``config.json`` is ``config`` and lies in ``folder``."""
    whole = Fields(config)
    text = text_part(whole)
    architecture = _architecture(whole)
    quantization = _quantization_config(whole, text)
    weights = safetensors.count(safetensors.weight_files(folder), quantization)
    format_, size = _format(folder, weights)
    evidence = _evidence(config, architecture, whole, folder, card, name)
    able = capabilities.infer(evidence)
    embedding = able == (capabilities.EMBEDDING,)
    count = weights.parameters if weights else 0
    if not count:
        # Exporters of embedding models drop the output layer; custom code (is_causal) keeps it.
        bare = embedding and "is_causal" not in config
        count = estimate_parameters(config, without_head=bare)
    version = whole.text("transformers_version") or text.text("transformers_version")
    return ModelMetadata(
        architecture=architecture,
        model_type=whole.model_type,
        parameter_count=count,
        parameters_from="headers" if weights else "configuration" if count else "",
        quantization=quantization_name(quantization),
        dtype=_dtype(whole, text) or (_DTYPES.get(weights.dtype, "") if weights else ""),
        max_tokens=text.context or whole.context or _context_elsewhere(folder),
        capabilities=able,
        format=format_,
        framework=NameVersion("transformers", version),
        transformers_version=version,
        has_vision=capabilities.has_part(config, VISION_PARTS) or capabilities.VISION in able,
        is_embedding=embedding,
        license=card.get("license_name") or card.get("license", ""),
        size_bytes=weights.size_bytes if weights else size,
        shape=shape(config),
    )


def _architecture(whole: Fields) -> str:
    """``architectures[0]``, else the class of the type, of ``auto_map``, of the text part."""
    names = whole.texts("architectures")
    if names:
        return names[0]
    if whole.model_type in traits.CLASS_OF:
        return traits.CLASS_OF[whole.model_type]
    mapped = whole.get("auto_map")
    if isinstance(mapped, Mapping):
        for key in ("AutoModelForCausalLM", "AutoModel"):
            value = mapped.get(key)
            if isinstance(value, str):
                return value.rpartition(".")[2]
    part = whole.part(*TEXT_PARTS)
    return next(iter(part.texts("architectures")), "") if part is not None else ""


def _quantization_config(whole: Fields, text: Fields) -> Mapping[str, Any]:
    for fields in (whole, text):
        for name in ("quantization_config", "compression_config"):
            value = fields.raw.get(name)
            if isinstance(value, Mapping):
                return value
    return {}


def quantization_name(config: Mapping[str, Any]) -> str:
    """The API's word where it has one (``fp8``, ``int4``, ``fbgemm_fp8``), else the method's."""
    method = str(config.get("quant_method") or config.get("quant_type") or "").lower()
    method = method or str(config.get("quant_algo") or "").lower()
    if method in ("compressed-tensors", "compressed_tensors"):
        return _compressed(config) or "compressed-tensors"
    if method == "modelopt":
        algorithm = str(config.get("quant_algo") or "").lower()
        return algorithm or method
    if method == "bitsandbytes":
        return "int4" if config.get("load_in_4bit") else "int8"
    return method


def _compressed(config: Mapping[str, Any]) -> str:
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            kind = "fp" if weights.get("type") == "float" else "int"
            return f"{kind}{weights.get('num_bits')}"
    return ""


def _dtype(whole: Fields, text: Fields) -> str:
    for fields in (whole, text):
        value = fields.text("torch_dtype", "dtype")
        if value:
            return value.removeprefix("torch.")
    return ""


def _evidence(
    config: Mapping[str, Any],
    architecture: str,
    whole: Fields,
    folder: Path,
    card: Mapping[str, str],
    name: str,
) -> capabilities.Evidence:
    modules = folder / "modules.json"
    sentences = read_optional(folder / "config_sentence_transformers.json")
    crosses = sentences.get("model_type") == "CrossEncoder"
    images, sound = _processors(folder)
    return capabilities.Evidence(
        config=config,
        architecture=architecture,
        model_type=whole.model_type,
        declared=card.get("pipeline_tag", ""),
        name=name,
        takes_images=images,
        takes_sound=sound,
        sentence_transformer=not crosses
        and (modules.is_file() or bool(sentences.get("similarity_fn_name"))),
        cross_encoder=crosses,
    )


def _processors(folder: Path) -> tuple[bool, bool]:
    """Whether something lies there that prepares (images, sound) for the model."""
    images = sound = False
    for name in _PROCESSORS:
        data = read_optional(folder / name)
        sees = "image_processor_type" in data or "image_processor" in data or "image_mean" in data
        images |= sees
        # Until there were image processors, both were called feature extractors.
        sound |= "feature_extractor" in data or (not sees and "feature_extractor_type" in data)
    return images, sound


def _context_elsewhere(folder: Path) -> int:
    """What the tokenizer, or else the generation, is limited to, where the model does not say."""
    for name, key in _CONTEXTS:
        value = read_optional(folder / name).get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LONGEST_CONTEXT:
            return value
    return 0


def _format(folder: Path, weights: safetensors.Weights | None) -> tuple[NameVersion, int]:
    """What the weights are stored as. Without weights: what they nearly always are."""
    if weights is None:
        pickles = sorted(folder.glob("pytorch_model*.bin"))
        if pickles:
            for path in pickles:
                _check_archive(path)
            return NameVersion("pytorch"), sum(p.stat().st_size for p in pickles)
    return NameVersion("safetensors", "1.0.0"), 0


def _check_archive(path: Path) -> None:
    """A PyTorch file is a zip archive, whose directory is at its end: a cut file has none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return  # the older format has no end mark
        file.seek(max(0, size - 65_557))
        if b"PK\x05\x06" not in file.read():
            raise TruncatedModelFile(path.name, expected=size + 1, real=size)
