"""What code knows about a family of models and its configuration does not say.

Only properties of model *types*, as transformers implements them, never sizes of single models:
whether the output layer shares the embedding when the configuration is silent, whether the MLP has
a gate, where biases are. ``DEFAULTS`` are the defaults of configuration classes, needed because a
saved sub-configuration leaves out every value that equals its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


TIED_BY_DEFAULT: Final = _types("""
    gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text gemma4 gemma4_text cohere cohere2 command-r
    gpt2 gpt_bigcode bloom opt falcon mpt starcoder2 minicpm minicpm3 phi3small t5 mt5 bart mbart
    whisper marian pegasus bert roberta xlm-roberta distilbert albert electra deberta deberta-v2
    mamba recurrent_gemma smollm3 lfm2 lfm2_moe granitemoehybrid openelm
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
"""Norms on queries and keys."""

FOUR_NORMS: Final = _types("gemma2 gemma3 gemma3_text gemma3n_text glm4")

HALF_INTERMEDIATE: Final = _types("qwen")
"""The field counts gate and value together."""

ONE_SHARED_EXPERT: Final = _types("llama4 llama4_text")
"""A shared expert of the routed experts' size, which no field says."""

LEARNED_POSITIONS: Final = _types("""
    gpt2 gpt_bigcode gpt_neo opt bert roberta xlm-roberta distilbert electra whisper bart mbart
""")

GATED_VISION: Final = _types("pixtral qwen2_5_vl")
"""Vision towers whose MLP has a gate."""

ENCODERS: Final = _types("""
    bert roberta xlm-roberta xlm_roberta distilbert albert electra deberta deberta-v2 mpnet
    nomic_bert new modernbert jina_bert camembert xlm-roberta-xl eurobert
""")

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

_LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
_GEMMA = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": _LLAMA,
    "mistral": {
        **_LLAMA,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
    "qwen2": {**_LLAMA, "intermediate_size": 22016, "vocab_size": 151936},
    "gemma": {
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "vocab_size": 256000,
        "max_position_embeddings": 8192,
    },
    "gemma2": {
        **_GEMMA,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "vocab_size": 256000,
        "max_position_embeddings": 8192,
    },
    "gemma3_text": {
        **_GEMMA,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    },
    "clip_vision_model": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
    },
    "siglip_vision_model": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
    },
    "pixtral": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 1024,
        "patch_size": 16,
    },
    "qwen2_5_vl": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
    },
}
