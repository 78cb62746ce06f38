"""Parameters of what lets a model speak: a second language model, and what makes sound of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ome.artifacts.fields import Fields

Count = Callable[[Mapping[str, Any]], int]


def speech(whole: Fields, language_model: Count) -> int:
    """0 for a model that is silent. ``language_model`` counts one from its configuration."""
    talker = whole.part("talker_config")
    if talker is None or whole.flag("enable_audio_output") is False:
        return 0
    text = talker.part("text_config") or talker
    count = language_model({**text.raw, "tie_word_embeddings": False})
    heard = text.number("embedding_size") or talker.number("thinker_hidden_size")
    count += heard * text.hidden
    predictor = talker.part("code_predictor_config")
    if predictor is not None:
        groups = predictor.number("num_code_groups") or talker.number("num_code_groups")
        count += language_model(predictor.raw)
        count += max(0, groups - 2) * 2 * predictor.vocabulary * predictor.hidden
    return count + _waves(whole)


def _waves(whole: Fields) -> int:
    sound = whole.part("token2wav_config")
    if sound is None:
        return 0
    count = 0
    diffusion = sound.part("dit_config")
    if diffusion is not None:
        wide = diffusion.number("ff_mult") or 2
        count += diffusion.layers * (10 + 2 * wide) * diffusion.hidden**2
    vocoder = sound.part("bigvgan_config")
    if vocoder is not None:
        channels = vocoder.number("upsample_initial_channel")
        kernels = sum(vocoder.numbers("resblock_kernel_sizes"))
        for kernel in vocoder.numbers("upsample_kernel_sizes"):
            count += channels * (channels // 2) * kernel
            channels //= 2
            count += channels * channels * kernels * 6
    return count
