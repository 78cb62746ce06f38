"""Parameters of what mixes tokens in one layer: attention of every kind, and what stands for it.

:func:`layer_kind` says what a layer has: ``attention``; ``delta`` (gated delta network), ``kda``
(Kimi's delta attention), ``lightning`` (linear attention with an output gate), ``mamba``,
``mamba2``, ``lru`` (gated linear recurrence), ``conv``; ``both`` (attention beside a state space);
``none`` (the layer only mixes features).
"""

from __future__ import annotations

from collections.abc import Mapping

from ome.artifacts import traits
from ome.artifacts.fields import Fields

_LETTERS = {"M": "mamba2", "*": "attention", "E": "none", "-": "none"}
_RECURRENT = frozenset(["linear_attention", "mamba", "mamba2", "linear", "recurrent"])


def layer_kind(text: Fields, index: int) -> str:
    """From a list of layers where there is one, else from a period, else from the family."""
    pattern = text.text("hybrid_override_pattern")
    if pattern:  # one letter a layer
        return _LETTERS.get(pattern[index : index + 1], "none")
    kinds = text.texts("layer_types", "layers_block_type", "block_types")
    if kinds and (index < len(kinds) or text.model_type == "recurrent_gemma"):
        return _named(text, kinds[index % len(kinds)])
    listed = _listed(text, index)
    if listed:
        return listed
    interval = text.number("full_attention_interval")
    if interval and text.number("linear_num_value_heads"):
        return "attention" if (index + 1) % interval == 0 else "delta"
    period = text.number("attn_layer_period")
    if period:
        return "attention" if index % period == text.number("attn_layer_offset") else "mamba"
    if text.model_type == "falcon_h1":
        return "both"
    if text.number("state_size") and text.number("expand"):
        return "mamba2" if text.heads else "mamba"
    return "attention"


def _named(text: Fields, name: str) -> str:
    if name in ("mlp", "moe"):
        return "none"
    if name == "conv":
        return "conv"
    if name == "hybrid" or (name in _RECURRENT and text.model_type == "falcon_h1"):
        return "both"
    return _recurrent(text) if name in _RECURRENT else "attention"


def _recurrent(text: Fields) -> str:
    """What a family means by linear attention, from the sizes that it gives."""
    if text.number("linear_num_value_heads"):
        return "delta"
    if text.model_type == "recurrent_gemma":
        return "lru"
    if text.number("linear_num_heads") or "linear_attn_config" in text.raw:
        return "kda"
    if text.number("mamba_n_heads", "mamba_num_heads", "mamba_headdim"):
        return "mamba2"
    return "mamba" if text.number("mamba_d_state", "state_size") else "lightning"


def _listed(text: Fields, index: int) -> str:
    """By lists of indices, which every family calls and counts differently."""
    flags = text.numbers("attn_type_list")
    if index < len(flags):
        return "attention" if flags[index] else "lightning"
    kimi = text.raw.get("linear_attn_config")
    if isinstance(kimi, Mapping):
        return "kda" if index + 1 in Fields(kimi).numbers("kda_layers") else "attention"
    if isinstance(text.raw.get("full_attn_idxs"), list):
        return "attention" if index in text.numbers("full_attn_idxs") else "conv"
    if text.model_type == "bamba" or "attn_layer_indices" in text.raw:
        return "attention" if index in text.numbers("attn_layer_indices") else "mamba2"
    return ""


def mixer(text: Fields, index: int) -> int:
    """What mixes tokens in this layer."""
    kind = layer_kind(text, index)
    if kind == "none":
        return 0
    if kind == "delta":
        return _delta(text)
    if kind == "kda":
        return _kda(text)
    if kind == "lightning":
        inner = text.heads * text.head_size
        return 5 * text.hidden * inner + inner
    if kind == "lru":
        width = text.number("lru_width") or text.hidden
        return 3 * text.hidden * width + 2 * width * width // max(1, text.heads) + 8 * width
    if kind == "mamba2":
        return mamba2(text)
    if kind == "mamba":
        return mamba(text)
    if kind == "conv":
        kernel = text.number("conv_L_cache") or 3
        return 4 * text.hidden * text.hidden + kernel * text.hidden
    if kind == "both":
        return mamba2(text) + attention(text, index)
    return attention(text, index)


