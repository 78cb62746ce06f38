"""What configuration classes assume where a saved configuration is silent.

A sub-configuration is saved without the values that equal the defaults of its class, so that a file
can describe a tower by ``model_type`` alone. These are the dimensions that the classes of
transformers assume, by type; defaults that follow from other fields (a head's size, key heads) are
not here, because they are computed. Nothing here belongs to a single model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


def _table(text: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for word in text.split():
        if word.endswith(":"):
            entry = found[word[:-1]] = {}
        else:
            name, _, value = word.partition("=")
            numbers = [int(part) for part in value.split(",")]
            entry[name] = numbers if len(numbers) > 1 else numbers[0]
    return found


TEXT: Final[Mapping[str, Mapping[str, Any]]] = _table("""
bert: hidden_size=768 intermediate_size=3072 num_hidden_layers=12 num_attention_heads=12
    vocab_size=30522 max_position_embeddings=512 type_vocab_size=2
cohere: hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64
    vocab_size=256000 max_position_embeddings=8192
cohere2: hidden_size=8192 intermediate_size=22528 num_hidden_layers=40 num_attention_heads=64
    vocab_size=256000 max_position_embeddings=8192
ernie4_5: hidden_size=1024 intermediate_size=3072 num_hidden_layers=18 num_attention_heads=16
    num_key_value_heads=2 head_dim=128 vocab_size=103424 max_position_embeddings=131072
gemma: hidden_size=3072 intermediate_size=24576 num_hidden_layers=28 num_attention_heads=16
    num_key_value_heads=16 head_dim=256 vocab_size=256000 max_position_embeddings=8192
gemma2: hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8
    num_key_value_heads=4 head_dim=256 vocab_size=256000 max_position_embeddings=8192
gemma3_text: hidden_size=2304 intermediate_size=9216 num_hidden_layers=26 num_attention_heads=8
    num_key_value_heads=4 head_dim=256 vocab_size=262208 max_position_embeddings=131072
gemma3n_text: hidden_size=2048 num_hidden_layers=35 num_attention_heads=8 num_key_value_heads=2
    head_dim=256 vocab_size=262400 max_position_embeddings=32768 hidden_size_per_layer_input=256
    vocab_size_per_layer_input=262144 laurel_rank=64 altup_num_inputs=4
gemma4_text: hidden_size=2304 intermediate_size=9216 num_hidden_layers=30 num_attention_heads=8
    num_key_value_heads=4 head_dim=256 vocab_size=262144 max_position_embeddings=131072
    hidden_size_per_layer_input=256 vocab_size_per_layer_input=262144
glm4v_moe_text: hidden_size=4096 intermediate_size=10944 num_hidden_layers=46
    num_attention_heads=96 num_key_value_heads=8 vocab_size=151424 max_position_embeddings=65536
    moe_intermediate_size=1408 first_k_dense_replace=1 n_shared_experts=1 n_routed_experts=128
glm4v_text: hidden_size=4096 intermediate_size=13696 num_hidden_layers=40 num_attention_heads=32
    num_key_value_heads=2 vocab_size=151552 max_position_embeddings=32768
gpt2: n_embd=768 n_layer=12 n_head=12 vocab_size=50257 n_positions=1024
granite: hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
    vocab_size=32000 max_position_embeddings=2048
lfm2: hidden_size=2560 intermediate_size=12288 num_hidden_layers=32 num_attention_heads=32
    num_key_value_heads=8 vocab_size=65536 max_position_embeddings=128000 conv_L_cache=3
llama: hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
    vocab_size=32000 max_position_embeddings=2048
llama4_text: hidden_size=5120 intermediate_size=8192 num_hidden_layers=48 num_attention_heads=40
    num_key_value_heads=8 head_dim=128 vocab_size=202048 max_position_embeddings=131072
    num_local_experts=16 intermediate_size_mlp=16384 interleave_moe_layer_step=1
mistral: hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
    num_key_value_heads=8 vocab_size=32000 max_position_embeddings=131072
mixtral: hidden_size=4096 intermediate_size=14336 num_hidden_layers=32 num_attention_heads=32
    num_key_value_heads=8 vocab_size=32000 max_position_embeddings=131072 num_local_experts=8
