"""GGUF headers: what they say, and that damaged and hostile files end in one clear error."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from tests.fakes import gguf as fake

from ome.artifacts import (
    ArtifactError,
    CorruptModelFile,
    IncompleteModel,
    TruncatedModelFile,
    gguf,
    inspect,
)


def write(folder: Path, data: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("big_endian", [False, True])
def test_both_versions_and_byte_orders_are_read(
    tmp_path: Path, version: int, big_endian: bool
) -> None:
    header = gguf.read(write(tmp_path, fake.build(version=version, big_endian=big_endian)))
    assert header.version == version
    assert header.architecture == "llama"
    assert header.parameters == 64 * 32
    assert header.lengths == {"tokenizer.ggml.tokens": 3}
    assert header.quantization == "F16"


def test_a_model_is_described(tmp_path: Path) -> None:
    tensors = [("token_embd.weight", (64, 1000), 3), ("rope_freqs.weight", (32,), 0)]
    values = {"general.file_type": 3, "general.license": "apache-2.0"}
    write(tmp_path, fake.build(values, tensors))
    found = inspect(tmp_path)
    assert found.architecture == "LlamaForCausalLM"
    assert found.model_type == "llama"
    assert found.parameter_count == 64_000  # without the frequencies, which are computed
    assert found.parameter_size == "64K"
    assert found.parameters_from == "headers"
    assert found.quantization == "Q4_1"
    assert found.max_tokens == 2048
    assert found.capabilities == ("TEXT_TO_TEXT",)
    assert (found.format.name, found.format.version) == ("gguf", "3")  # type: ignore[union-attr]
    assert found.framework is not None and found.framework.name == "llama.cpp"
    assert found.license == "apache-2.0"


@pytest.mark.parametrize(
    ("values", "capabilities"),
    [
        ({"general.architecture": "bert"}, ("EMBEDDING",)),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, ("EMBEDDING",)),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 4}, ("RERANK",)),
        ({"general.architecture": "qwen3"}, ("TEXT_TO_TEXT",)),
    ],
)
def test_pooling_tells_what_a_model_is_for(
    tmp_path: Path, values: dict[str, object], capabilities: tuple[str, ...]
) -> None:
    write(tmp_path, fake.build(values))
    assert inspect(tmp_path).capabilities == capabilities


def test_a_projector_beside_a_model_lets_it_see(tmp_path: Path) -> None:
    write(tmp_path, fake.build(), "model.gguf")
    clip = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    write(tmp_path, fake.build(clip), "mmproj.gguf")
    found = inspect(tmp_path)
    assert found.capabilities == ("IMAGE_TEXT_TO_TEXT",)
    assert found.architecture == "LlamaForCausalLM"


def test_an_unknown_architecture_keeps_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, fake.build({"general.architecture": "brandnew"}))
    assert inspect(tmp_path).architecture == "brandnew"


def test_a_split_model_is_summed_and_must_be_whole(tmp_path: Path) -> None:
    for part in (1, 2):
        write(tmp_path, fake.build(), f"big-0000{part}-of-00002.gguf")
    assert inspect(tmp_path).parameter_count == 2 * 64 * 32
    (tmp_path / "big-00002-of-00002.gguf").unlink()
    with pytest.raises(IncompleteModel, match="split into 2 files, 1 of them"):
        inspect(tmp_path)


def test_a_file_that_ends_too_early_is_truncated_wherever_it_ends(tmp_path: Path) -> None:
    whole = fake.build()
    for length in range(len(whole)):
        path = write(tmp_path, whole[:length])
        with pytest.raises(TruncatedModelFile) as caught:
            gguf.read(path)
        assert caught.value.real == length
        assert caught.value.expected > length
    assert TruncatedModelFile("x", expected=2, real=1).remedy


def test_a_truncated_file_is_named_with_expected_and_real_size(tmp_path: Path) -> None:
    whole = fake.build(tensors=[("a", (1024, 1024), 0)])
    write(tmp_path, whole[: len(whole) // 2])
    with pytest.raises(
        TruncatedModelFile, match=rf"announces {len(whole)} bytes, it has {len(whole) // 2}"
    ):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GGUF" + struct.pack("<I", 1) + b"\0" * 100, "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0) + b"\0" * 100, "entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40) + b"\0" * 100, "entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**40) + b"\0" * 99, "entries"),
        (b"PK\x03\x04" + b"\0" * 100, "begins with"),
        (b"<!DOCTYPE html><html>" + b" " * 100, "begins with"),
    ],
)
def test_hostile_and_foreign_files_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CorruptModelFile, match=words):
        gguf.read(write(tmp_path, data))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    nested = struct.pack("<IQ", 9, 1) * 200 + struct.pack("<IQ", 4, 0)
    key = struct.pack("<Q", 1) + b"k" + struct.pack("<I", 9)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + nested
    with pytest.raises(CorruptModelFile, match="nested"):
        gguf.read(write(tmp_path, data))


def test_random_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    rng = random.Random(20261124)
    whole = fake.build({"x": 1.5, "y": True, "z": [1, 2, 3]})
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data) // 4)] = rng.randrange(256)
        path = write(tmp_path, bytes(data))
        try:
            gguf.read(path)
        except ArtifactError:
            continue
