"""Parameters of encoders for sound: transformers over spectrograms, and conformers."""

from __future__ import annotations

from ome.artifacts.fields import Fields


def hearing(audio: Fields, whole: Fields, text: Fields) -> int:
    """The encoder, and what brings the result into the language model."""
    inner = audio.raw.get("config")
    if isinstance(inner, dict):
        audio = Fields(inner)
    hidden = audio.hidden or audio.number("d_model", "attention_dim")
    layers = audio.number("encoder_layers", "conf_num_hidden_layers") or audio.layers
    if not hidden or not layers:
        return 0
    if audio.number("conf_num_hidden_layers"):
        return layers * 24 * hidden * hidden + hidden * text.hidden + text.hidden**2
    if audio.number("num_blocks"):
        return _conformer(audio, hidden, layers) + _two_ways(hidden, text)
    wide = audio.number("encoder_ffn_dim") or audio.intermediate or 4 * hidden
    bins = audio.number("num_mel_bins") or 128
    count = layers * (4 * hidden * hidden + 2 * hidden * wide + 4 * hidden)
    count += 3 * bins * hidden + 3 * hidden * hidden
    return count + _bridge(audio, whole, text, hidden)


def _bridge(audio: Fields, whole: Fields, text: Fields, hidden: int) -> int:
    if whole.model_type == "voxtral":  # four frames are joined
        joined = audio.intermediate or 4 * hidden
        return joined * text.hidden + text.hidden**2
    return hidden * (audio.number("output_dim") or text.hidden)


def _conformer(audio: Fields, hidden: int, layers: int) -> int:
    """Two gated networks around attention and a convolution, in every block."""
    wide = audio.number("intermediate_size", "linear_units")
    outer = audio.number("ext_pw_out_channel") or hidden
    block = 2 * 3 * hidden * wide + 4 * hidden * hidden
    block += 2 * hidden * outer + 2 * hidden * hidden
    return layers * block + 12 * hidden * hidden


def _two_ways(hidden: int, text: Fields) -> int:
    """Projections for speech alone, and for speech beside images."""
    return 2 * (hidden * text.hidden + text.hidden**2)
