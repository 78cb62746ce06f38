"""Parameters of what mixes features in one layer: a dense network, a choice of experts, or both."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from ome.artifacts import traits
from ome.artifacts.fields import Fields

_PLAIN_ACTIVATIONS = frozenset(["relu2", "gelu_new", "gelu_fast", "relu", "xielu", "quick_gelu"])


def feed_forward(text: Fields, index: int) -> int:
    """What mixes features in this layer."""
    whole_layer = _by_name(text, index)
    if whole_layer is not None:
        return whole_layer
    if has_experts(text, index):
        count = experts(text)
        if text.flag("enable_moe_block") or text.model_type in traits.DENSE_BESIDE_EXPERTS:
            count += mlp(text, text.intermediate)
        if text.model_type in traits.DOUBLE_LAYERS:
            count += 2 * mlp(text, text.intermediate)
        return count
    if text.number("state_size") and not (text.heads and text.intermediate):
        return 0  # a pure state space model has no MLP
    if text.model_type == "granitemoehybrid" and text.number("shared_intermediate_size"):
        return mlp(text, text.number("shared_intermediate_size"))
    dense = text.number("intermediate_size_mlp", "dense_intermediate_size") or text.intermediate
    if text.flag("use_double_wide_mlp") and _borrows_keys(text, index):
        dense *= 2
    return mlp(text, dense or _derived(text) or 4 * text.hidden)


def _by_name(text: Fields, index: int) -> int | None:
    """Where each layer is one thing only, its letter or its name says which."""
    pattern = text.text("hybrid_override_pattern")
    names = text.texts("layers_block_type") if text.model_type == "nemotron_h" else []
    kind = pattern[index : index + 1] or (names[index] if index < len(names) else "")
    if not kind:
        return None
    if kind in ("E", "moe"):
        return experts(text)
    return mlp(text, text.intermediate) if kind in ("-", "mlp") else 0


def _borrows_keys(text: Fields, index: int) -> bool:
    return index >= text.layers - text.number("num_kv_shared_layers")


def _derived(text: Fields) -> int:
    """The inner width where a family computes it."""
    block = text.number("block_ff_dim")
    if block:
        if text.flag("block_auto_adjust_ff_dim") is not False:
            block = int(2 * block / 3 * (text.real("block_ffn_dim_multiplier") or 1))
            step = text.number("block_multiple_of") or 256
            block = ceil(block / step) * step
        return block
    wide = text.real("ffn_multipliers")
    if wide:
        step = text.number("ffn_dim_divisor") or 256
        return max(step, int(wide * text.hidden + step / 2) // step * step)
    return int(text.real("expansion_ratio") * text.hidden)


def mlp(text: Fields, inner: int) -> int:
    hidden = text.hidden
    if text.model_type in traits.HALF_INTERMEDIATE:
        inner //= 2
    if text.model_type.startswith("lfm2") and text.number("intermediate_size"):
        inner = _adjusted(text, inner)
    count = (3 if gated(text) else 2) * hidden * inner
    if text.flag("mlp_bias", "use_bias", "add_bias_linear"):
        count += (2 if gated(text) else 1) * inner + hidden
    return count


def _adjusted(text: Fields, inner: int) -> int:
    """LFM2 states a width of which two thirds are used, rounded up."""
    if text.flag("block_auto_adjust_ff_dim") is False or text.model_type == "lfm2_moe":
        return inner
    step = text.number("block_multiple_of") or 256
    used = int(int(2 * inner / 3) * (text.real("block_ffn_dim_multiplier") or 1))
    return ceil(used / step) * step


def gated(text: Fields) -> bool:
    """Whether the MLP multiplies its activation with a gate (three matrices)."""
    if text.model_type in traits.PLAIN_MLP:
        return False
    if text.model_type in traits.GATED_MLP:
        return True
    activation = text.text(
        "hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "ffn_act_fn"
    )
    if activation in _PLAIN_ACTIVATIONS:
        return False
    return not (activation == "gelu" and text.get("rms_norm_eps") is None)


def _expert_count(text: Fields) -> int:
    return text.number(
        "n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts",
        "num_moe_experts", "n_experts",
    )  # fmt: skip


def has_experts(text: Fields, index: int) -> bool:
    """Which layers choose among experts, in the ways that families say it."""
    if _expert_count(text) < 2:
        return False
    kinds = text.texts("mlp_layer_types")
    if index < len(kinds):
        return kinds[index] != "dense"
    listed = text.get("moe_layers", "moe_layers_enum")
    if isinstance(listed, list):
        return index in listed
    if isinstance(listed, str) and listed:
        return str(index) in listed.split(",")
    if index in text.numbers("mlp_only_layers"):
        return False
    if index < text.number("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"):
        return False
    period = text.number("expert_layer_period")
    if period:
        return index % period == text.number("expert_layer_offset")
    last = text.get("moe_layer_end_index")
    if isinstance(last, int) and 0 <= last < index:
        return False
    step = text.number("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval")
    if step:
        return (index + 1) % step == 0
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return index < len(frequency) and bool(frequency[index])
    return not (isinstance(frequency, int) and frequency > 1) or index % frequency == 0


def experts(text: Fields) -> int:
    """All experts, those that always work, and what chooses among them."""
    hidden, number = text.hidden, _expert_count(text)
    inner = (
        text.number("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size")
        or text.intermediate
    )
    matrices = 3 if gated(text) else 2
    latent = text.number("moe_latent_size")
    one = matrices * (latent or hidden) * inner
    if text.flag("attention_bias") and text.model_type == "gpt_oss":
        one += 2 * inner + hidden
    count = number * one + (number + text.number("zero_expert_num")) * hidden
    count += 2 * latent * hidden + _second_group(text, matrices)
    return count + _shared(text, matrices, inner)


def _second_group(text: Fields, matrices: int) -> int:
    """Experts of their own for images (Ernie VL): the second number of two."""
    numbers, widths = text.numbers("moe_num_experts"), text.numbers("moe_intermediate_size")
    if len(widths) < 2:
        return 0
    number = numbers[1] if len(numbers) > 1 else _expert_count(text)
    return number * (matrices * text.hidden * widths[1] + text.hidden)


def _shared(text: Fields, matrices: int, inner: int) -> int:
    hidden = text.hidden
    shared = text.number(
        "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"
    )
    if text.model_type in traits.ONE_SHARED_EXPERT:
        shared = shared or 1
    width = text.number(
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    if width:
        return matrices * hidden * width * max(1, shared) + hidden
    return shared * matrices * hidden * inner


def block_of(block: Mapping[str, object], text: Fields) -> tuple[Fields | None, Fields | None]:
    """One entry of ``block_configs`` (models made by architecture search): what attends, what
    mixes features. None for what the layer leaves out."""
    attends, feeds = block.get("attention"), block.get("ffn")
    mixing: Fields | None = text
    feeding: Fields | None = text
    if isinstance(attends, Mapping):
        group = attends.get("n_heads_in_group")
        if attends.get("no_op"):
            mixing = None
        elif isinstance(group, int) and group > 0:
            mixing = Fields({**text.raw, "num_key_value_heads": text.heads // group})
    if isinstance(feeds, Mapping):
        wide = feeds.get("ffn_mult")
        stated = feeds.get("intermediate_size")
        if feeds.get("no_op"):
            feeding = None
        elif isinstance(stated, int) and stated > 0:
            feeding = Fields({**text.raw, "intermediate_size": stated})
        elif isinstance(wide, int | float) and 0 < wide < 1 << 20:
            inner = ceil(int(2 * wide * text.hidden / 3) / 256) * 256
            feeding = Fields({**text.raw, "intermediate_size": inner})
    return mixing, feeding
