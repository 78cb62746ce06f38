"""Metadata of real configurations against what their publishers say.

The configurations are shared beside the repository, not in it. Where they are absent the test says
so and fails if it was asked for by name.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.corpus import corpus

from ome.artifacts import ModelMetadata, inspect

CORPUS = corpus.ROOT / "model-configs"

TEXT, SEES, EMBEDS, SCORES = "TEXT_TO_TEXT", "IMAGE_TEXT_TO_TEXT", "EMBEDDING", "RERANK"

# file: (architecture, capability, parameters as counted in the published weights)
PUBLISHED: dict[str, tuple[str, str, float]] = {
    "baichuan2_7b": ("BaichuanForCausalLM", TEXT, 7_505_973_248),
    "chatglm3_6b": ("ChatGLMModel", TEXT, 6_243_584_032),
    "command_r_35b": ("CohereForCausalLM", TEXT, 34_980_831_232),
    "deepseek_vl2_tiny": ("DeepseekVLV2ForCausalLM", SEES, 3.37e9),
    "exaone_7.8b": ("ExaoneForCausalLM", TEXT, 7_818_448_896),
    "gemma3_text": ("Gemma3ForCausalLM", TEXT, 999_885_952),
    "gemma_2_2b_it": ("Gemma2ForCausalLM", TEXT, 2_614_341_888),
    "gemma_7b": ("GemmaForCausalLM", TEXT, 8_537_680_896),
    "gpt_oss_120b": ("GptOssForCausalLM", TEXT, 116_829_156_672),
    "gte_qwen2_7b": ("Qwen2ForCausalLM", EMBEDS, 7.61e9),
    "internlm2_reward": ("InternLM2ForRewardModel", SCORES, 7.36e9),
    "kimi_k2_instruct": ("DeepseekV3ForCausalLM", TEXT, 1_026_408_232_448),
    "llama3_1": ("LlamaForCausalLM", TEXT, 70_553_706_496),
    "llama3_2_11b_vision": ("MllamaForConditionalGeneration", SEES, 10_642_941_475),
    "llama3_2_3b": ("LlamaForCausalLM", TEXT, 3_212_749_824),
    "llama4": ("Llama4ForConditionalGeneration", SEES, 401_583_781_376),
    "llava_1.5_7b_hf": ("LlavaForConditionalGeneration", SEES, 7_063_427_072),
    "minicpm3_4b": ("MiniCPM3ForCausalLM", TEXT, 4.07e9),
    "mistral_7b_instruct": ("MistralForCausalLM", TEXT, 7_241_732_096),
    "phi3": ("Phi3ForCausalLM", TEXT, 3_821_079_552),
    "phi3small": ("Phi3SmallForCausalLM", TEXT, 7_392_272_384),
    "qwen2.5_0.5b": ("Qwen2ForCausalLM", TEXT, 494_032_768),
    "qwen2.5_14b": ("Qwen2ForCausalLM", TEXT, 14_770_033_664),
    "qwen2.5_3b": ("Qwen2ForCausalLM", TEXT, 3_085_938_688),
    "qwen2.5_7b": ("Qwen2ForCausalLM", TEXT, 7_615_616_512),
    "qwen2_7b": ("Qwen2ForCausalLM", TEXT, 7_615_616_512),
    "qwen2_vl_7b": ("Qwen2VLForConditionalGeneration", SEES, 8_291_375_616),
    "qwen3_4b": ("Qwen3ForCausalLM", TEXT, 4_022_468_096),
    "qwen3_embedding_8b": ("Qwen3ForCausalLM", EMBEDS, 7_567_295_488),
    "qwen3_vl_2b_instruct": ("Qwen3VLForConditionalGeneration", SEES, 2_127_532_032),
    "qwen_7b": ("QWenLMHeadModel", TEXT, 7_721_324_544),
    "smollm_1.7b": ("LlamaForCausalLM", TEXT, 1_711_376_384),
    "xverse_7b": ("XverseForCausalLM", TEXT, 7.3e9),
}
# Files whose fields are not those of the published model: nothing to compare a count with.
#   dbrx_132b: 48 layers and 12 key heads, published are 40 and 8
#   qwen3_5_35b_a3b: 128 experts in 48 layers and no linear attention, published are 256 in 40
ALTERED = {
    "dbrx_132b": ("DbrxForCausalLM", TEXT),
    "qwen3_5_35b_a3b": ("Qwen3_5MoeForConditionalGeneration", SEES),
}


def require_corpus() -> None:
    if not CORPUS.is_dir():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")


def describe(name: str, tmp_path: Path) -> ModelMetadata:
    require_corpus()
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(CORPUS / f"{name}.json", folder / "config.json")
    return inspect(folder)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_configuration_gives_the_published_facts(name: str, tmp_path: Path) -> None:
    architecture, capability, parameters = PUBLISHED[name]
    found = describe(name, tmp_path)
    assert found.architecture == architecture
    assert found.capabilities == (capability,)
    assert abs(found.parameter_count / parameters - 1) < 0.01
    assert found.max_tokens > 0


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_configuration_is_described_as_it_stands(name: str, tmp_path: Path) -> None:
    found = describe(name, tmp_path)
    assert (found.architecture, found.capabilities) == (ALTERED[name][0], (ALTERED[name][1],))
    assert found.parameter_count > 10**10


def test_every_file_of_the_corpus_is_compared_and_the_errors_are_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_corpus()
    assert {p.stem for p in CORPUS.glob("*.json")} == set(PUBLISHED) | set(ALTERED)
    errors = sorted(
        abs(describe(name, tmp_path).parameter_count / count - 1)
        for name, (_, _, count) in PUBLISHED.items()
    )
    exact = sum(1 for e in errors if e < 1e-5)
    with capsys.disabled():
        print(
            f"\nparameter counts of {len(errors)} configurations: {exact} within 0.001 %, "
            f"median error {errors[len(errors) // 2]:.4%}, worst {errors[-1]:.3%}"
        )
    assert errors[-1] < 0.01
