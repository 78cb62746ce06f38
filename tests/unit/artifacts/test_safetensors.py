"""safetensors: exact counts, packed weights unpacked, damage noticed."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from ome.artifacts import CorruptModelFile, IncompleteModel, TruncatedModelFile, safetensors

_SIZES = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "U8": 1, "F8_E4M3": 1}


def build(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = prod(shape) * _SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + b"\0" * offset


def count(
    folder: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], **quantization: Any
) -> int:
    (folder / "model.safetensors").write_bytes(build(tensors))
    found = safetensors.count(safetensors.weight_files(folder), quantization)
    assert found is not None
    return found.parameters


def test_plain_weights_are_summed(tmp_path: Path) -> None:
    tensors = {"a": ("BF16", (10, 20)), "b": ("F32", (7,)), "scalar": ("F32", ())}
    assert count(tmp_path, tensors) == 208


@pytest.mark.parametrize(
    ("tensors", "quantization", "expected"),
    [
        (  # GPTQ and AWQ: eight weights in an int32
            {
                "l.qweight": ("I32", (128, 512)),
                "l.qzeros": ("I32", (8, 64)),
                "l.scales": ("F16", (8, 512)),
                "l.g_idx": ("I32", (1024,)),
            },
            {"bits": 4},
            1024 * 512,
        ),
        ({"l.qweight": ("I32", (256, 512))}, {"bits": 8}, 1024 * 512),
        (  # compressed-tensors
            {
                "l.weight_packed": ("I32", (512, 128)),
                "l.weight_scale": ("BF16", (512, 8)),
                "l.weight_shape": ("I32", (2,)),
            },
            {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
            512 * 1024,
        ),
        (  # mxfp4: two weights in a byte
            {"e.w_blocks": ("U8", (32, 90, 16)), "e.w_scales": ("U8", (32, 90))},
            {"quant_method": "mxfp4"},
            32 * 90 * 32,
        ),
        (  # fp8 with block scales
            {"l.weight": ("F8_E4M3", (256, 256)), "l.weight_scale_inv": ("F32", (2, 2))},
            {},
            256 * 256,
        ),
        (  # bitsandbytes, 4 bit
            {
                "l.weight": ("U8", (2048, 1)),
                "l.weight.absmax": ("U8", (64,)),
                "l.weight.quant_map": ("F32", (16,)),
                "l.weight.quant_state.bitsandbytes__nf4": ("U8", (80,)),
            },
            {},
            4096,
        ),
        (  # nvfp4
            {
                "l.weight": ("U8", (64, 32)),
                "l.weight_scale": ("F8_E4M3", (64, 4)),
                "l.weight_scale_2": ("F32", ()),
            },
            {},
            64 * 64,
        ),
    ],
)
def test_quantised_weights_count_as_what_the_model_learned(
    tmp_path: Path, tensors: Any, quantization: dict[str, Any], expected: int
) -> None:
    assert count(tmp_path, tensors, **quantization) == expected


def test_shards_come_from_the_index_and_copies_are_not_counted_twice(tmp_path: Path) -> None:
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        (tmp_path / name).write_bytes(build({name: ("BF16", (100,))}))
    (tmp_path / "consolidated.safetensors").write_bytes(build({"x": ("BF16", (200,))}))
    index = {
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
        }
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = safetensors.count(safetensors.weight_files(tmp_path), {})
    assert found is not None and (found.parameters, found.files, found.dtype) == (200, 2, "BF16")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(IncompleteModel, match=r"model-00002-of-00002\.safetensors"):
        safetensors.weight_files(tmp_path)


def test_an_index_without_any_shard_is_a_configuration_only(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert safetensors.weight_files(tmp_path) == []


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = build({"a": ("BF16", (50,))})
    path = tmp_path / "model.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TruncatedModelFile):
            safetensors.header(path)


@pytest.mark.parametrize(
    "data",
    [
        (2**60).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"[1]]",
        (2).to_bytes(8, "little") + b"{}" + b"rest",
        build({"a": ("BF16", (5,))}).replace(b'"BF16"', b"123456"[:6]).replace(b"shape", b"shabe"),
    ],
)
def test_nonsense_is_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(CorruptModelFile):
        safetensors.header(path)
