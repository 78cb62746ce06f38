"""What code knows about a family of models and its configuration does not say.

Only properties of model *types*, as transformers implements them, never sizes of single models:
whether the output layer shares the embedding when the configuration is silent, whether the MLP has
a gate, where biases are. ``DEFAULTS`` are the defaults of configuration classes, needed because a
saved sub-configuration leaves out every value that equals its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TIED_BY_DEFAULT: Final = frozenset(
    [
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "gemma3n",
        "gemma3n_text",
        "gemma4",
        "gemma4_text",
        "cohere",
        "cohere2",
        "command-r",
        "gpt2",
        "gpt_bigcode",
        "bloom",
        "opt",
        "falcon",
        "mpt",
        "starcoder2",
        "minicpm",
        "minicpm3",
        "phi3small",
        "t5",
        "mt5",
        "bart",
        "mbart",
        "whisper",
        "marian",
        "pegasus",
        "bert",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "albert",
        "electra",
        "deberta",
        "deberta-v2",
        "mamba",
        "recurrent_gemma",
        "smollm3",
        "lfm2",
        "lfm2_moe",
        "codegen_tied",
        "granitemoehybrid",
        "openelm",
    ]
)
"""Output layer = embedding, unless the configuration says otherwise."""

PLAIN_MLP: Final = frozenset(
    [
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "bloom",
        "opt",
        "falcon",
        "mpt",
        "phi",
        "starcoder2",
        "codegen",
        "t5_plain",
        "bert",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "albert",
        "electra",
        "deberta",
        "deberta-v2",
        "nemotron",
        "persimmon",
        "fuyu",
        "whisper",
        "bart",
        "mbart",
        "marian",
        "stablelm_epoch",
        "clip_vision_model",
        "siglip_vision_model",
        "vit",
        "llama4_vision_model",
        "mllama_vision_model",
        "qwen2_vl",
        "qwen3_vl",
        "qwen3_5",
    ]
)
"""Two matrices in the MLP instead of three."""

QKV_BIAS: Final = frozenset(["qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "chatglm"])
"""Bias on queries, keys and values, which no field says."""

QK_NORM: Final = frozenset(
    [
        "qwen3",
        "qwen3_moe",
        "qwen3_vl_text",
        "qwen3_vl_moe_text",
        "qwen3_next",
        "qwen3_5_text",
        "qwen3_5_moe_text",
        "gemma3",
        "gemma3_text",
    ]
)
FOUR_NORMS: Final = frozenset(["gemma2", "gemma3", "gemma3_text", "gemma3n_text", "glm4"])

HALF_INTERMEDIATE: Final = frozenset({"qwen"})
"""The field counts gate and value together."""

ONE_SHARED_EXPERT: Final = frozenset({"llama4", "llama4_text"})
"""A shared expert of the routed experts' size, which no field says."""

LEARNED_POSITIONS: Final = frozenset(
    [
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "opt",
        "bert",
        "roberta",
        "xlm-roberta",
        "distilbert",
        "electra",
        "whisper",
        "bart",
        "mbart",
    ]
)

ENCODERS: Final = frozenset(
    [
        "bert",
        "roberta",
        "xlm-roberta",
        "xlm_roberta",
        "distilbert",
        "albert",
        "electra",
        "deberta",
        "deberta-v2",
        "mpnet",
        "nomic_bert",
        "new",
        "modernbert",
        "jina_bert",
        "camembert",
        "xlm-roberta-xl",
        "eurobert",
    ]
)

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
