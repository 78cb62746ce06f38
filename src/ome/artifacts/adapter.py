"""Adapters: what a folder of fine-tuned weights says, and whether it fits its base model.

``adapter_config.json`` says how the adapter was made (kind, rank, target modules). The headers of
its safetensors say it again in shapes: for each changed matrix ``W`` of the base a pair ``A``
(rank x inputs of W) and ``B`` (outputs of W x rank). So whether an adapter fits a base needs no
table of families: every matrix that it changes has to be there, with these inputs and outputs.
Headers only; a pickle is never opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ome.artifacts import safetensors
from ome.artifacts.errors import ArtifactError
from ome.artifacts.fields import Fields, text_part
from ome.artifacts.jsonfile import read_object, read_optional

CONFIG = "adapter_config.json"
_PAIR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[\w-]+)?\.weight")
_MOST_TOLD = 3


class WeightsMismatch(ArtifactError):  # noqa: N818 - the reason that users see
    reason = "WeightsMismatch"


@dataclass(frozen=True, slots=True)
class Pair:
    """One changed matrix: ``module`` without the prefix of the library that made it."""

    module: str
    rank: int
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Adapter:
    """``rank`` is 0 where the files don't say. ``pairs`` are empty where weights have no header
    that may be read."""

    kind: str = ""
    rank: int = 0
    targets: tuple[str, ...] = ()
    base: str = ""
    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        values = {
            "type": self.kind,
            "rank": self.rank,
            "targetModules": list(self.targets),
            "baseModel": self.base,
        }
        return {name: value for name, value in values.items() if value}


def read_adapter(folder: Path) -> Adapter:
    """What the files say. Raises an :class:`ArtifactError` for files that are broken."""
    if not (folder / CONFIG).is_file():
        note = f"it has no {CONFIG}, so it can't be compared with its base model"
        return Adapter(notes=(note,))
    config = read_object(folder / CONFIG)
    pairs = _pairs(folder)
    notes: tuple[str, ...] = ()
    if not pairs:
        notes = ("its weights are no safetensors of pairs, so their shapes can't be compared",)
    return Adapter(
        kind=_text(config.get("peft_type")).upper(),
        rank=_number(config.get("r")),
        targets=_targets(config.get("target_modules"), pairs),
        base=_text(config.get("base_model_name_or_path")),
        pairs=pairs,
        notes=notes,
    )


def check(adapter: Adapter, base: Path | None, declared: Mapping[str, Any]) -> tuple[str, ...]:
    """Remarks for people. Raises :class:`WeightsMismatch` where the adapter can't be right.

    ``base`` is the base model's folder, if it is here. ``declared`` is what the object says: its
    ``modelType`` and ``rank``.
    """
    _check_declared(adapter, declared)
    _check_ranks(adapter)
    if base is None or not adapter.pairs:
        return adapter.notes
    files = safetensors.weight_files(base)
    if not files:
        return (*adapter.notes, *_check_configuration(adapter, base))
    _check_shapes(adapter, files)
    return adapter.notes


def _check_declared(adapter: Adapter, declared: Mapping[str, Any]) -> None:
    said = _text(declared.get("modelType")).lower()
    if said == "lora" and adapter.kind and adapter.kind not in ("LORA", "ADALORA"):
        raise WeightsMismatch(
            f"spec.modelType says LoRA, {CONFIG} says {adapter.kind}",
            remedy="correct spec.modelType, or the storage URI",
        )
    rank = _number(declared.get("rank"))
    if rank and adapter.rank and rank != adapter.rank:
        raise WeightsMismatch(
            f"spec.hyperParameters says rank {rank}, {CONFIG} says {adapter.rank}",
            remedy="correct spec.hyperParameters, or the storage URI",
        )


def _check_ranks(adapter: Adapter) -> None:
    """Ranks may differ from layer to layer, but the announced one has to be among them."""
    found = {pair.rank for pair in adapter.pairs}
    if adapter.rank and found and adapter.rank not in found:
        raise WeightsMismatch(
            f"{CONFIG} says rank {adapter.rank}, the weights have rank "
            f"{', '.join(map(str, sorted(found)[:_MOST_TOLD]))}",
            remedy="the files don't belong together: publish the adapter again, whole",
        )


def _check_shapes(adapter: Adapter, files: list[Path]) -> None:
    shapes = {t.name: t for path in files for t in safetensors.header(path)}
    known = {_tail(name.removesuffix(".weight")): t for name, t in shapes.items()}
    modules = {_tail(name.rpartition(".")[0]) for name in shapes}
    absent = []
    for pair in adapter.pairs:
        tensor = known.get(_tail(pair.module))
        if tensor is None or tensor.dtype in ("I32", "U8") or len(tensor.shape) != 2:
            if _tail(pair.module) not in modules and tensor is None:
                absent.append(pair.module)
            continue  # packed weights do not show their shape
        if tensor.shape != (pair.outputs, pair.inputs):
            raise WeightsMismatch(
                f"the adapter changes {pair.module} as a {pair.outputs} x {pair.inputs} matrix, "
                f"in the base model it is {tensor.shape[0]} x {tensor.shape[1]}",
                remedy=_remedy(adapter),
            )
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise WeightsMismatch(
            f"the adapter changes {absent[0]}{more}, which the base model does not have",
            remedy=_remedy(adapter),
        )


def _check_configuration(adapter: Adapter, base: Path) -> tuple[str, ...]:
    """Less sure, for bases whose weights are in another format: layers and width."""
    text = text_part(Fields(read_optional(base / "config.json")))
    if not text.layers:
        return ("the base model is not in safetensors, so shapes were not compared with it",)
    highest = max((_layer(pair.module) for pair in adapter.pairs), default=-1)
    if highest >= text.layers:
        raise WeightsMismatch(
            f"the adapter changes layer {highest}, the base model has {text.layers} layers",
            remedy=_remedy(adapter),
        )
    widths = {p.inputs for p in adapter.pairs if p.module.endswith(("q_proj", "query"))}
    if text.hidden and widths and text.hidden not in widths:
        raise WeightsMismatch(
            f"the adapter was made for a width of {min(widths)}, the base model has {text.hidden}",
            remedy=_remedy(adapter),
        )
    return ()


def _remedy(adapter: Adapter) -> str:
    made = f" (it was made for {adapter.base})" if adapter.base else ""
    return f"name the base model that it was trained on in spec.baseModelRef{made}"


def _pairs(folder: Path) -> tuple[Pair, ...]:
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        for tensor in safetensors.header(path):
            match = _PAIR.fullmatch(tensor.name)
            if match and len(tensor.shape) == 2:
                module = match["module"].removeprefix("base_model.model.")
                sides.setdefault(module, {})[match["side"]] = tensor.shape
    found = []
    for module, shapes in sorted(sides.items()):
        if len(shapes) != 2:
            raise WeightsMismatch(
                f"of {module} only lora_{next(iter(shapes))} is there",
                remedy="the adapter is incomplete: publish it again, whole",
            )
        (rank, inputs), (outputs, other) = shapes["A"], shapes["B"]
        if rank != other:
            raise WeightsMismatch(
                f"{module} has lora_A of rank {rank} and lora_B of rank {other}",
                remedy="the files don't belong together: publish the adapter again, whole",
            )
        found.append(Pair(module, rank, inputs, outputs))
    return tuple(found)


def _targets(stated: Any, pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    """The names of the modules; where the configuration has a pattern, those of the weights."""
    if isinstance(stated, list) and all(isinstance(item, str) for item in stated):
        return tuple(sorted(stated))
    return tuple(sorted({pair.module.rpartition(".")[2] for pair in pairs}))


def _tail(module: str) -> str:
    """A module from its layers on: what comes before differs between versions of libraries."""
    _, found, rest = module.partition("layers.")
    return f"layers.{rest}" if found else module.rpartition(".")[2]


def _layer(module: str) -> int:
    found = re.search(r"layers\.(\d{1,6})\.", module)
    return int(found[1]) if found else -1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
