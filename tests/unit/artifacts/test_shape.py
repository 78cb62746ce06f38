"""The dimensions that decide about memory, out of configurations and GGUF headers."""

from __future__ import annotations

from typing import Any

import pytest

from ome.artifacts.gguf import GGUFHeader
from ome.artifacts.shape import gguf_shape, shape

BASE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 1000,
    "intermediate_size": 4096,
}


def kept(**changes: Any) -> tuple[int, int, int, int, int]:
    found = shape({**BASE, **changes})
    names = ("full_layers", "window_layers", "window", "state_layers", "state")
    return tuple(found.get(name, 0) for name in names)  # type: ignore[return-value]


def test_a_plain_transformer_keeps_keys_in_every_layer() -> None:
    assert shape(BASE) == {
        "layers": 12, "hidden": 1024, "heads": 16, "kv_heads": 4, "head_size": 64,
        "value_size": 64, "vocabulary": 1000, "intermediate": 4096, "tables": 2,
        "full_layers": 12,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sliding_window": 4096}, (0, 12, 4096, 0, 0)),
        ({"sliding_window": 4096, "use_sliding_window": False}, (12, 0, 0, 0, 0)),
        ({"sliding_window": 64, "use_sliding_window": True, "max_window_layers": 8},
         (8, 4, 64, 0, 0)),
        ({"model_type": "gemma2", "sliding_window": 64}, (6, 6, 64, 0, 0)),
        ({"model_type": "gemma3_text", "sliding_window": 64}, (2, 10, 64, 0, 0)),
        ({"sliding_window": 64, "sliding_window_pattern": 4}, (3, 9, 64, 0, 0)),
        ({"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"] * 6},
         (6, 6, 64, 0, 0)),
        ({"num_kv_shared_layers": 5}, (7, 0, 0, 0, 0)),
        ({"model_type": "bert"}, (0, 0, 0, 0, 0)),
        ({"full_attention_interval": 4, "linear_num_value_heads": 8, "linear_num_key_heads": 4,
          "linear_key_head_dim": 16, "linear_value_head_dim": 32},
         (3, 0, 0, 9, 8 * 32 * 16 + (2 * 4 * 16 + 8 * 32) * 3)),
        ({"hybrid_override_pattern": "MM*E" * 3, "mamba_num_heads": 8, "mamba_head_dim": 64,
          "ssm_state_size": 128, "n_groups": 2, "conv_kernel": 4},
         (3, 0, 0, 6, 512 * 128 + (512 + 2 * 2 * 128) * 3)),
        ({"model_type": "falcon_h1", "mamba_n_heads": 4, "mamba_d_head": 64, "mamba_d_state": 16,
          "mamba_d_conv": 4}, (12, 0, 0, 12, 256 * 16 + (256 + 32) * 3)),
        ({"layer_types": ["conv", "full_attention"] * 6, "conv_L_cache": 3},
         (6, 0, 0, 6, 1024 * 2)),
    ],
)  # fmt: skip
def test_what_each_layer_keeps(changes: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert kept(**changes) == expected


def test_a_pure_state_space_model_keeps_no_keys() -> None:
    config = {
        "model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "state_size": 16,
        "conv_kernel": 4, "expand": 2, "vocab_size": 50280,
    }  # fmt: skip
    found = shape(config)
    assert "full_layers" not in found
    assert (found["state_layers"], found["state"]) == (24, 1536 * 16 + 1536 * 3)


def test_compressed_keys_are_kept_compressed_where_engines_do_so() -> None:
    waist = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
             "v_head_dim": 96}  # fmt: skip
    assert shape({**BASE, **waist, "model_type": "deepseek_v3"})["latent"] == 576
    other = shape({**BASE, **waist, "model_type": "minicpm3"})
    assert "latent" not in other
    assert (other["head_size"], other["value_size"]) == (192, 96)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_hidden_layers": 12},
        {**BASE, "num_hidden_layers": 10**9},
        {**BASE, "hidden_size": "wide"},
        {**BASE, "is_encoder_decoder": True},
    ],
)
def test_where_too_little_is_said_there_is_no_shape(config: dict[str, Any]) -> None:
    assert shape(config) == {}


def gguf(kind: str, **values: Any) -> dict[str, int]:
    named = {f"{kind}.{key.replace('__', '.')}": value for key, value in values.items()}
    return gguf_shape(
        GGUFHeader(
            "m.gguf",
            3,
            {"general.architecture": kind, **named},
            {"tokenizer.ggml.tokens": 1000},
            1,
            1,
            {},
            frozenset({"token_embd.weight"}),
        )
    )


def test_gguf_says_the_same_in_other_words() -> None:
    found = gguf(
        "llama", block_count=12, embedding_length=1024, attention__head_count=16,
        attention__head_count_kv=4, feed_forward_length=4096,
    )  # fmt: skip
    assert found == {**shape(BASE), "tables": 1}


def test_gguf_may_count_heads_for_each_layer() -> None:
    found = gguf(
        "lfm2", block_count=4, embedding_length=64, attention__head_count=8,
        attention__head_count_kv=(0, 4, 0, 4), ssm__inner_size=64, ssm__state_size=8,
        ssm__conv_kernel=4,
    )  # fmt: skip
    assert (found["full_layers"], found["kv_heads"]) == (2, 4)
    assert (found["state_layers"], found["state"]) == (2, 64 * 8 + 64 * 3)


def test_gguf_with_windows() -> None:
    found = gguf(
        "gemma3", block_count=12, embedding_length=64, attention__head_count=8,
        attention__key_length=256, attention__sliding_window=512,
    )  # fmt: skip
    assert (found["full_layers"], found["window_layers"], found["window"]) == (2, 10, 512)
    assert found["head_size"] == 256
