"""What real configurations take: what artifacts read, put through the arithmetic of sizing."""

from __future__ import annotations

import json

import pytest
from tests.corpus.test_model_configs import CORPUS, PUBLISHED, require_corpus

from ome.artifacts import estimate_parameters, shape
from ome.sizing import ModelFacts, Shape, weights
from ome.sizing.memory import cache_bytes

# Bytes that a token takes in 16 bits, as publishers and the engines' documentation say.
TOKEN = {
    "llama3_1": 327_680,
    "llama3_2_3b": 114_688,
    "kimi_k2_instruct": 70_272,
    "qwen2.5_7b": 57_344,
    "qwen3_4b": 147_456,
    "mistral_7b_instruct": 131_072,
    "command_r_35b": 1_310_720,
    "gpt_oss_120b": 73_728,
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_real_configurations_have_a_shape_and_a_size(name: str) -> None:
    require_corpus()
    config = json.loads((CORPUS / f"{name}.json").read_text())
    found = Shape.of(shape(config))
    assert found is not None and found.known_cache
    parameters = estimate_parameters(config, without_head="embedding" in name)
    assert found.embedding_parameters < parameters
    taken = weights(ModelFacts(parameters, shape=found))
    assert taken is not None
    assert taken.bytes == pytest.approx(2 * PUBLISHED[name][2], rel=0.01)
    if name in TOKEN:
        assert cache_bytes(found, 1, 1) == TOKEN[name]
