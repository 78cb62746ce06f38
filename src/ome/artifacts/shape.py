"""The dimensions of a model that decide how much memory serving it takes.

Weights are a matter of parameters and bits; what a request holds on to (the cache of keys and
values, the state of layers that have one) follows from the layers. A shape is a flat JSON object
of counts, so that it can travel in a model's ``modelConfiguration`` and be read by
:mod:`ome.sizing` without knowing one of the many spellings of ``config.json``:

``layers``, ``hidden``, ``heads``, ``kv_heads``, ``head_size``, ``value_size``, ``vocabulary``,
``intermediate``; ``tables`` (matrices of vocabulary x hidden: 1 where the output layer is the
embedding); ``full_layers`` that attend to everything, ``window_layers`` that attend to the last
``window`` tokens only; ``latent``, the numbers a token takes where keys and values are kept
compressed; ``state_layers`` with ``state`` numbers each for a sequence, however long it is.

Layers that keep nothing, or that use the keys of another layer, count in ``layers`` only. What is
zero is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.artifacts import traits
from ome.artifacts.fields import Fields, text_part
from ome.artifacts.gguf import GGUFHeader
from ome.artifacts.mixers import kda_heads, layer_kind
from ome.artifacts.tying import tied

Shape = dict[str, int]

_MOST_LAYERS = 10_000
_WINDOWED = ("sliding_attention", "chunked_attention", "local_attention", "local")


def shape(config: Mapping[str, Any]) -> Shape:
    """The shape of a model with this ``config.json``; empty where it doesn't say enough."""
    whole = Fields(config)
    text = text_part(whole)
    layers = text.layers
    if not text.hidden or not 0 < layers <= _MOST_LAYERS or whole.flag("is_encoder_decoder"):
        return {}
    window = 0 if text.flag("use_sliding_window") is False else _window(text)
    full = windowed = with_state = 0
    if text.model_type not in traits.ENCODERS:
        for index in range(layers):
            attends, remembers = _keeps(text, index)
            if attends and _shares_keys(text, index):
                attends = False
            if attends and window and _is_windowed(text, index):
                windowed += 1
            elif attends:
                full += 1
            with_state += remembers
    latent = _latent(text)
    head, value = _head_sizes(text)
    return _without_zeros(
        {
            "layers": layers,
            "hidden": text.hidden,
            "heads": text.heads,
            "kv_heads": text.kv_heads,
            "head_size": head,
            "value_size": value,
            "vocabulary": text.vocabulary,
            "intermediate": text.intermediate,
            "tables": 1 if tied(whole, text) else 2,
            "full_layers": full,
            "window_layers": windowed,
            "window": window if windowed else 0,
            "latent": latent,
            "state_layers": with_state,
            "state": _state(text) if with_state else 0,
        }
    )


def _without_zeros(found: Shape) -> Shape:
    return {name: value for name, value in found.items() if value > 0}


def _keeps(text: Fields, index: int) -> tuple[bool, bool]:
    """Whether this layer keeps (keys and values, a state)."""
    kind = layer_kind(text, index)
    return kind in ("attention", "both"), kind not in ("attention", "none")


def _shares_keys(text: Fields, index: int) -> bool:
    """The last ``num_kv_shared_layers`` layers read what earlier ones wrote (Gemma 3n)."""
    return index >= text.layers - text.number("num_kv_shared_layers")


def _window(text: Fields) -> int:
    return text.number("sliding_window", "sliding_window_size", "attention_chunk_size")


def _is_windowed(text: Fields, index: int) -> bool:
    """By the list of layers, else by the period of the family, else every layer."""
    kinds = text.texts("layer_types")
    if index < len(kinds):
        return kinds[index] in _WINDOWED
    period = text.number("sliding_window_pattern") or traits.WINDOW_PERIOD.get(text.model_type, 0)
    if period:
        return (index + 1) % period != 0
    first = text.number("max_window_layers")
    return index >= first if first and text.flag("use_sliding_window") else True