mllama_text_model: hidden_size=4096 intermediate_size=14336 num_hidden_layers=40
    num_attention_heads=32 num_key_value_heads=8 vocab_size=128256
    max_position_embeddings=131072
olmo2: hidden_size=4096 intermediate_size=11008 num_hidden_layers=32 num_attention_heads=32
    vocab_size=50304 max_position_embeddings=2048
opt: hidden_size=768 ffn_dim=3072 num_hidden_layers=12 num_attention_heads=12 vocab_size=50272
    max_position_embeddings=2048 word_embed_proj_dim=768
phi: hidden_size=2048 intermediate_size=8192 num_hidden_layers=24 num_attention_heads=32
    vocab_size=51200 max_position_embeddings=2048
phi3: hidden_size=3072 intermediate_size=8192 num_hidden_layers=32 num_attention_heads=32
    vocab_size=32064 max_position_embeddings=4096
qwen2: hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32
    num_key_value_heads=32 vocab_size=151936 max_position_embeddings=32768
qwen2_5_vl_text: hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8 vocab_size=152064 max_position_embeddings=32768
qwen2_moe: hidden_size=2048 intermediate_size=5632 num_hidden_layers=24 num_attention_heads=16
    num_key_value_heads=16 vocab_size=151936 max_position_embeddings=32768 num_experts=60
    moe_intermediate_size=1408 shared_expert_intermediate_size=5632
qwen2_vl_text: hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8 vocab_size=152064 max_position_embeddings=32768
qwen3: hidden_size=4096 intermediate_size=22016 num_hidden_layers=32 num_attention_heads=32
    num_key_value_heads=32 head_dim=128 vocab_size=151936 max_position_embeddings=32768
qwen3_5_moe_text: hidden_size=2048 num_hidden_layers=40 num_attention_heads=16
    num_key_value_heads=2 head_dim=256 vocab_size=248320 max_position_embeddings=32768
    num_experts=256 moe_intermediate_size=512 shared_expert_intermediate_size=512
    linear_num_key_heads=16 linear_key_head_dim=128 linear_num_value_heads=32
    linear_value_head_dim=128 linear_conv_kernel_dim=4
qwen3_5_text: hidden_size=4096 intermediate_size=12288 num_hidden_layers=32
    num_attention_heads=16 num_key_value_heads=4 head_dim=256 vocab_size=248320
    max_position_embeddings=32768 linear_num_key_heads=16 linear_key_head_dim=128
    linear_num_value_heads=32 linear_value_head_dim=128 linear_conv_kernel_dim=4
qwen3_moe: hidden_size=2048 intermediate_size=6144 num_hidden_layers=24 num_attention_heads=32
    num_key_value_heads=4 vocab_size=151936 max_position_embeddings=32768 num_local_experts=128
    moe_intermediate_size=768
qwen3_vl_moe_text: hidden_size=2048 intermediate_size=5632 num_hidden_layers=24
    num_attention_heads=16 num_key_value_heads=16 vocab_size=151936
    max_position_embeddings=128000 num_local_experts=60 moe_intermediate_size=1408
qwen3_vl_text: hidden_size=4096 intermediate_size=22016 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 head_dim=128 vocab_size=151936
    max_position_embeddings=128000
smollm3: hidden_size=2048 intermediate_size=11008 num_hidden_layers=36 num_attention_heads=16
    num_key_value_heads=4 vocab_size=128256 max_position_embeddings=32768
starcoder2: hidden_size=3072 intermediate_size=12288 num_hidden_layers=30 num_attention_heads=24
    num_key_value_heads=2 vocab_size=49152 max_position_embeddings=4096
""")

VISION: Final[Mapping[str, Mapping[str, Any]]] = _table("""
blip_2_vision_model: hidden_size=1408 intermediate_size=6144 num_hidden_layers=39
    num_attention_heads=16 image_size=224 patch_size=14
clip_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 image_size=224 patch_size=32
gemma4_vision: hidden_size=768 intermediate_size=3072 num_hidden_layers=16
    num_attention_heads=12 num_key_value_heads=12 head_dim=64 max_position_embeddings=131072
    patch_size=16
