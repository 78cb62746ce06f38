"""Models in GGUF: one file, or one model split over several, with or without a vision projector."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ome.artifacts import gguf
from ome.artifacts.capabilities import EMBEDDING, RERANK, TEXT, VISION
from ome.artifacts.errors import IncompleteModel
from ome.artifacts.estimate import estimate_parameters
from ome.artifacts.ggml import CLASS_OF, ENCODERS, UNQUANTIZED
from ome.artifacts.metadata import ModelMetadata, NameVersion
from ome.artifacts.shape import gguf_shape

_Group = tuple[list[Path], list[gguf.GGUFHeader]]
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")
_PROJECTOR = "clip"
_RANK_POOLING = 4


def find(folder: Path) -> list[Path]:
    """GGUF files in the folder, or one level below where the folder itself has none."""
    here = sorted(p for p in folder.glob("*.gguf") if p.is_file())
    return here or sorted(p for p in folder.glob("*/*.gguf") if p.is_file())


def describe(files: Sequence[Path], card: Mapping[str, str]) -> ModelMetadata:
    """Metadata of the model in these files. With several models: of the first by name."""
    projectors: list[_Group] = []
    models: list[_Group] = []
    for group in _groups(files):
        headers = [gguf.read(path) for path in group]
        (projectors if headers[0].architecture == _PROJECTOR else models).append((group, headers))
    if not models:
        models, projectors = projectors, []
    group, headers = models[0]
    notes = []
    if len(models) > 1:
        notes.append(f"the folder holds {len(models)} models; described is {group[0].name}")
    found = _metadata(headers, projectors, card)
    size = sum(path.stat().st_size for path in group)
    return replace(found, size_bytes=size, notes=tuple(notes))


def describe_prefix(path: Path, known: int, card: Mapping[str, str]) -> ModelMetadata:
    """Metadata from the first ``known`` bytes of a file whose header is longer than that.

    Its list of tensors is then unknown, and the number of parameters an estimate.
    """
    header = gguf.read_prefix(path, known)
    found = _metadata([header], [], card)
    config = _as_config(header)
    count = estimate_parameters(config) if "num_hidden_layers" in config else 0
    note = (
        f"the header of {path.name} is too long to read from afar: the number of parameters is an "
        "estimate"
    )
    return replace(
        found,
        parameter_count=count,
        parameters_from="configuration" if count else "",
        notes=(note,),
    )


def _metadata(
    headers: Sequence[gguf.GGUFHeader], projectors: Sequence[_Group], card: Mapping[str, str]
) -> ModelMetadata:
    first = headers[0]
    kind = first.architecture
    return ModelMetadata(
        architecture=_class(first),
        model_type=_model_type(first),
        parameter_count=sum(h.parameters for h in headers),
        parameters_from="headers",
        quantization=_quantization(first),
        dtype=first.quantization.lower() if first.quantization in UNQUANTIZED else "",
        max_tokens=first.number(f"{kind}.context_length"),
        capabilities=_capabilities(first, [h[0] for _, h in projectors]),
        format=NameVersion("gguf", str(first.version)),
        framework=NameVersion("llama.cpp"),
        has_vision=bool(projectors),
        is_embedding=_pools(first),
        license=first.text("general.license") or card.get("license", ""),
        shape=gguf_shape(first),
    )


def named_groups(files: Sequence[Path]) -> tuple[list[list[Path]], list[list[Path]]]:
    """Models and vision projectors, told apart by their names alone."""
    models: list[list[Path]] = []
    projectors: list[list[Path]] = []
    for group in _groups(files):
        (projectors if "mmproj" in group[0].name.lower() else models).append(group)
    return models, projectors


def _as_config(header: gguf.GGUFHeader) -> dict[str, object]:
    """The configuration in the words of transformers, as far as a count of parameters needs it."""
    kind = header.architecture
    names = {
        "hidden_size": "embedding_length",
        "num_hidden_layers": "block_count",
        "intermediate_size": "feed_forward_length",
        "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
        "num_experts": "expert_count",
        "num_experts_per_tok": "expert_used_count",
        "moe_intermediate_size": "expert_feed_forward_length",
    }
    found: dict[str, object] = {
        ours: header.number(f"{kind}.{theirs}") for ours, theirs in names.items()
    }
    vocabulary = header.number(f"{kind}.vocab_size") or header.lengths.get("tokenizer.ggml.tokens")
    config = {name: value for name, value in found.items() if value}
    return {
        **config,
        "vocab_size": vocabulary or 0,
        "model_type": _model_type(header),
        "architectures": [_class(header)],
    }


def _groups(files: Sequence[Path]) -> list[list[Path]]:
    """Files that belong together. Raises ``IncompleteModel`` where a part of a split is missing."""
    splits: dict[tuple[Path, str, str], list[Path]] = {}
    groups = []
    for path in files:
        found = _SPLIT.match(path.name)
        if found is None:
            groups.append([path])
            continue
        key = (path.parent, found[1], found[3])
        if key not in splits:
            splits[key] = []
            groups.append(splits[key])
        splits[key].append(path)
    for (_, stem, total), parts in splits.items():
        if len(parts) != int(total):
            raise IncompleteModel(
                f"{stem} is split into {int(total)} files, {len(parts)} of them are here",
                remedy="download all parts",
            )
    return groups


def _class(header: gguf.GGUFHeader) -> str:
    kind = header.architecture
    if kind == "llama" and header.number("llama.expert_count") > 1:
        return "MixtralForCausalLM"
    if kind == "deepseek2" and header.number("deepseek2.expert_count") >= 256:
        return "DeepseekV3ForCausalLM"
    return CLASS_OF.get(kind, kind)


def _model_type(header: gguf.GGUFHeader) -> str:
    kind = header.architecture
    if kind == "llama" and header.number("llama.expert_count") > 1:
        return "mixtral"
    return kind.replace("-", "_")


def _quantization(header: gguf.GGUFHeader) -> str:
    name = header.quantization
    return "" if name in UNQUANTIZED else name


def _pools(header: gguf.GGUFHeader) -> bool:
    kind = header.architecture
    return kind in ENCODERS or header.number(f"{kind}.pooling_type") > 0


def _capabilities(
    header: gguf.GGUFHeader, projectors: Sequence[gguf.GGUFHeader]
) -> tuple[str, ...]:
    kind = header.architecture
    if header.number(f"{kind}.pooling_type") == _RANK_POOLING or "cls.output.weight" in (
        header.tensor_names
    ):
        return (RERANK,)
    if _pools(header):
        return (EMBEDDING,)
    if not projectors:
        return (TEXT,)
    sees = any(p.values.get("clip.has_vision_encoder") for p in projectors)
    hears = any(p.values.get("clip.has_audio_encoder") for p in projectors)
    found = [VISION] if sees or not hears else []
    return (*found, "AUDIO_TO_TEXT") if hears else tuple(found)
