"""How many parameters a model has, computed from its configuration alone.

The count is a sum over what a transformer consists of: embeddings, and in each layer a way to mix
tokens (:mod:`ome.artifacts.mixers`) and a way to mix features (:mod:`ome.artifacts.feedforward`),
then the output layer, then towers for images and sound (:mod:`ome.artifacts.towers`). Fields decide
which of them a layer has; where a family's code does something that no field says,
:mod:`ome.artifacts.traits` knows.

When weights are on disk nobody needs this: their headers give the exact count. It serves the
questions that come before the download.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.artifacts import traits
from ome.artifacts.feedforward import block_of, feed_forward, mlp
from ome.artifacts.fields import Fields, text_part
from ome.artifacts.mixers import layer_kind, mamba, mamba2, mixer
from ome.artifacts.seq2seq import encoder_decoder, is_encoder_decoder
from ome.artifacts.speech import speech
from ome.artifacts.towers import towers
from ome.artifacts.tying import tied

_MOST_LAYERS = 10_000
_MOST_PARAMETERS = 10**17
_WRITERS = ("ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForPreTraining")


def estimate_parameters(config: Mapping[str, Any], *, without_head: bool = False) -> int:
    """The number of parameters; 0 where the configuration does not say enough, or nonsense.

    ``without_head`` leaves out the output layer (embedding models are saved without).
    """
    count = _count(Fields(config), without_head)
    return count if 0 <= count < _MOST_PARAMETERS else 0


def _count(whole: Fields, without_head: bool) -> int:
    text = text_part(whole)
    if is_encoder_decoder(whole):
        return encoder_decoder(whole)
    if not text.hidden or not 0 < text.layers <= _MOST_LAYERS:
        return 0
    if not (text.heads or text.number("state_size")):
        return 0
    total = _embeddings(text) + _head(whole, text, without_head)
    total += text.hidden  # the last norm
    if text.model_type in traits.SHARED_TRANSFORMER:
        total += _with_shared_transformer(text)
    else:
        total += sum(_layer(text, index) for index in range(_different_layers(text)))
    return total + towers(whole, text) + speech(whole, _language_model)


def _language_model(config: Mapping[str, Any]) -> int:
    """The same, for a language model inside another (one that speaks)."""
    return estimate_parameters(config)


def _different_layers(text: Fields) -> int:
    """Albert uses one layer again and again."""
    groups = text.number("num_hidden_groups") * text.number("inner_group_num")
    return groups if text.model_type == "albert" and groups else text.layers


def _embeddings(text: Fields) -> int:
    narrow = text.number("embedding_size", "word_embed_proj_dim")
    count = text.vocabulary * (narrow or text.hidden)
    if narrow and narrow != text.hidden:
        count += narrow * text.hidden * (2 if text.model_type == "opt" else 1)
    if text.model_type in traits.LEARNED_POSITIONS:
        count += text.context * (narrow or text.hidden)
    if text.model_type in traits.ENCODERS:
        count += (text.number("type_vocab_size") + 2) * text.hidden
        if text.model_type not in traits.NO_POOLER:
            count += text.hidden * text.hidden
    streams = text.number("altup_num_inputs")
    if streams:  # several streams, mixed in every layer, and a low-rank path (Gemma 3n)
        count += 2 * (streams - 1) * text.hidden * text.hidden
        rank = text.number("laurel_rank")
        count += text.layers * text.hidden * (2 * rank + streams)
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
    if text.model_type in traits.ENCODERS and not architecture.endswith(_WRITERS):
        return 0
    if without:
        return 0
    bare = architecture.endswith("Model") and not architecture.endswith("OmniModel")
    if bare and not (whole.get("auto_map") or {}):
        return 0
    return 0 if tied(whole, text) else text.vocabulary * text.hidden


def _layer(text: Fields, index: int) -> int:
    layer = text.at(index)
    single = bool(text.text("hybrid_override_pattern")) or text.model_type == "nemotron_h"
    norms = (4 if text.model_type in traits.FOUR_NORMS else 1 if single else 2) * text.hidden
    norms *= 2 if text.model_type in traits.DOUBLE_LAYERS else 1
    blocks = text.get("block_configs")
    if isinstance(blocks, list) and index < len(blocks) and isinstance(blocks[index], Mapping):
        mixing, feeding = block_of(blocks[index], layer)
        count = mixer(mixing, index) if mixing is not None else 0
        return norms + count + (feed_forward(feeding, index) if feeding is not None else 0)
    return norms + mixer(layer, index) + feed_forward(layer, index)


def _with_shared_transformer(text: Fields) -> int:
    """State spaces, and a transformer of twice the width that some layers share (Zamba)."""
    hidden = text.hidden
    second = text.model_type == "zamba2"
    state = (mamba2 if second else mamba)(text) + hidden
    sharing = sum(1 for index in range(text.layers) if layer_kind(text, index) == "both")
    wide = text.number("attention_hidden_size") or 2 * hidden
    shared = 3 * wide * wide + wide * hidden + mlp(text, text.intermediate) + wide + hidden
    total = text.layers * state + sharing * hidden * hidden
    total += shared * (text.number("num_mem_blocks") or 1)
    rank = text.number("adapter_rank")
    if second and rank:
        total += sharing * rank * (hidden + 2 * text.intermediate)
        if text.flag("use_shared_attention_adapter"):
            total += sharing * 3 * rank * 2 * wide
    return total