def attention(text: Fields, index: int = 0) -> int:
    """With heads that share keys, with a narrow waist, with a gate, with or without biases."""
    if text.number("kv_lora_rank") and text.number("v_head_dim", "qk_nope_head_dim"):
        return _compressed(text) * (2 if text.model_type in traits.DOUBLE_LAYERS else 1)
    hidden, size, heads, shared = text.hidden, text.head_size, text.heads, text.kv_heads
    if text.model_type == "jetmoe":  # queries and outputs are experts too
        width, number = shared * size, text.number("num_local_experts")
        return 2 * hidden * width + number * (2 * hidden * width + hidden)
    matrices = 2  # keys and values
    if _attends_to_all(text, index):
        size = text.number("global_head_dim") or size
        if text.flag("attention_k_eq_v"):
            matrices = 1
            shared = text.number("num_global_key_value_heads") or shared
    queries, keys = heads * size, shared * size
    narrow = text.number("share_q_dim")  # queries through a waist (Step 3)
    asking = hidden * narrow + narrow * queries if narrow else hidden * queries
    count = asking + matrices * hidden * keys + queries * hidden
    if text.flag("attn_output_gate") or text.model_type in traits.OUTPUT_GATE:
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


def _attends_to_all(text: Fields, index: int) -> bool:
    """In families that give these layers heads of their own (Gemma 4)."""
    kinds = text.texts("layer_types")
    return index < len(kinds) and kinds[index] == "full_attention"


def _compressed(text: Fields) -> int:
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


def _delta(text: Fields) -> int:
    """A gated delta network."""
    hidden = text.hidden
    keys = text.number("linear_num_key_heads") * text.number("linear_key_head_dim")
    heads, size = text.number("linear_num_value_heads"), text.number("linear_value_head_dim")
    values = heads * size
    kernel = text.number("linear_conv_kernel_dim") or 4
    count = hidden * (2 * keys + 2 * values) + hidden * 2 * heads
    return count + (2 * keys + values) * kernel + 2 * heads + size + values * hidden


def kda_heads(text: Fields) -> tuple[int, int]:
    """How many heads Kimi's delta attention has, and their size."""
    own = text.raw.get("linear_attn_config")
    if isinstance(own, Mapping):
        found = Fields(own)
        return found.number("num_heads"), found.number("head_dim")
    return text.number("linear_num_heads"), text.number("linear_head_dim")


def _kda(text: Fields) -> int:
    """Kimi's delta attention: a gate for every channel, through a waist of one head's width."""
    hidden = text.hidden
    heads, size = kda_heads(text)
    inner = heads * size
    kernel = text.number("linear_conv_kernel_dim") or 4
    gates = 2 * (hidden * size + size * inner)
    return 4 * hidden * inner + 3 * kernel * inner + gates + inner + hidden * heads + heads + size


def mamba2(text: Fields) -> int:
    hidden = text.hidden
    heads = text.number("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads")
    size = text.number("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim")
    expand = text.real("mamba_expand", "expand") or 2
    inner = heads * size or int(expand * hidden)
    groups = text.number("mamba_n_groups", "mamba_ngroups", "n_groups") or 1
    state = text.number("mamba_d_state", "ssm_state_size", "state_size") or 128
    kernel = text.number("mamba_d_conv", "conv_kernel") or 4
    mixed = inner + 2 * groups * state
    count = hidden * (inner + mixed + heads) + mixed * kernel + mixed
    return count + 3 * heads + inner + inner * hidden


def mamba(text: Fields) -> int:
    hidden = text.hidden
    inner = int((text.real("mamba_expand", "expand") or 2) * hidden)
    if not text.heads:  # nothing else has an inner width
        inner = text.intermediate or inner
    state = text.number("mamba_d_state", "state_size") or 16
    kernel = text.number("mamba_d_conv", "conv_kernel") or 4
    rank = text.number("mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
    heads = text.number("n_mamba_heads") or 1
    count = 2 * hidden * inner + inner * kernel + inner + inner * (rank + 2 * state)
    return count + rank * inner // heads + inner + inner * state + inner + inner * hidden
