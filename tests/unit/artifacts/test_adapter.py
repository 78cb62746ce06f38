"""Whether an adapter fits its base model, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import tensors

from ome.artifacts.adapter import WeightsMismatch, check, read_adapter


def folder(place: Path, files: Mapping[str, bytes]) -> Path:
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def test_an_adapter_that_fits_is_described(tmp_path: Path) -> None:
    found = read_adapter(folder(tmp_path / "a", tensors.lora()))
    assert found.to_json() == {
        "type": "LORA",
        "rank": 8,
        "targetModules": ["q_proj", "v_proj"],
        "baseModel": "org/base",
    }
    base = folder(tmp_path / "b", tensors.base())
    assert check(found, base, {"modelType": "LoRA", "rank": 8}) == ()


@pytest.mark.parametrize(
    ("files", "declared", "words"),
    [
        (tensors.lora(hidden=32), {}, "as a 32 x 32 matrix, in the base model it is 64 x 64"),
        (tensors.lora(layers=3), {}, "layers.2.self_attn.q_proj and 1 more, which the base model"),
        (tensors.lora(says=16), {}, "says rank 16, the weights have rank 8"),
        (tensors.lora(), {"rank": 32}, "hyperParameters says rank 32"),
        (tensors.lora(peft_type="IA3"), {"modelType": "LoRA"}, "says LoRA, adapter_config.json"),
    ],
)
def test_what_does_not_fit_is_said_with_a_remedy(
    tmp_path: Path, files: dict[str, bytes], declared: dict[str, Any], words: str
) -> None:
    base = folder(tmp_path / "b", tensors.base())
    found = read_adapter(folder(tmp_path / "a", files))
    with pytest.raises(WeightsMismatch) as caught:
        check(found, base, declared)
    assert words in caught.value.message
    assert caught.value.remedy


def test_half_a_pair_is_no_adapter(tmp_path: Path) -> None:
    files = tensors.lora()
    only = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": (8, 64)}
    files["adapter_model.safetensors"] = tensors.safetensors(only)
    with pytest.raises(WeightsMismatch, match="only lora_A is there"):
        read_adapter(folder(tmp_path / "a", files))


def test_a_base_in_another_format_is_compared_by_its_configuration(tmp_path: Path) -> None:
    files = tensors.base()
    del files["model.safetensors"]
    base = folder(tmp_path / "b", files)
    assert check(read_adapter(folder(tmp_path / "good", tensors.lora())), base, {}) == ()
    for name, wrong, words in (
        ("narrow", tensors.lora(hidden=32), "a width of 32, the base model has 64"),
        ("deep", tensors.lora(layers=9), "layer 8, the base model has 2 layers"),
    ):
        with pytest.raises(WeightsMismatch, match=words):
            check(read_adapter(folder(tmp_path / name, wrong)), base, {})


def test_what_can_not_be_compared_is_remarked(tmp_path: Path) -> None:
    bare = read_adapter(folder(tmp_path / "a", {"weights.bin": b"x"}))
    (note,) = check(bare, None, {"modelType": "LoRA", "rank": 8})
    assert "no adapter_config.json" in note
    pickled = tensors.lora()
    pickled["adapter_model.bin"] = pickled.pop("adapter_model.safetensors")
    (note,) = check(read_adapter(folder(tmp_path / "p", pickled)), None, {})
    assert "can't be compared" in note