glm4v_moe_vision: hidden_size=1536 intermediate_size=13696 depth=24 num_heads=12 image_size=336
    patch_size=14 temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=4096
glm4v_vision: hidden_size=1536 intermediate_size=13696 depth=24 num_heads=12 image_size=336
    patch_size=14 temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=4096
idefics2_vision: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 image_size=224 patch_size=32
idefics3_vision: hidden_size=1152 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=16 image_size=224 patch_size=32
internvl_vision: hidden_size=1024 intermediate_size=4096 num_hidden_layers=24
    num_attention_heads=16 image_size=448 patch_size=14
llama4_vision_model: hidden_size=768 intermediate_size=5632 num_hidden_layers=34
    num_attention_heads=16 image_size=448 patch_size=14 vision_output_dim=7680
    projector_output_dim=4096
mllama_vision_model: hidden_size=1280 intermediate_size=5120 num_hidden_layers=32 image_size=448
    patch_size=14 vision_output_dim=7680 num_global_layers=8 max_num_tiles=4
pixtral: hidden_size=1024 intermediate_size=4096 num_hidden_layers=24 num_attention_heads=16
    image_size=1024 patch_size=16
qwen2_5_vl_vision: hidden_size=3584 intermediate_size=3420 depth=32 num_heads=16 patch_size=14
    temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=3584
qwen2_vl_vision: hidden_size=3584 embed_dim=1280 depth=32 num_heads=16 patch_size=14
    temporal_patch_size=2 spatial_merge_size=2 mlp_ratio=4
qwen3_5_moe_vision: hidden_size=1152 intermediate_size=4304 depth=27 num_heads=16 patch_size=16
    temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=3584 num_position_embeddings=2304
qwen3_5_vision: hidden_size=1152 intermediate_size=4304 depth=27 num_heads=16 patch_size=16
    temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=3584 num_position_embeddings=2304
qwen3_vl_moe_vision: hidden_size=1152 intermediate_size=4304 depth=27 num_heads=16 patch_size=16
    temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=3584 num_position_embeddings=2304
    deepstack_visual_indexes=8,16,24
qwen3_vl_vision: hidden_size=1152 intermediate_size=4304 depth=27 num_heads=16 patch_size=16
    temporal_patch_size=2 spatial_merge_size=2 out_hidden_size=3584 num_position_embeddings=2304
    deepstack_visual_indexes=8,16,24
siglip2_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 patch_size=16
siglip_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 image_size=224 patch_size=16
smolvlm_vision: hidden_size=1152 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=16 image_size=224 patch_size=32
""")

AUDIO: Final[Mapping[str, Mapping[str, Any]]] = _table("""
qwen2_5_omni_audio_encoder: d_model=1280 encoder_ffn_dim=5120 encoder_layers=32
    encoder_attention_heads=20 output_dim=3584 num_mel_bins=128
qwen2_audio_encoder: d_model=1280 encoder_ffn_dim=5120 encoder_layers=32
    encoder_attention_heads=20 num_mel_bins=128
voxtral_encoder: hidden_size=1280 intermediate_size=5120 num_hidden_layers=32
    num_attention_heads=20 vocab_size=51866 num_mel_bins=128
whisper: d_model=384 encoder_ffn_dim=1536 encoder_layers=4 encoder_attention_heads=6
    vocab_size=51865 num_mel_bins=80
""")

ALIASES: Final[Mapping[str, str]] = {
    "qwen2_vl": "qwen2_vl_vision",
    "qwen2_5_vl": "qwen2_5_vl_vision",
    "qwen3_vl": "qwen3_vl_vision",
    "qwen3_vl_moe": "qwen3_vl_moe_vision",
    "qwen3_5": "qwen3_5_vision",
    "qwen3_5_moe": "qwen3_5_moe_vision",
    "glm4v": "glm4v_vision",
    "glm4v_moe": "glm4v_moe_vision",
    "idefics2": "idefics2_vision",
    "idefics3": "idefics3_vision",
    "smolvlm": "smolvlm_vision",
    "qwen2_5_omni_vision_encoder": "qwen2_5_vl_vision",
}
"""Types of vision parts that are written in two ways."""
