"""Parameters of what stands beside a language model: vision and audio encoders, projectors.

They are small next to the language model, but not next to one per cent of it.
"""

from __future__ import annotations

from ome.artifacts import traits
from ome.artifacts.fields import AUDIO_PARTS, VISION_PARTS, Fields


def towers(whole: Fields, text: Fields) -> int:
    """All towers of a composite model; 0 for a plain language model."""
    root = whole.part("thinker_config") or whole
    count = 0
    vision = root.part(*VISION_PARTS)
    if vision is not None and _layers(vision) and _hidden(vision):
        count += vision_tower(vision, root, text)
    audio = root.part(*AUDIO_PARTS)
    if audio is not None:
        count += _audio(audio, text)
    return count


def vision_tower(vision: Fields, whole: Fields, text: Fields) -> int:
    """Patches, positions, layers, and what brings the result into the language model."""
    hidden, layers = _hidden(vision), _layers(vision)
    inner = _inner(vision)
    block = _block(vision, hidden, inner)
    count = _patches(vision, hidden) + _positions(vision, hidden) + layers * block
    count += 4 * hidden  # norms before and after
    count += vision.number("num_global_layers") * block
    count += _tiles(vision, hidden)
    if _pools(vision):
        count += block  # attention pooling at the end
    return count + _projector(vision, whole, text)


def _hidden(vision: Fields) -> int:
    """``hidden_size`` means the output in towers that also have ``embed_dim``."""
    return vision.number("embed_dim") or vision.hidden


def _layers(vision: Fields) -> int:
    return vision.layers or vision.number("layers")


def _inner(vision: Fields) -> int:
    ratio = vision.real("mlp_ratio")
    return vision.intermediate or int(_hidden(vision) * (ratio or 4))


def _pools(vision: Fields) -> bool:
    return "siglip" in vision.text("model_name")


def _block(vision: Fields, hidden: int, inner: int) -> int:
    gated = vision.model_type in traits.GATED_VISION
    mlp = (3 if gated else 2) * hidden * inner + inner + hidden
    return 4 * hidden * hidden + 4 * hidden + mlp + 4 * hidden


def _patches(vision: Fields, hidden: int) -> int:
    side = vision.number("patch_size") or 14
    channels = vision.number("num_channels", "in_channels", "in_chans") or 3
    return channels * side * side * (vision.number("temporal_patch_size") or 1) * hidden


def _positions(vision: Fields, hidden: int) -> int:
    stated = vision.number("num_position_embeddings")
    if stated:
        return stated * hidden
    size, patch = vision.number("image_size"), vision.number("patch_size")
    return ((size // patch) ** 2 + 1) * hidden if size and patch else 0


def _tiles(vision: Fields, hidden: int) -> int:
    """Learned positions for every tile of every aspect ratio (Llama 3.2 Vision)."""
    ratios, tiles = vision.get("supported_aspect_ratios"), vision.number("max_num_tiles")
    if not isinstance(ratios, list) or not tiles:
        return 0
    size, patch = vision.number("image_size"), vision.number("patch_size") or 14
    places = (size // patch) ** 2 + 1
    return (len(ratios) + 1) * tiles * hidden * (places + 2)


def _projector(vision: Fields, whole: Fields, text: Fields) -> int:
    hidden, target = _hidden(vision), text.hidden
    merge = vision.number("spatial_merge_size")
    if merge:  # neighbouring patches are joined, then brought over
        joined = hidden * merge * merge
        out = vision.number("out_hidden_size") or vision.number("hidden_size") or target
        mergers = 1 + len(vision.numbers("deepstack_visual_indexes"))
        return mergers * (joined * joined + joined * out + joined + out + 2 * hidden)
    adapter = vision.number("projector_output_dim")
    if adapter:
        entry = vision.number("intermediate_size") or hidden
        return entry * adapter + adapter * adapter + adapter * target
    wide = vision.number("vision_output_dim")
    if wide:
        return wide * target + target
    if whole.part("projector_config") is not None:
        joined = hidden * 4
        return joined * target + target * target + 2 * target
    return hidden * target + target * target + 2 * target


def _audio(audio: Fields, text: Fields) -> int:
    hidden = audio.hidden or audio.number("d_model")
    layers = audio.number("encoder_layers") or audio.layers
    if not hidden or not layers:
        return 0
    inner = audio.number("encoder_ffn_dim") or audio.intermediate or 4 * hidden
    bins = audio.number("num_mel_bins") or 128
    count = layers * (4 * hidden * hidden + 2 * hidden * inner + 4 * hidden)
    count += 3 * bins * hidden + 3 * hidden * hidden
    return count + hidden * (audio.number("output_dim") or text.hidden)
