"""How many parameters a model has, computed from its configuration alone.

The count is a sum over what a transformer consists of: embeddings, and in each layer a way to mix
tokens (attention with grouped heads, compressed attention, linear attention, state spaces) and a
way to mix features (dense or a choice of experts), then the output layer, then towers for images
and sound (:mod:`ome.artifacts.towers`). Fields decide which of them a layer has; where a family's
code does something that no field says, :mod:`ome.artifacts.traits` knows.

When weights are on disk nobody needs this: their headers give the exact count. It serves the
questions that come before the download.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.artifacts import traits
from ome.artifacts.fields import Fields, text_part
from ome.artifacts.towers import towers


def estimate_parameters(config: Mapping[str, Any], *, without_head: bool = False) -> int:
    """The number of parameters; 0 where the configuration does not say enough.

    ``without_head`` leaves out the output layer (embedding models are saved without).
    """
    whole = Fields(config)
    text = text_part(whole)
    hidden, layers = text.hidden, text.layers
    if not hidden or not layers or not (text.heads or text.number("state_size")):
        return 0
    if whole.flag("is_encoder_decoder") and whole.number("encoder_layers", "num_decoder_layers"):
        return _encoder_decoder(whole)
    total = _embeddings(text) + _head(whole, text, without_head)
    total += sum(_layer(text, index) for index in range(layers))
    total += hidden  # the last norm
    return total + towers(whole, text)


def _embeddings(text: Fields) -> int:
    count = text.vocabulary * (text.number("embedding_size") or text.hidden)
    if text.model_type in traits.LEARNED_POSITIONS:
        count += text.context * text.hidden
    if text.model_type in traits.ENCODERS:
        count += (text.number("type_vocab_size") + 2) * text.hidden
        count += text.hidden * text.hidden  # pooler
    per_layer = text.number("hidden_size_per_layer_input")
    if per_layer:  # a second table, with a slice for every layer
        vocabulary = text.number("vocab_size_per_layer_input") or text.vocabulary
        count += vocabulary * per_layer * text.layers + text.hidden * per_layer * text.layers
        count += text.layers * 2 * text.hidden * per_layer
    return count


def _head(whole: Fields, text: Fields, without: bool) -> int:
    """The output layer: shared with the embedding, one of its own, a classifier, or none."""
    names = whole.texts("architectures") or text.texts("architectures")
    architecture = names[0] if names else ""
    if "Reward" in architecture:
        return text.hidden
    if architecture.endswith("ForSequenceClassification"):
        labels = whole.get("id2label")
        number = len(labels) if isinstance(labels, Mapping) else whole.number("num_labels") or 1
        return text.hidden * number + number
    if without or text.model_type in traits.ENCODERS:
        return 0
    if architecture.endswith("Model") and not (whole.get("auto_map") or {}):
        return 0
    return 0 if tied(whole, text) else text.vocabulary * text.hidden


def tied(whole: Fields, text: Fields) -> bool:
    """Whether the output layer is the embedding."""
    for fields in (text, whole):
        stated = fields.flag("tie_word_embeddings")
        if stated is not None:
            return stated
    kinds = {whole.model_type, text.model_type}
    return bool(kinds & traits.TIED_BY_DEFAULT)


def _layer(text: Fields, index: int) -> int:
    norms = (4 if text.model_type in traits.FOUR_NORMS else 2) * text.hidden
    pattern = text.text("hybrid_override_pattern")
    if pattern:  # one letter a layer, each layer is one thing only
        return norms // 2 + _by_letter(text, pattern[index : index + 1])
    return norms + _mixer(text, index) + _feed_forward(text, index)


def _by_letter(text: Fields, letter: str) -> int:
    if letter == "M":
        return _mamba2(text)
    if letter == "*":
        return _attention(text)
    if letter == "E":
        return _experts(text)
    return _mlp(text, text.intermediate)


def _mixer(text: Fields, index: int) -> int:
    """What mixes tokens in this layer."""
    kind = layer_kind(text, index)
    if kind == "linear":
        return _linear_attention(text)
    if kind == "mamba2":
        return _mamba2(text)
    if kind == "mamba":
        return _mamba(text)
    if kind == "conv":
        kernel = text.number("conv_L_cache") or 3
        return 4 * text.hidden * text.hidden + kernel * text.hidden
    if kind == "both":
        return _mamba2(text) + _attention(text)
    return _attention(text)


def layer_kind(text: Fields, index: int) -> str:
    """attention, linear, mamba, mamba2, conv, or both (attention beside a state space)."""
    kinds = text.texts("layer_types", "layers_block_type", "block_types")
    name = kinds[index] if index < len(kinds) else ""
    if name == "linear_attention":
        return "linear"
    if name in ("mamba", "mamba2"):
        return "mamba2" if text.number("mamba_n_heads", "mamba_num_heads") else "mamba"
    if name == "conv":
        return "conv"
    if name:
        return "attention"
    interval = text.number("full_attention_interval")
    if interval and text.number("linear_num_value_heads"):
        return "attention" if (index + 1) % interval == 0 else "linear"
    period = text.number("attn_layer_period")
    if period:
        return "attention" if index % period == text.number("attn_layer_offset") else "mamba"
    if text.model_type == "falcon_h1":
        return "both"
    if text.number("state_size") and text.number("expand") and not text.heads:
        return "mamba"
    if text.number("state_size") and text.number("expand"):
        return "mamba2"
    return "attention"


def _attention(text: Fields) -> int:
    if text.number("kv_lora_rank") and text.number("v_head_dim", "qk_nope_head_dim"):
        return _compressed_attention(text)
    hidden, size = text.hidden, text.head_size
    queries, keys = text.heads * size, text.kv_heads * size
    count = hidden * queries + 2 * hidden * keys + queries * hidden
    if text.flag("attn_output_gate"):
        count += hidden * queries
    if text.flag("attention_bias", "qkv_bias", "add_qkv_bias", "use_qkv_bias", "use_bias", "bias"):
        count += queries + 2 * keys
        if text.flag("attention_bias", "use_bias", "bias"):
            count += hidden
    elif text.model_type in traits.QKV_BIAS:
        count += queries + 2 * keys
    if text.model_type in traits.QK_NORM:
        count += 2 * size
    return count


def _compressed_attention(text: Fields) -> int:
    """Attention whose keys and values (and queries) pass through a narrow waist."""
    hidden, heads = text.hidden, text.heads
    plain, rotary = text.number("qk_nope_head_dim"), text.number("qk_rope_head_dim")
    value = text.number("v_head_dim") or hidden // heads
    waist, narrow = text.number("kv_lora_rank"), text.number("q_lora_rank")
    if narrow:
        queries = hidden * narrow + narrow + narrow * heads * (plain + rotary)
    else:
        queries = hidden * heads * (plain + rotary)
    keys = hidden * (waist + rotary) + waist + waist * heads * (plain + value)
    count = queries + keys + heads * value * hidden
    indexers, index_size = text.number("index_n_heads"), text.number("index_head_dim")
    if indexers and index_size:  # picks the tokens worth attending to
        count += (narrow or hidden) * indexers * index_size
        count += hidden * index_size + hidden * indexers + 2 * index_size
    return count


def _linear_attention(text: Fields) -> int:
    """A gated delta network."""
    hidden = text.hidden
    keys = text.number("linear_num_key_heads") * text.number("linear_key_head_dim")
    heads, size = text.number("linear_num_value_heads"), text.number("linear_value_head_dim")
    values = heads * size
    kernel = text.number("linear_conv_kernel_dim") or 4
    count = hidden * (2 * keys + 2 * values) + hidden * 2 * heads
    return count + (2 * keys + values) * kernel + 2 * heads + size + values * hidden


def _mamba2(text: Fields) -> int:
    hidden = text.hidden
    heads = text.number("mamba_n_heads", "mamba_num_heads", "num_heads")
    size = text.number("mamba_d_head", "mamba_head_dim", "head_dim")
    expand = text.real("mamba_expand", "expand") or 2
    inner = heads * size or int(expand * hidden)
    groups = text.number("mamba_n_groups", "n_groups") or 1
    state = text.number("mamba_d_state", "ssm_state_size", "state_size") or 128
    kernel = text.number("mamba_d_conv", "conv_kernel") or 4
    mixed = inner + 2 * groups * state
    count = hidden * (inner + mixed + heads) + mixed * kernel + mixed
    return count + 3 * heads + inner + inner * hidden


def _mamba(text: Fields) -> int:
    hidden = text.hidden
    inner = int((text.real("mamba_expand", "expand") or 2) * hidden)
    state = text.number("mamba_d_state", "state_size") or 16
    kernel = text.number("mamba_d_conv", "conv_kernel") or 4
    rank = text.number("mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
    count = 2 * hidden * inner + inner * kernel + inner + inner * (rank + 2 * state)
    return count + rank * inner + inner + inner * state + inner + inner * hidden


def _feed_forward(text: Fields, index: int) -> int:
    """What mixes features in this layer."""
    if _has_experts(text, index):
        return _experts(text)
    if text.number("state_size") and not text.heads:
        return 0  # a pure state space model has no MLP
    dense = text.number("intermediate_size_mlp", "dense_intermediate_size") or text.intermediate
    return _mlp(text, dense or 4 * text.hidden)


def _mlp(text: Fields, inner: int) -> int:
    hidden = text.hidden
    if text.model_type in traits.HALF_INTERMEDIATE:
        inner //= 2
    count = (3 if _gated(text) else 2) * hidden * inner
    if text.flag("mlp_bias", "use_bias", "add_bias_linear"):
        count += (2 if _gated(text) else 1) * inner + hidden
    return count


def _gated(text: Fields) -> bool:
    """Whether the MLP multiplies its activation with a gate (three matrices)."""
    if text.model_type in traits.PLAIN_MLP:
        return False
    activation = text.text(
        "hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "ffn_act_fn"
    )
    if activation in ("relu2", "gelu_new", "gelu_fast", "relu"):
        return False
    return not (activation == "gelu" and text.get("rms_norm_eps") is None)


def _expert_count(text: Fields) -> int:
    return text.number(
        "n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts", "num_moe_experts"
    )


def _has_experts(text: Fields, index: int) -> bool:
    """Which layers choose among experts, in the ways that families say it."""
    if _expert_count(text) < 2:
        return False
    listed = text.get("moe_layers")
    if isinstance(listed, list):
        return index in listed
    if index in text.numbers("mlp_only_layers"):
        return False
    if index < text.number("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"):
        return False
    period = text.number("expert_layer_period")
    if period:
        return index % period == text.number("expert_layer_offset")
    step = text.number("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval")
    if step:
        return (index + 1) % step == 0
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return index < len(frequency) and bool(frequency[index])
    return not (isinstance(frequency, int) and frequency > 1) or index % frequency == 0


def _experts(text: Fields) -> int:
    hidden, number = text.hidden, _expert_count(text)
    inner = text.number("moe_intermediate_size", "expert_ffn_hidden_size") or text.intermediate
    matrices = 3 if _gated(text) else 2
    one = matrices * hidden * inner
    if text.flag("attention_bias") and text.model_type == "gpt_oss":
        one += 2 * inner + hidden
    count = number * one + number * hidden
    shared = text.number("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    if text.model_type in traits.ONE_SHARED_EXPERT:
        shared = shared or 1
    width = text.number(
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
    )
    if width:
        count += matrices * hidden * width * max(1, shared) + hidden
    else:
        count += shared * one
    return count


def _encoder_decoder(whole: Fields) -> int:
    """An encoder, and a decoder that also attends to it (T5, BART, Whisper)."""
    hidden = whole.hidden
    inner = whole.number("d_kv") * whole.heads or hidden
    attention = 4 * hidden * inner
    gate = 3 if "gated" in whole.text("feed_forward_proj") else 2
    encoder = whole.number("encoder_layers") or whole.layers
    decoder = whole.number("decoder_layers", "num_decoder_layers") or whole.layers
    encoder_inner = whole.number("encoder_ffn_dim", "d_ff") or 4 * hidden
    decoder_inner = whole.number("decoder_ffn_dim", "d_ff") or 4 * hidden
    count = encoder * (attention + gate * hidden * encoder_inner + 2 * hidden)
    count += decoder * (2 * attention + gate * hidden * decoder_inner + 3 * hidden)
    count += whole.vocabulary * hidden * (1 if tied(whole, whole) else 2)
    count += (whole.number("max_source_positions") + whole.number("max_target_positions")) * hidden
    bins = whole.number("num_mel_bins")
    return count + (3 * bins * hidden + 3 * hidden * hidden if bins else 0)
