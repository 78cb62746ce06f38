"""Parameters of what stands beside a language model: vision encoders, projectors, adapters.

They are small next to the language model, but not next to one per cent of it. Encoders for sound
are in :mod:`ome.artifacts.hearing`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ome.artifacts import traits
from ome.artifacts.fields import AUDIO_PARTS, VISION_PARTS, Fields
from ome.artifacts.hearing import hearing

_IMAGE_DECODER = 70_000_000
"""Of a vector-quantising image tokenizer with 16 times fewer pixels a side, as all of them use."""


def towers(whole: Fields, text: Fields) -> int:
    """All towers of a composite model; 0 for a plain language model."""
    root = whole.part("thinker_config") or whole
    count = 0
    vision = _vision(root)
    if vision is not None:
        count += vision_tower(vision, root, text)
    audio = root.part(*AUDIO_PARTS)
    if audio is not None:
        count += hearing(audio, root, text)
    return count + _adapters(root, text) + _images_out(root, text)


def _vision(root: Fields) -> Fields | None:
    """The vision part with its sizes; those of a well-known encoder where only its name is told."""
    part = root.part(*VISION_PARTS)
    if part is not None and _layers(part) and _hidden(part):
        return part
    names = [root.text("mm_vision_tower", "vision_tower")]
    if part is not None:
        inner = part.raw.get("params")
        inner = inner if isinstance(inner, Mapping) else {}
        names += [part.text("model_name", "architecture"), str(inner.get("model_name", ""))]
    embedding = root.raw.get("embd_layer")
    if isinstance(embedding, Mapping) and "image_embd_layer" in embedding:
        names.append("siglip-so400m")
    for name in (n.lower().replace("_", "-") for n in names if n):
        for known, sizes in traits.KNOWN_TOWERS.items():
            if known in name:
                own = part.raw if part is not None else {}
                return Fields({**own, **sizes, "model_name": ""})
    return None


def vision_tower(vision: Fields, whole: Fields, text: Fields) -> int:
    """Patches, positions, layers, and what brings the result into the language model."""
    whole_count = vision.number("parameters")
    if whole_count:
        return whole_count + vision.hidden * text.hidden + text.hidden**2
    if _kind(vision, whole).startswith(traits.GLM_VISION):
        return _glm(vision, text, _kind(vision, whole).startswith("glm_ocr"))
    hidden, layers = _hidden(vision), _layers(vision)
    block = _block(vision, whole, hidden, _inner(vision))
    count = _patches(vision, hidden) + _positions(vision, hidden) + layers * block
    count += 4 * hidden  # norms before and after
    count += vision.number("num_global_layers") * block
    count += _tiles(vision, hidden)
    if "siglip" in vision.text("model_name") or vision.flag("vision_use_head"):
        count += block  # attention pooling at the end
    return count + _projector(vision, whole, text)


def _kind(vision: Fields, whole: Fields) -> str:
    return vision.model_type or whole.model_type


def _hidden(vision: Fields) -> int:
    """``hidden_size`` means the output in towers that also have ``embed_dim``."""
    return vision.number("embed_dim") or vision.hidden


def _layers(vision: Fields) -> int:
    return vision.layers or vision.number("layers")


def _inner(vision: Fields) -> int:
    ratio = vision.real("mlp_ratio")
    return vision.intermediate or int(_hidden(vision) * (ratio or 4))


def _block(vision: Fields, whole: Fields, hidden: int, inner: int) -> int:
    gated = _kind(vision, whole) in traits.GATED_VISION
    mlp = (3 if gated else 2) * hidden * inner + inner + hidden
    return 4 * hidden * hidden + 4 * hidden + mlp + 4 * hidden


def _glm(vision: Fields, text: Fields, own_width: bool) -> int:
    """GLM's tower: gated, as wide inside as its output (the later one has a width of its own),
    with a gated merger."""
    hidden, out = vision.hidden, vision.number("out_hidden_size") or text.hidden
    merge = vision.number("spatial_merge_size") or 2
    count = _patches(vision, hidden) + _positions(vision, hidden)
    inner = vision.intermediate if own_width else out
    count += _layers(vision) * (4 * hidden * hidden + 3 * hidden * inner + 2 * hidden)
    wide = 3 * out if own_width else vision.intermediate or 3 * out
    return count + hidden * merge * merge * out + out * out + 3 * out * wide


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
    perceiver = whole.part("perceiver_config")
    if perceiver is not None:
        return _perceiver(perceiver, hidden, text)
    former = whole.part("qformer_config")
    if former is not None:
        return _qformer(former, hidden) + former.hidden * target
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
    if whole.part("projector_config") is not None or whole.flag("use_hd_transform"):
        joined = hidden * 4
        return joined * target + target * target + 2 * target
    ratio = whole.real("downsample_ratio")
    joined = int(hidden / ratio**2) if 0.01 < ratio <= 1 else hidden
    return joined * target + target * target + 2 * target


def _perceiver(perceiver: Fields, hidden: int, text: Fields) -> int:
    """A gated projection, then layers that draw a few tokens out of many (Idefics 2)."""
    target = text.hidden
    size = perceiver.number("resampler_head_dim")
    queries = perceiver.number("resampler_n_heads") * size
    keys = perceiver.number("num_key_value_heads") * size
    layer = 2 * target * queries + 2 * target * keys + 3 * target * 4 * target + 3 * target
    count = 2 * hidden * text.intermediate + text.intermediate * target
    return count + perceiver.number("resampler_depth") * layer


def _qformer(former: Fields, hidden: int) -> int:
    """A small encoder that asks the image (BLIP-2)."""
    own = former.hidden or 768
    layers, inner = former.layers or 12, former.intermediate or 4 * own
    every = former.number("cross_attention_frequency") or 2
    seen = former.number("encoder_hidden_size") or hidden
    count = layers * (4 * own * own + 2 * own * inner + inner + 9 * own)
    return count + -(-layers // every) * (2 * own * own + 2 * own * seen)


def _adapters(root: Fields, text: Fields) -> int:
    """Low-rank matrices that belong to the model itself, one set for each sense (Phi-4)."""
    ranks = [root.raw.get(name) for name in ("vision_lora", "speech_lora")]
    rank = sum(Fields(r).number("r") for r in ranks if isinstance(r, Mapping))
    if not rank:
        return 0
    heads, keys = text.heads * text.head_size, text.kv_heads * text.head_size
    attention = text.hidden + heads + 2 * keys + heads + text.hidden
    features = text.hidden + 2 * text.intermediate + text.intermediate + text.hidden
    return text.layers * rank * (attention + features)


def _images_out(root: Fields, text: Fields) -> int:
    """What draws: tokens of images have a table, a head and a decoder of their own (Janus)."""
    head, table = root.raw.get("gen_head_config"), root.raw.get("vq_config")
    if isinstance(head, Mapping):
        inner = head.get("params")
        tokens = Fields(inner if isinstance(inner, Mapping) else head).number("image_token_size")
    elif isinstance(table, Mapping):
        tokens = Fields(table).number("num_embeddings") or 16384
    else:
        return 0
    return _IMAGE_DECODER + 2 * text.hidden**2 + tokens * text.hidden
