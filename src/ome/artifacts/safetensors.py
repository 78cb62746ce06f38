"""safetensors headers: shapes and types, never the tensors.

The count of parameters is what the model learned, not what the file stores: packed quantised
weights are unpacked and the scales, zero points and permutations beside them are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ome.artifacts.errors import CorruptModelFile, IncompleteModel, TruncatedModelFile

_LONGEST_HEADER = 100 * 1024 * 1024
_INDEX = "model.safetensors.index.json"

_HELPERS = (
    ".scales", ".qzeros", ".g_idx", ".perm", ".weight_scale", ".weight_scale_inv",
    ".weight_scale_2", ".weight_global_scale", ".input_scale", ".input_global_scale",
    ".output_scale", ".weight_zero_point", ".weight_shape", ".weight_g_idx", ".k_scale",
    ".v_scale", ".q_scale", ".prob_output_scale", ".absmax", ".quant_map", ".nested_absmax",
    ".nested_quant_map", ".SCB", ".weight_format", ".inv_freq", ".activation_scale",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Weights:
    """``dtype`` is the one that most bytes have (``BF16``)."""

    parameters: int
    size_bytes: int
    dtype: str
    files: int


def header(path: Path) -> list[Tensor]:
    """The tensors of one file, after checking that all of them are there."""
    size = path.stat().st_size
    if size < 8:
        raise TruncatedModelFile(path.name, expected=8, real=size)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise _corrupt(path, f"its header would be {length} bytes long")
        if 8 + length > size:
            raise TruncatedModelFile(path.name, expected=8 + length, real=size)
        raw = file.read(length)
    try:
        data = json.loads(raw)
        tensors = [_tensor(name, entry) for name, entry in data.items() if name != "__metadata__"]
        end = max((e["data_offsets"][1] for n, e in data.items() if n != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _corrupt(path, "its header can't be read") from error
    if not isinstance(end, int) or end < 0:
        raise _corrupt(path, "its header has wrong offsets")
    expected = 8 + length + end
    if size < expected:
        raise TruncatedModelFile(path.name, expected=expected, real=size)
    if size > expected:
        raise _corrupt(path, f"it has {size - expected} bytes too many")
    return tensors


def header_end(path: Path) -> int:
    """Where the header ends, from the first eight bytes; 8 where they make no sense."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    return 8 + (length if length <= _LONGEST_HEADER else 0)


def _tensor(name: str, entry: Mapping[str, Any]) -> Tensor:
    shape = tuple(int(d) for d in entry["shape"])
    begin, end = entry["data_offsets"]
    if any(d < 0 for d in shape) or not 0 <= begin <= end:
        raise ValueError(name)
    return Tensor(name, str(entry["dtype"]), shape, end - begin)


def weight_files(folder: Path) -> list[Path]:
    """The files that make up the model: those of the index, else one consistent set.

    Raises ``IncompleteModel`` where some, but not all of them are there.
    """
    index = folder / _INDEX
    if index.is_file():
        names = _indexed(index)
        present = [folder / n for n in names if (folder / n).is_file()]
        if present and len(present) < len(names):
            missing = next(n for n in names if not (folder / n).is_file())
            raise IncompleteModel(
                f"{_INDEX} names {len(names)} files, {len(names) - len(present)} are missing "
                f"(the first is {missing})",
                remedy="download the model again, whole",
            )
        return present
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    found = sorted(p for p in folder.glob("*.safetensors") if p.is_file())
    others = [p for p in found if not p.name.startswith("consolidated")]
    return others or found


def _indexed(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
        if not names or not all(isinstance(n, str) and "/" not in n for n in names):
            raise ValueError("no names")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptModelFile(
            f"{index.name} can't be read", remedy="download the model again"
        ) from error
    return sorted(names)


def count(files: Iterable[Path], quantization: Mapping[str, Any]) -> Weights | None:
    """Parameters and sizes of a set of files; None for none.

    ``quantization`` is the configuration's ``quantization_config``.
    """
    tensors: list[Tensor] = []
    number = 0
    for path in files:
        tensors += header(path)
        number += 1
    if not number:
        return None
    by_type: dict[str, int] = {}
    for tensor in tensors:
        by_type[tensor.dtype] = by_type.get(tensor.dtype, 0) + tensor.size
    return Weights(
        parameters=count_parameters(tensors, quantization),
        size_bytes=sum(by_type.values()),
        dtype=max(by_type, key=lambda t: by_type[t]) if by_type else "",
        files=number,
    )


def count_parameters(tensors: Iterable[Tensor], quantization: Mapping[str, Any]) -> int:
    listed = list(tensors)
    names = {tensor.name for tensor in listed}
    bits = _bits(quantization)
    return sum(
        prod(t.shape) * _packing(t, names, bits) for t in listed if not _is_helper(t.name, names)
    )


def _bits(quantization: Mapping[str, Any]) -> int:
    """Bits of a packed weight, 4 where the configuration does not say."""
    bits = quantization.get("bits") or quantization.get("w_bit")
    if isinstance(bits, int) and bits > 0:
        return bits
    for group in (quantization.get("config_groups") or {}).values():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        bits = weights.get("num_bits") if isinstance(weights, Mapping) else None
        if isinstance(bits, int) and bits > 0:
            return bits
    return 4


def _is_helper(name: str, names: set[str]) -> bool:
    if name.endswith(_HELPERS) or ".quant_state." in name:
        return True
    return name.endswith("_scales") and name[: -len("_scales")] + "_blocks" in names


def _packing(tensor: Tensor, names: set[str], bits: int) -> int:
    """How many weights one stored element holds."""
    if tensor.dtype == "I32" and tensor.name.endswith((".qweight", ".weight_packed")):
        return max(1, 32 // bits)
    if tensor.dtype != "U8":
        return 1
    stem = tensor.name.removesuffix(".weight")
    packed = (
        tensor.name.endswith(("_blocks", ".weight_packed"))
        or f"{tensor.name}.absmax" in names  # bitsandbytes, 4 bit
        or f"{stem}.weight_scale_2" in names  # nvfp4
    )
    return 2 if packed else 1


def _corrupt(path: Path, why: str) -> CorruptModelFile:
    return CorruptModelFile(
        f"{path.name} is not a valid safetensors file: {why}",
        remedy="download it again; if that does not help, the publisher's file is broken",
    )
