"""What code knows about a family of models and its configuration does not say.

Only properties of model *types*, as transformers implements them, never sizes of single models:
whether the output layer shares the embedding when the configuration is silent, whether the MLP has
a gate, where biases are. What configuration classes assume is in :mod:`ome.artifacts.defaults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


TIED_BY_DEFAULT: Final = _types("""
    gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text gemma4 gemma4_text cohere cohere2 command-r
    gpt2 gpt_bigcode bloom opt falcon mpt starcoder2 minicpm minicpm3 phi3small t5 umt5 bart mbart
    whisper marian pegasus bert roberta xlm-roberta distilbert albert electra deberta deberta-v2
    mamba recurrent_gemma smollm3 lfm2 lfm2_moe granitemoehybrid openelm zamba zamba2 ernie4_5
    xlm_roberta camembert mpnet nomic_bert
    phi4mm modernbert hunyuan_v1_dense
""")
"""Output layer = embedding, unless the configuration says otherwise."""

PLAIN_MLP: Final = _types("""
    gpt2 gpt_bigcode gpt_neo gpt_neox gptj bloom opt falcon mpt phi starcoder2 codegen bert roberta
    xlm-roberta distilbert albert electra deberta deberta-v2 nemotron persimmon fuyu whisper bart
    mbart marian
""")
"""Two matrices in the MLP instead of three."""

QKV_BIAS: Final = _types("qwen qwen2 qwen2_moe qwen2_vl qwen2_5_vl chatglm")
"""Bias on queries, keys and values, which no field says."""

QK_NORM: Final = _types("""
    qwen3 qwen3_moe qwen3_vl_text qwen3_vl_moe_text qwen3_next qwen3_5_text qwen3_5_moe_text
    gemma3 gemma3_text
""")

OUTPUT_GATE: Final = _types("qwen3_next qwen3_5_text qwen3_5_moe_text")
"""Attention gates its output: the projection of the queries is twice as wide."""
"""Norms on queries and keys."""

FOUR_NORMS: Final = _types("gemma2 gemma3 gemma3_text gemma3n_text glm4")

HALF_INTERMEDIATE: Final = _types("qwen recurrent_gemma")
"""The field counts gate and value together."""

ONE_SHARED_EXPERT: Final = _types("llama4 llama4_text")
"""A shared expert of the routed experts' size, which no field says."""

DENSE_BESIDE_EXPERTS: Final = _types("arctic")
"""A dense network beside the experts of each layer."""

DOUBLE_LAYERS: Final = _types("longcat_flash")
"""Each layer has two attentions and two dense networks beside its experts."""

SHARED_TRANSFORMER: Final = _types("zamba zamba2")

T5_LIKE: Final = _types("t5 mt5 umt5 longt5 switch_transformers")

LEARNED_POSITIONS: Final = _types("""
    gpt2 gpt_bigcode gpt_neo opt bert roberta xlm-roberta camembert mpnet distilbert electra albert
    whisper bart mbart pegasus blenderbot plbart
""")

GATED_VISION: Final = _types("""
    pixtral qwen2_5_vl qwen2_5_vl_vision qwen2_5_omni_vision_encoder qwen2_5_omni_thinker
""")
"""Vision towers whose MLP has a gate."""

GLM_VISION: Final = ("glm4v", "glm46v", "glm_ocr", "glmga")
"""Beginnings of the types with GLM's vision tower."""

KNOWN_TOWERS: Final[Mapping[str, Mapping[str, int]]] = {
    name: dict(
        zip(
            ("hidden_size", "num_hidden_layers", "intermediate_size", "patch_size", "image_size"),
            sizes,
            strict=True,
        )
    )
    for name, sizes in {
        "siglip-so400m": (1152, 27, 4304, 14, 384),
        "siglip-large": (1024, 24, 4096, 16, 384),
        "siglip-base": (768, 12, 3072, 16, 384),
        "clip-vit-large": (1024, 24, 4096, 14, 336),
        "clip-vit-base": (768, 12, 3072, 32, 224),
    }.items()
} | {"mobilenetv5-300m": {"parameters": 294_126_912, "hidden_size": 2048}}
"""Vision encoders that configurations name without their sizes."""

ENCODERS: Final = _types("""
    bert roberta xlm-roberta xlm_roberta distilbert albert electra deberta deberta-v2 mpnet
    nomic_bert new modernbert jina_bert camembert xlm-roberta-xl eurobert
""")

NO_POOLER: Final = _types("""
    distilbert electra deberta deberta-v2 modernbert nomic_bert new eurobert jina_bert
""")
"""Encoders that end with their last layer."""

GATED_MLP: Final = _types("modernbert nomic_bert new eurobert jina_bert bitnet")
"""Three matrices, although the activation's name says two."""

NO_POSITIONS: Final = _types("modernbert nomic_bert new eurobert jina_bert deberta-v2")

LATENT_CACHE: Final = _types("""
    deepseek_v2 deepseek_v3 deepseek_v32 deepseek_mtp kimi_k2 kimi_k25 kimi_linear longcat_flash
    pangu_ultra_moe glm4_moe_lite glm_moe_dsa
""")
"""Engines keep the compressed vector of a token, not the keys and values made of it."""

WINDOW_PERIOD: Final[Mapping[str, int]] = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "cohere2": 4,
    "gpt_oss": 2,
    "llama4": 4,
    "llama4_text": 4,
}
"""Every how many layers one attends to everything, where no field says."""

CLASS_OF: Final[Mapping[str, str]] = {
    "deepseek_vl_v2": "DeepseekVLV2ForCausalLM",
    "multi_modality": "MultiModalityCausalLM",
}
"""The class of types whose configurations do not name one."""
