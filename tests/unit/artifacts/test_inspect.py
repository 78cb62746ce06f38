"""Folders as they come: configurations, cards, pipelines, and what they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ome.artifacts import (
    CorruptModelFile,
    NoModelFound,
    TruncatedModelFile,
    format_parameters,
    inspect,
)

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131072,
}


def put(folder: Path, name: str, data: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))


def config(folder: Path, **changes: Any) -> None:
    put(folder, "config.json", {**LLAMA, **changes})


def test_a_folder_with_nothing_but_a_configuration_is_described(tmp_path: Path) -> None:
    config(tmp_path)
    found = inspect(tmp_path)
    assert found.parameter_count == 3_212_749_824
    assert found.parameter_size == "3.21B"
    assert found.parameters_from == "configuration"
    assert found.capabilities == ("TEXT_TO_TEXT",)
    assert found.format is not None and found.format.name == "safetensors"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""), (999, "999"), (1000, "1K"), (7_000_000_000, "7B"), (7_250_000_000, "7.25B"),
        (1_500_000_000, "1.5B"), (8_030_261_248, "8.03B"), (134_515_008, "134.52M"),
        (999_999_999, "1B"), (1_026_408_232_448, "1.03T"),
    ],
)  # fmt: skip
def test_sizes_are_written_with_at_most_two_decimals(count: int, text: str) -> None:
    assert format_parameters(count) == text


@pytest.mark.parametrize(
    ("changes", "files", "expected"),
    [
        ({}, {"modules.json": []}, ("EMBEDDING",)),
        ({"is_causal": False}, {}, ("EMBEDDING",)),
        ({"architectures": ["BertModel"], "model_type": "bert"}, {}, ("EMBEDDING",)),
        (
            {"architectures": ["XLMRobertaForSequenceClassification"],
             "model_type": "xlm-roberta", "id2label": {"0": "LABEL_0"}},
            {},
            ("RERANK",),
        ),
        ({"architectures": ["Qwen2ForRewardModel"]}, {}, ("RERANK",)),
        ({"architectures": ["MistralForCausalLM"], "model_type": "mistral"}, {}, ("TEXT_TO_TEXT",)),
        ({"vision_config": {"hidden_size": 8}}, {}, ("IMAGE_TEXT_TO_TEXT",)),
        (
            {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"},
            {},
            ("AUDIO_TO_TEXT",),
        ),
        ({"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2"}, {}, ("AUDIO_TO_TEXT",)),
        ({"audio_config": {"d_model": 8}}, {}, ("AUDIO_TO_TEXT", "TEXT_TO_TEXT")),
        ({"embd_layer": {"image_embd_layer": {}}, "audio_processor": {"name": "x"}}, {},
         ("IMAGE_TEXT_TO_TEXT", "AUDIO_TO_TEXT")),
        (
            {"architectures": ["NewOmniForConditionalGeneration"], "enable_audio_output": False},
            {},
            ("IMAGE_TEXT_TO_TEXT", "AUDIO_TO_TEXT"),
        ),
        ({}, {"preprocessor_config.json": {"image_processor_type": "NewImageProcessor"}},
         ("IMAGE_TEXT_TO_TEXT",)),
        ({}, {"processor_config.json": {"image_processor": {}, "feature_extractor": {}}},
         ("IMAGE_TEXT_TO_TEXT", "AUDIO_TO_TEXT")),
        ({}, {"preprocessor_config.json": {"feature_extractor_type": "NewFeatureExtractor"}},
         ("AUDIO_TO_TEXT",)),
        ({}, {"README.md": "---\npipeline_tag: text-ranking\n---\n"}, ("RERANK",)),
        ({}, {"README.md": "---\npipeline_tag: feature-extraction\n---\n"}, ("EMBEDDING",)),
        ({}, {"README.md": "---\npipeline_tag: text-generation\n---\n"}, ("TEXT_TO_TEXT",)),
    ],
)  # fmt: skip
def test_capabilities_follow_the_evidence(
    tmp_path: Path, changes: dict[str, Any], files: dict[str, Any], expected: tuple[str, ...]
) -> None:
    config(tmp_path, **changes)
    for name, data in files.items():
        put(tmp_path, name, data)
    assert inspect(tmp_path, name="org/some-model").capabilities == expected


def test_the_context_is_looked_for_beside_the_model_where_it_is_silent(tmp_path: Path) -> None:
    config(tmp_path, max_position_embeddings=None)
    assert inspect(tmp_path).max_tokens == 0
    put(tmp_path, "generation_config.json", {"max_length": 512})
    assert inspect(tmp_path).max_tokens == 512
    put(tmp_path, "tokenizer_config.json", {"model_max_length": 1e30})
    assert inspect(tmp_path).max_tokens == 512
    put(tmp_path, "tokenizer_config.json", {"model_max_length": 4096})
    assert inspect(tmp_path).max_tokens == 4096
    config(tmp_path)
    assert inspect(tmp_path).max_tokens == 131072


def test_the_name_is_the_weakest_evidence(tmp_path: Path) -> None:
    config(tmp_path)
    assert inspect(tmp_path, name="Qwen/Qwen3-Embedding-8B").capabilities == ("EMBEDDING",)
    assert inspect(tmp_path, name="Qwen/Qwen3-Reranker-8B").capabilities == ("RERANK",)
    config(tmp_path, vision_config={"hidden_size": 8})
    assert inspect(tmp_path, name="x-embedding").capabilities == ("IMAGE_TEXT_TO_TEXT",)


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fbgemm_fp8"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        (
            {"quant_method": "compressed-tensors",
             "config_groups": {"g": {"weights": {"type": "float", "num_bits": 8}}}},
            "fp8",
        ),
        (
            {"quant_method": "compressed-tensors",
             "config_groups": {"g": {"weights": {"type": "int", "num_bits": 4}}}},
            "int4",
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
    ],
)  # fmt: skip
def test_quantisation_is_passed_on(
    tmp_path: Path, quantization: dict[str, Any], expected: str
) -> None:
    config(tmp_path, quantization_config=quantization)
    assert inspect(tmp_path).quantization == expected


def test_odd_values_are_survived(tmp_path: Path) -> None:
    text = json.dumps({**LLAMA, "eos_token_id": [1, 2], "num_key_value_heads": "eight"})
    put(tmp_path, "config.json", text[:-1] + ', "limit": Infinity, "x": NaN}')
    assert inspect(tmp_path).architecture == "LlamaForCausalLM"


def test_a_diffusers_pipeline_is_described(tmp_path: Path) -> None:
    index = {
        "_class_name": "FluxPipeline",
        "_diffusers_version": "0.30.0",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "safety_checker": [None, None],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    put(tmp_path, "model_index.json", index)
    put(tmp_path, "vae/config.json", {"model_type": "vae"})
    found = inspect(tmp_path)
    assert found.capabilities == ("TEXT_TO_IMAGE",)
    assert found.architecture == "FluxPipeline"
    assert found.format is not None and found.format.version == "0.30.0"
    assert found.diffusion_pipeline is not None
    assert [c[0] for c in found.diffusion_pipeline.components] == [
        "scheduler", "text_encoder_2", "vae",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("QwenImageEditPlusPipeline", "IMAGE_TEXT_TO_IMAGE"),
        ("QwenImagePipeline", "TEXT_TO_IMAGE"),
        ("WanPipeline", "TEXT_TO_VIDEO"),
        ("WanImageToVideoPipeline", "IMAGE_TEXT_TO_VIDEO"),
        ("LTXPipeline", "TEXT_TO_VIDEO"),
        ("StableDiffusionXLPipeline", "TEXT_TO_IMAGE"),
        ("StableVideoDiffusionPipeline", "IMAGE_TEXT_TO_VIDEO"),
        ("StableAudioPipeline", "TEXT_TO_AUDIO"),
    ],
)
def test_pipelines_are_known_by_their_class(tmp_path: Path, name: str, expected: str) -> None:
    put(tmp_path, "model_index.json", {"_class_name": name})
    assert inspect(tmp_path).capabilities == (expected,)


def test_a_nested_pipeline_does_not_make_a_language_model_one(tmp_path: Path) -> None:
    config(tmp_path)
    put(tmp_path, "extras/model_index.json", {"_class_name": "FluxPipeline"})
    assert inspect(tmp_path).architecture == "LlamaForCausalLM"


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NoModelFound, match=r"no config\.json"):
        inspect(tmp_path)


def test_a_broken_configuration_is_corrupt(tmp_path: Path) -> None:
    put(tmp_path, "config.json", '{"model_type": ')
    with pytest.raises(CorruptModelFile, match=r"config\.json is not valid JSON"):
        inspect(tmp_path)
    put(tmp_path, "config.json", "[" * 100_000)
    with pytest.raises(CorruptModelFile):
        inspect(tmp_path)


def test_a_cut_pytorch_archive_is_noticed(tmp_path: Path) -> None:
    config(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + b"\0" * 1000)
    with pytest.raises(TruncatedModelFile, match=r"pytorch_model\.bin"):
        inspect(tmp_path)
