"""Describing a model that lies on a hub: the same as from the folder, from few of its bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import gguf
from tests.fakes.hub import FakeHub, Repository

from ome.agent.remote import inspect_remote, inspect_uri
from ome.artifacts import ArtifactError, ModelMetadata, NoModelFound, inspect
from ome.storage import errors
from ome.storage.hf import HubSource

LLAMA: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
FIVE_MB = 5_000_000


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def weights(*names: str, rows: int = 1000, columns: int = 64) -> bytes:
    header: dict[str, Any] = {}
    size = rows * columns * 2
    for index, name in enumerate(names):
        offsets = [index * size, (index + 1) * size]
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": offsets}
    raw = as_json(header)
    return len(raw).to_bytes(8, "little") + raw + bytes(len(names) * size)


def split(parts: int, tensors: int = 1, **shape: int) -> dict[str, bytes]:
    files, where = {}, {}
    for number in range(1, parts + 1):
        name = f"model-{number:05}-of-{parts:05}.safetensors"
        held = [f"layer.{number}.expert.{index}.weight" for index in range(tensors)]
        files[name] = weights(*held, **shape)
        where |= dict.fromkeys(held, name)
    return files | {"model.safetensors.index.json": as_json({"weight_map": where})}


PIPELINE = {
    "model_index.json": as_json(
        {
            "_class_name": "FluxPipeline",
            "_diffusers_version": "0.30.0",
            "transformer": ["diffusers", "FluxTransformer2DModel"],
            "text_encoder": ["transformers", "CLIPTextModel"],
        }
    ),
    "transformer/diffusion_pytorch_model.safetensors": weights("t"),
    "text_encoder/model.safetensors": weights("e"),
    "text_encoder/model.fp16.safetensors": weights("e"),
    "text_encoder/config.json": as_json({"max_position_embeddings": 77}),
}
CARD = b"---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n" + b"words " * 50_000
LAYOUTS: dict[str, dict[str, bytes]] = {
    "one file": {"config.json": as_json(LLAMA), "model.safetensors": weights("a", "b", "c")},
    "a header longer than the first look": {
        "config.json": as_json(LLAMA),
        "model.safetensors": weights(*(f"{i}-{'x' * 90}" for i in range(1500)), rows=1, columns=2),
    },
    "many parts, an index, a card": {
        "config.json": as_json(LLAMA),
        "README.md": CARD,
        **split(20, rows=3, columns=2),
    },
    "nothing but a configuration": {"config.json": as_json(LLAMA)},
    "in a sub-folder": {
        "README.md": CARD,
        "original/params.json": b"{}",
        "model/config.json": as_json(LLAMA),
        "model/model.safetensors": weights("a"),
    },
    "safetensors beside GGUF": {
        "config.json": as_json(LLAMA),
        "model.safetensors": weights("a"),
        "model.gguf": gguf.build(),
    },
    "pickles": {"config.json": as_json(LLAMA), "pytorch_model.bin": b"\0" * 100_000},
    "diffusers": PIPELINE,
    "GGUF": {"model.gguf": gguf.build({"general.license": "mit"}), "config.json": as_json({})},
    "GGUF in parts with a projector": {
        "m-00001-of-00002.gguf": gguf.build(),
        "m-00002-of-00002.gguf": gguf.build(),
        "mmproj-m.gguf": gguf.build(
            {"general.architecture": "clip", "clip.has_vision_encoder": True}
        ),
    },
    "a sentence transformer": {
        "config.json": as_json({**LLAMA, "model_type": "qwen3"}),
        "modules.json": b"[]",
        "config_sentence_transformers.json": as_json({"similarity_fn_name": "cosine"}),
        "model.safetensors": weights("a"),
    },
}


async def from_hub(hub: FakeHub, files: dict[str, bytes], **options: Any) -> ModelMetadata:
    hub.repositories["org/model"] = Repository(files)
    source = HubSource("hf://org/model", "org/model", endpoint=hub.url, ambient=False)
    try:
        return await inspect_remote(source, name="org/model", **options)
    finally:
        await source.close()


def from_folder(folder: Path, files: dict[str, bytes]) -> ModelMetadata:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return inspect(folder, name="org/model")


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
async def test_a_model_is_described_from_afar_as_from_disk(
    hub: FakeHub, tmp_path: Path, files: dict[str, bytes]
) -> None:
    assert await from_hub(hub, files) == from_folder(tmp_path / "m", files)


async def test_a_large_model_costs_less_than_five_megabytes(hub: FakeHub) -> None:
    files = {"config.json": as_json(LLAMA), "README.md": CARD, **split(40, rows=2000)}
    assert sum(map(len, files.values())) > 2 * FIVE_MB
    found = await from_hub(hub, files)
    assert (found.parameter_count, found.parameters_from) == (40 * 2000 * 64, "headers")
    assert hub.sent < 100_000


async def test_headers_beyond_the_budget_are_left_and_the_count_says_that_it_is_an_estimate(
    hub: FakeHub,
) -> None:
    files = {"config.json": as_json(LLAMA), **split(30, tensors=40, rows=1, columns=2)}
    found = await from_hub(hub, files, budget=40_000)
    assert hub.sent < 40_000
    whole = await from_hub(hub, {"config.json": as_json(LLAMA)})
    assert found.parameters_from == "configuration"
    assert found.parameter_count == whole.parameter_count
    assert found.size_bytes == sum(len(d) for n, d in files.items() if n.endswith("tensors"))
    assert any("estimate" in note for note in found.notes)


async def test_a_long_gguf_header_is_read_until_its_end(hub: FakeHub, tmp_path: Path) -> None:
    words = [f"token-{index:06}" for index in range(60_000)]
    files = {"model.gguf": gguf.build({"tokenizer.ggml.tokens": words})}
    found = await from_hub(hub, files)
    assert found == from_folder(tmp_path / "m", files)
    assert found.parameters_from == "headers"
    assert hub.sent < FIVE_MB


async def test_a_gguf_header_beyond_the_budget_still_describes_the_model(hub: FakeHub) -> None:
    values = {
        "llama.embedding_length": 64,
        "llama.block_count": 2,
        "llama.attention.head_count": 4,
        "llama.feed_forward_length": 128,
        "llama.context_length": 4096,
        "tokenizer.ggml.merges": [f"token-{index:06}" for index in range(60_000)],
    }
    values = {"llama.vocab_size": 60_000, **values}
    found = await from_hub(hub, {"model.gguf": gguf.build(values)}, budget=600_000)
    assert hub.sent <= 600_000
    assert (found.architecture, found.max_tokens) == ("LlamaForCausalLM", 4096)
    assert found.parameters_from == "configuration"
    assert 60_000 * 64 <= found.parameter_count <= 3 * 60_000 * 64
    assert any("estimate" in note for note in found.notes)


async def test_of_many_gguf_models_only_the_first_is_read_and_the_rest_mentioned(
    hub: FakeHub,
) -> None:
    files = {f"model-Q{bits}_0.gguf": gguf.build() for bits in (2, 4, 8)}
    found = await from_hub(hub, files)
    assert found.notes == ("the source holds 3 models; described is model-Q2_0.gguf",)
    assert hub.sent == len(files["model-Q2_0.gguf"])


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"notes.txt": b"hello"}, NoModelFound),
        ({"config.json": b"{"}, ArtifactError),
        ({"config.json": as_json(LLAMA), "model.safetensors": b"\xff" * 64}, ArtifactError),
        ({"config.json": as_json(LLAMA), "model.safetensors": weights("a")[:-5]}, ArtifactError),
        ({"model.gguf": b"GGUF\3\0\0\0" + b"\xff" * 64}, ArtifactError),
        ({"../config.json": as_json(LLAMA)}, errors.UnsafeName),
    ],
)
async def test_what_is_damaged_is_said(
    hub: FakeHub, files: dict[str, bytes], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await from_hub(hub, files)


async def test_a_repository_that_is_not_there_is_the_sources_own_error(hub: FakeHub) -> None:
    source = HubSource("hf://org/none", "org/none", endpoint=hub.url, ambient=False)
    with pytest.raises(errors.SourceNotFound):
        await inspect_remote(source)
    await source.close()


async def test_a_storage_uri_is_enough(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.repositories["org/model"] = Repository({"quantised/config.json": as_json(LLAMA)})
    found = await inspect_uri("hf://org/model@main/quantised")
    assert (found.architecture, found.parameters_from) == ("LlamaForCausalLM", "configuration")
