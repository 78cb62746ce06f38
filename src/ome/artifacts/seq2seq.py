"""Parameters of models with an encoder and a decoder that attends to it (T5, BART, Whisper)."""

from __future__ import annotations

from ome.artifacts import traits
from ome.artifacts.fields import Fields
from ome.artifacts.tying import tied

_MOST_LAYERS = 10_000


def is_encoder_decoder(whole: Fields) -> bool:
    """T5 does not always say so; configurations of parts are something else."""
    family = whole.model_type in traits.T5_LIKE
    stated = whole.flag("is_encoder_decoder") is True and bool(whole.hidden)
    return (family or stated) and "text_config" not in whole.raw


def encoder_decoder(whole: Fields) -> int:
    """Encoder, decoder, embeddings, positions, and the entrance for sound where there is one."""
    hidden = whole.hidden
    names = whole.texts("architectures")
    t5 = whole.model_type in traits.T5_LIKE
    inner = whole.number("d_kv") * whole.heads or hidden
    attention = 4 * hidden * inner
    bias = 0 if t5 else 1
    gate = 3 if "gated" in whole.text("feed_forward_proj") or whole.flag("is_gated_act") else 2
    if whole.model_type == "umt5" and not whole.text("feed_forward_proj"):
        gate = 3
    encoder = whole.number("encoder_layers") or whole.layers
    decoder = whole.number("decoder_layers", "num_decoder_layers") or whole.layers
    if names and names[0].endswith("EncoderModel"):
        decoder = 0
    elif names and names[0].endswith("ForCausalLM"):
        encoder = 0
    encoder_inner = whole.number("encoder_ffn_dim", "d_ff") or 4 * hidden
    if max(encoder, decoder) > _MOST_LAYERS:
        return 0
    decoder_inner = whole.number("decoder_ffn_dim", "d_ff") or 4 * hidden
    small = bias * (6 * hidden + encoder_inner)
    count = encoder * (attention + gate * hidden * encoder_inner + 2 * hidden + small)
    small = bias * (11 * hidden + decoder_inner)
    count += decoder * (2 * attention + gate * hidden * decoder_inner + 3 * hidden + small)
    tables = 1 if tied(whole, whole) or not decoder else 2
    count += whole.vocabulary * hidden * tables
    sources = whole.number("max_source_positions")
    if sources:
        count += (sources + whole.number("max_target_positions")) * hidden
    elif whole.model_type in traits.LEARNED_POSITIONS:
        count += 2 * whole.number("max_position_embeddings") * hidden
    bins = whole.number("num_mel_bins")
    return count + (3 * bins * hidden + 3 * hidden * hidden if bins else 0)
