"""Computed sizes against what publishers and vendors say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ome.sizing import ModelFacts, Shape, weights
from ome.sizing.memory import cache_bytes

LLAMA_8B = Shape(
    layers=32,
    hidden=4096,
    heads=32,
    kv_heads=8,
    head_size=128,
    value_size=128,
    vocabulary=128256,
    intermediate=14336,
    tables=2,
    full_layers=32,
)
LLAMA_70B = Shape(
    layers=80,
    hidden=8192,
    heads=64,
    kv_heads=8,
    head_size=128,
    value_size=128,
    vocabulary=128256,
    intermediate=28672,
    tables=2,
    full_layers=80,
)
LLAMA_405B = Shape(
    layers=126, hidden=16384, heads=128, kv_heads=8, head_size=128, value_size=128, full_layers=126
)
QWEN_7B = Shape(
    layers=28,
    hidden=3584,
    heads=28,
    kv_heads=4,
    head_size=128,
    value_size=128,
    vocabulary=152064,
    tables=2,
    full_layers=28,
)
GPT_OSS = Shape(
    layers=36,
    hidden=2880,
    heads=64,
    kv_heads=8,
    head_size=64,
    value_size=64,
    vocabulary=201088,
    tables=2,
    full_layers=18,
    window_layers=18,
    window=128,
)
DEEPSEEK_V3 = Shape(
    layers=61, hidden=7168, heads=128, kv_heads=128, head_size=192, full_layers=61, latent=576
)


@dataclass(frozen=True)
class Published:
    model: str
    facts: ModelFacts
    size: int
    """Of all safetensors (the index' ``total_size``) or of the GGUF file, in bytes."""
    within: float


PUBLISHED = (
    Published("Llama-3.1-8B", ModelFacts(8_030_261_248, dtype="bfloat16"), 16_060_522_496, 0.0),
    Published("Llama-3.1-70B", ModelFacts(70_553_706_496), 141_107_412_992, 0.0),
    Published("Qwen2.5-7B", ModelFacts(7_615_616_512, dtype="bfloat16"), 15_231_233_024, 0.0),
    Published(
        "Meta-Llama-3.1-8B-Instruct-FP8",
        ModelFacts(8_030_261_248, quantization="fp8", shape=LLAMA_8B),
        9_080_000_000,
        0.01,
    ),
    Published(
        "Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        ModelFacts(8_030_261_248, quantization="awq", shape=LLAMA_8B),
        5_730_000_000,
        0.01,
    ),
    Published(
        "Qwen2.5-7B-Instruct-GPTQ-Int4",
        ModelFacts(7_615_616_512, quantization="gptq", shape=QWEN_7B),
        5_570_000_000,
        0.01,
    ),
    Published(
        "gpt-oss-120b",
        ModelFacts(116_829_156_672, quantization="mxfp4", shape=GPT_OSS),
        65_248_815_744,
        0.03,
    ),
    Published(
        "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
        ModelFacts(8_030_261_248, quantization="Q4_K_M", format="gguf"),
        4_920_734_272,
        0.01,
    ),
    Published(
        "Meta-Llama-3.1-8B-Instruct-Q8_0.gguf",
        ModelFacts(8_030_261_248, quantization="Q8_0", format="gguf"),
        8_540_770_880,
        0.01,
    ),
)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: p.model)
def test_weights_take_what_is_published(published: Published) -> None:
    found = weights(published.facts)
    assert found is not None
    assert abs(found.bytes - published.size) <= published.within * published.size
    assert not found.exact


@pytest.mark.parametrize(
    ("shape", "token"),
    [
        # DeepSeek-AI, "Insights into DeepSeek-V3" (arXiv:2505.09343), table 1
        (DEEPSEEK_V3, 70_272),
        (LLAMA_405B, 516_096),
        # vLLM's and TGI's documentation: 128 KiB and 320 KiB a token
        (LLAMA_8B, 131_072),
        (LLAMA_70B, 327_680),
    ],
)
def test_a_token_takes_what_is_published(shape: Shape, token: int) -> None:
    assert cache_bytes(shape, 1, 1) == token
    assert cache_bytes(shape, 1000, 3) == 3000 * token


def test_layers_with_a_window_stop_growing_at_the_window() -> None:
    short, long = cache_bytes(GPT_OSS, 128, 1), cache_bytes(GPT_OSS, 1_000_000, 1)
    assert short == 128 * 36 * 2 * 8 * 64 * 2
    assert long == (1_000_000 * 18 + 128 * 18) * 2 * 8 * 64 * 2


def test_a_state_takes_the_same_however_long_the_text() -> None:
    mamba = Shape(layers=48, hidden=2560, state_layers=48, state=5120 * 16 + 5120 * 3)
    assert cache_bytes(mamba, 1, 4) == cache_bytes(mamba, 1_000_000, 4) == 4 * 48 * 5120 * 19 * 4


def test_more_gpus_than_key_heads_keep_a_head_each() -> None:
    assert cache_bytes(LLAMA_8B, 1, 1, tensor=8) == 131_072 // 8
    assert cache_bytes(LLAMA_8B, 1, 1, tensor=16) == 131_072 // 8
    assert cache_bytes(DEEPSEEK_V3, 1, 1, tensor=8) == 70_272


def test_the_size_of_the_files_counts_more_than_arithmetic() -> None:
    facts = ModelFacts(8_030_261_248, weight_bytes=5_000, quantization="awq")
    found = weights(facts)
    assert found is not None and (found.bytes, found.exact) == (5_000, True)


@pytest.mark.parametrize(
    ("facts", "options", "size"),
    [
        (ModelFacts(weight_bytes=4000, dtype="float32"), {}, 2000),
        (ModelFacts(weight_bytes=4000, dtype="float32"), {"dtype": "float32"}, 4000),
        (ModelFacts(weight_bytes=4000, dtype="float32", format="gguf"), {}, 4000),
        (ModelFacts(1000, dtype="float32"), {}, 2000),
        (ModelFacts(1000, weight_bytes=2000), {"quantize": "fp8"}, 1000),
        (ModelFacts(1000, weight_bytes=600, quantization="awq"), {"quantize": "awq"}, 600),
        (ModelFacts(1000), {"quantize": "nobody-knows"}, 2000),
    ],
)
def test_what_an_engine_makes_of_the_weights_as_it_loads_them(
    facts: ModelFacts, options: dict[str, str], size: int
) -> None:
    found = weights(facts, **options)
    assert found is not None and found.bytes == pytest.approx(size, rel=0.001)


def test_unknown_words_make_unknown_sizes() -> None:
    assert weights(ModelFacts()) is None
    assert weights(ModelFacts(10**9, quantization="secret-scheme")) is None
