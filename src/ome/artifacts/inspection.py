"""From a folder to :class:`ModelMetadata`: find what kind of model it holds, then ask that kind.

Order: a diffusers pipeline in the root, GGUF files, ``config.json`` in the root or in one of the
usual sub-folders, and last ``config.json`` in a sub-folder, the shallowest and then the first by
name. A folder that holds nothing but ``config.json`` is fine: the parameter count is then an
estimate. Only headers are read, and no code of the model is run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ome.artifacts import diffusers, ggufmodel, transformers
from ome.artifacts.card import read_card
from ome.artifacts.errors import NoModelFound
from ome.artifacts.jsonfile import read_object, read_optional
from ome.artifacts.metadata import ModelMetadata

_CONFIG = "config.json"
_OTHER_CONFIGS = ("model_config.json", "configuration.json")
_USUAL_FOLDERS = ("safetensors", "pytorch_model", "model", "huggingface", "hf")
_DEEPEST = 4
_MOST_FOLDERS = 2000


def inspect(directory: Path | str, *, name: str = "") -> ModelMetadata:
    """What the files in ``directory`` say. Raises an :class:`~ome.artifacts.errors.ArtifactError`.

    ``name`` is what the model is called where it came from (``Qwen/Qwen3-Embedding-8B``); it is
    the weakest evidence of what the model is for. By default the folder's own name.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise NoModelFound(f"{folder} is not a folder", remedy="name the folder of the model")
    card = read_card(folder)
    name = name or folder.name
    index = folder / diffusers.INDEX
    if index.is_file():
        return _licensed(diffusers.describe(read_object(index), folder, card), folder, card)
    ggufs = ggufmodel.find(folder)
    config = find_config(folder)
    if ggufs and (config is None or not any(config.parent.glob("*.safetensors"))):
        return _licensed(ggufmodel.describe(ggufs, card), folder, card)
    if config is None:
        raise NoModelFound(
            f"{folder} holds no model that OME can read: no {_CONFIG}, no {diffusers.INDEX} "
            "and no .gguf file",
            remedy="check the storage URI and the include and exclude patterns",
        )
    data = read_object(config)
    return _licensed(transformers.describe(data, config.parent, card, name), folder, card)


def find_config(folder: Path) -> Path | None:
    """The configuration that describes the model in this folder."""
    for place in (folder, *(folder / usual for usual in _USUAL_FOLDERS)):
        if (place / _CONFIG).is_file():
            return place / _CONFIG
    level, seen = [folder], 0
    for _ in range(_DEEPEST):
        below = sorted(
            p for f in level for p in f.iterdir() if p.is_dir() and not p.name.startswith(".")
        )
        seen += len(below)
        if seen > _MOST_FOLDERS:
            return None
        for place in below:
            if (place / _CONFIG).is_file():
                return place / _CONFIG
        level = below
    return next((folder / n for n in _OTHER_CONFIGS if _looks_right(folder / n)), None)


def _looks_right(path: Path) -> bool:
    data = read_optional(path)
    return "model_type" in data or "architectures" in data


def _licensed(found: ModelMetadata, folder: Path, card: dict[str, str]) -> ModelMetadata:
    if found.license:
        return found
    return replace(found, license=card.get("license_name") or card.get("license", ""))