def _latent(text: Fields) -> int:
    """Keys and values of all heads in one vector (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""
    if text.model_type not in traits.LATENT_CACHE or not text.number("kv_lora_rank"):
        return 0
    return text.number("kv_lora_rank") + text.number("qk_rope_head_dim")


def _head_sizes(text: Fields) -> tuple[int, int]:
    """Of keys and of values; they differ where attention is compressed."""
    if text.number("kv_lora_rank") and text.number("qk_nope_head_dim"):
        size = text.number("qk_nope_head_dim") + text.number("qk_rope_head_dim")
        return size, text.number("v_head_dim") or size
    return text.head_size, text.head_size


def _state(text: Fields) -> int:
    """Numbers that a layer with a state keeps for each sequence, the convolution's included."""
    values = text.number("linear_num_value_heads")
    if values:
        size, keys = text.number("linear_value_head_dim"), text.number("linear_key_head_dim")
        mixed = 2 * text.number("linear_num_key_heads") * keys + values * size
        return values * size * keys + mixed * ((text.number("linear_conv_kernel_dim") or 4) - 1)
    heads, size = kda_heads(text)
    if heads:
        return heads * size * size + 3 * heads * size * 3
    if text.numbers("attn_type_list") or text.model_type.startswith("minimax"):
        return text.heads * text.head_size * text.head_size
    if text.number("conv_L_cache"):
        return text.hidden * (text.number("conv_L_cache") - 1)
    state = text.number("mamba_d_state", "ssm_state_size", "state_size") or 16
    heads = text.number("mamba_n_heads", "mamba_num_heads")
    expanded = int((text.real("mamba_expand", "expand") or 2) * text.hidden)
    inner = heads * text.number("mamba_d_head", "mamba_head_dim", "head_dim") or expanded
    groups = text.number("mamba_n_groups", "n_groups") or 1
    mixed = inner + (2 * groups * state if heads else 0)
    return inner * state + mixed * ((text.number("mamba_d_conv", "conv_kernel") or 4) - 1)


# --- GGUF ---------------------------------------------------------------------------------------


def gguf_shape(header: GGUFHeader) -> Shape:
    """The shape of a model in GGUF. A count of heads may be a list, with a number a layer."""
    kind = header.architecture
    layers, hidden = header.number(f"{kind}.block_count"), header.number(f"{kind}.embedding_length")
    if not hidden or not 0 < layers <= _MOST_LAYERS:
        return {}
    heads = header.number(f"{kind}.attention.head_count")
    keys = header.number(f"{kind}.attention.head_count_kv") or heads
    size = header.number(f"{kind}.attention.key_length") or (hidden // heads if heads else 0)
    attending = _attending(header, layers)
    window = header.number(f"{kind}.attention.sliding_window")
    period = traits.WINDOW_PERIOD.get(kind.replace("-", "_"), 0)
    windowed = attending - attending // period if window and period else attending
    windowed = windowed if window else 0
    waist = header.number(f"{kind}.attention.kv_lora_rank")
    inner = header.number(f"{kind}.ssm.inner_size")
    state = inner * header.number(f"{kind}.ssm.state_size")
    state += inner * max(0, header.number(f"{kind}.ssm.conv_kernel") - 1)
    tied_output = header.tensor_names and "output.weight" not in header.tensor_names
    return _without_zeros(
        {
            "layers": layers,
            "hidden": hidden,
            "heads": heads,
            "kv_heads": keys,
            "head_size": size,
            "value_size": header.number(f"{kind}.attention.value_length") or size,
            "vocabulary": header.number(f"{kind}.vocab_size")
            or header.lengths.get("tokenizer.ggml.tokens", 0),
            "intermediate": header.number(f"{kind}.feed_forward_length"),
            "tables": 1 if tied_output else 2,
            "full_layers": attending - windowed,
            "window_layers": windowed,
            "window": window if windowed else 0,
            "latent": waist + header.number(f"{kind}.rope.dimension_count") if waist else 0,
            "state_layers": layers - attending if state else 0,
            "state": state if attending < layers else 0,
        }
    )


def _attending(header: GGUFHeader, layers: int) -> int:
    """How many layers keep keys and values."""
    kind = header.architecture
    if kind in traits.ENCODERS or kind.endswith("bert"):
        return 0
    each = header.values.get(f"{kind}.attention.head_count_kv")
    if isinstance(each, tuple):
        return min(layers, sum(1 for count in each if count))
    interval = header.number(f"{kind}.full_attention_interval")
    if interval:
        return layers // interval
    if header.number(f"{kind}.ssm.state_size") and not header.number(
        f"{kind}.attention.head_count"
    ):
        return 0
    return layers
