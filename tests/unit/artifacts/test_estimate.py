"""Parameter counts from configurations alone, against counts that others made.

``published.jsonl``: configurations of public models in the words of their publishers, and the
counts of their weights. ``counted.jsonl``: configurations with sizes of their own, one or more for
each family, as transformers 5.24 saves them, and the parameters of the model that it builds from
them (on its ``meta`` device, so without memory for the weights).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ome.artifacts.estimate import estimate_parameters
from ome.artifacts.shape import shape

HERE = Path(__file__).parent


def cases(name: str) -> list[Any]:
    lines = (HERE / name).read_text().splitlines()
    return [pytest.param(case, id=case["name"]) for case in map(json.loads, lines)]


@pytest.mark.parametrize("case", cases("published.jsonl"))
def test_a_published_model_is_counted_within_one_per_cent(case: dict[str, Any]) -> None:
    assert estimate_parameters(case["config"]) == pytest.approx(case["count"], rel=0.01)


@pytest.mark.parametrize("case", cases("counted.jsonl"))
def test_any_sizes_of_a_family_are_counted_within_one_per_cent(case: dict[str, Any]) -> None:
    assert estimate_parameters(case["config"]) == pytest.approx(case["count"], rel=0.01)


BASE: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4,
    "num_attention_heads": 16, "vocab_size": 1000, "rms_norm_eps": 1e-6, "hidden_act": "silu",
}  # fmt: skip
TABLE = 1000 * 1024


@pytest.mark.parametrize(
    ("version", "inner", "outer", "tied"),
    [
        ("4.40.0", True, None, True),
        ("4.40.0", None, False, False),
        ("4.40.0", True, False, False),
        ("4.40.0", False, True, False),
        ("4.40.0", None, None, False),
        ("5.0.0", True, False, False),
        ("5.0.0", False, True, True),
        ("5.0.0", True, None, True),
        ("", True, None, True),
    ],
)
def test_whether_the_output_is_the_embedding_is_said_in_two_places(
    version: str, inner: bool | None, outer: bool | None, tied: bool
) -> None:
    text = {**BASE, "tie_word_embeddings": inner}
    config = {"model_type": "llava", "transformers_version": version, "text_config": text,
              "tie_word_embeddings": outer}  # fmt: skip
    plain = estimate_parameters({**BASE, "tie_word_embeddings": True})
    assert estimate_parameters(config) == plain + (0 if tied else TABLE)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": [4] * 3 + ["x"]},
        {"hidden_size": -5},
        {"hidden_size": 1e300},
        {"intermediate_size": "wide"},
        {"layer_types": {"0": "full_attention"}},
        {"block_configs": [None, 7, {"attention": 3, "ffn": []}]},
        {"per_layer_config": {"00": 5}},
        {"linear_attn_config": {"kda_layers": "all"}},
        {"moe_intermediate_size": [[1], None], "num_experts": [8, 8]},
        {"embd_layer": {"image_embd_layer": None}, "vision_lora": {"r": "much"}},
        {"vision_config": {"params": 5, "model_name": "siglip_large"}},
        {"audio_config": {"config": {"num_blocks": 2}}},
        {"gen_head_config": {"params": []}},
        {"talker_config": {"text_config": {}, "code_predictor_config": {"hidden_size": 8}}},
        {"token2wav_config": {"bigvgan_config": {"upsample_kernel_sizes": ["a", 3]}},
         "talker_config": {"hidden_size": 8}},
        {"downsample_ratio": 1e-200, "vision_config": {"hidden_size": 8, "num_hidden_layers": 2}},
        {"num_mem_blocks": 10**18, "model_type": "zamba2"},
        {"is_encoder_decoder": True, "encoder_layers": 10**12},
    ],
)  # fmt: skip
def test_hostile_values_never_end_in_an_error(changes: dict[str, Any]) -> None:
    assert estimate_parameters({**BASE, **changes}) >= 0


GARBAGE: list[Any] = [
    None, True, -1, 0, 1, 7, 10**30, 2.5, -0.1, 1e308, float("nan"), float("inf"), "", "x" * 50,
    [], [0], [None, "a"], [1, 2, 3], [[2]], {}, {"a": 1}, {"hidden_size": 8, "num_layers": 3},
]  # fmt: skip


def spoil(value: Any, rng: random.Random) -> Any:
    """The same with a few values replaced by something else, at any depth."""
    if isinstance(value, dict):
        return {k: spoil(v, rng) for k, v in value.items()}
    return rng.choice(GARBAGE) if rng.random() < 0.08 else value


@pytest.mark.parametrize("name", ["published.jsonl", "counted.jsonl"])
def test_spoiled_configurations_never_end_in_an_error(name: str) -> None:
    for line in (HERE / name).read_text().splitlines():
        case = json.loads(line)
        for seed in range(8):
            config = spoil(case["config"], random.Random(f"{case['name']} {seed}"))
            count = estimate_parameters(config)
            assert isinstance(count, int) and count >= 0, (case["name"], seed)
            assert all(value >= 0 for value in shape(config).values()), (case["name"], seed)
