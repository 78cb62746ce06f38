"""What a model can be asked to do, from evidence in its files.

Evidence in order of weight: what the publisher declares (``pipeline_tag`` in the model card), files
that only one kind of model has (sentence-transformers' ``modules.json``), the configuration (sub-
configurations for images and sound, ``is_causal``), the name of the architecture, what prepares
images and sound for it (``preprocessor_config.json``), and last the name of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.artifacts import traits
from ome.artifacts.fields import AUDIO_PARTS, VISION_PARTS

EMBEDDING = "EMBEDDING"
RERANK = "RERANK"
TEXT = "TEXT_TO_TEXT"
VISION = "IMAGE_TEXT_TO_TEXT"

_DECLARED: Mapping[str, str] = {
    "feature-extraction": EMBEDDING,
    "sentence-similarity": EMBEDDING,
    "image-feature-extraction": EMBEDDING,
    "visual-document-retrieval": EMBEDDING,
    "text-ranking": RERANK,
    "automatic-speech-recognition": "AUDIO_TO_TEXT",
    "text-to-speech": "TEXT_TO_AUDIO",
    "text-to-audio": "TEXT_TO_AUDIO",
    "audio-to-audio": "AUDIO_TO_AUDIO",
    "text-to-image": "TEXT_TO_IMAGE",
    "text-to-video": "TEXT_TO_VIDEO",
    "image-to-video": "IMAGE_TEXT_TO_VIDEO",
    "image-to-image": "IMAGE_TEXT_TO_IMAGE",
}
_OMNI = (
    VISION,
    "AUDIO_TO_TEXT",
    "TEXT_TO_AUDIO",
    "IMAGE_TEXT_TO_AUDIO",
    "VIDEO_TEXT_TO_AUDIO",
    "AUDIO_TO_AUDIO",
)
_SPEECH = re.compile(r"whisper|wav2vec2|hubert|forctc|speechtotext|speechseq2seq")
_EMBEDDER = re.compile(r"(?<![a-z])embed(ding|dings|der)?(?![a-z])")
_RERANKER = re.compile(r"rerank(er)?(?![a-z])")


@dataclass(frozen=True, slots=True)
class Evidence:
    """``declared`` is the card's pipeline tag, ``name`` what the model is called. ``takes_images``
    and ``takes_sound``: a processor for them lies beside the model."""

    config: Mapping[str, Any]
    architecture: str
    model_type: str
    declared: str = ""
    name: str = ""
    takes_images: bool = False
    takes_sound: bool = False
    sentence_transformer: bool = False
    cross_encoder: bool = False


def has_part(config: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    inner = config.get("thinker_config")
    places = [config, inner] if isinstance(inner, Mapping) else [config]
    return any(isinstance(p.get(n), Mapping) and p.get(n) for p in places for n in names)


def infer(found: Evidence) -> tuple[str, ...]:
    """The capabilities; the first is what the model is for."""
    architecture, kind = found.architecture.lower(), found.model_type.lower()
    if found.declared in _DECLARED and not architecture.endswith("pipeline"):
        return (_DECLARED[found.declared],)
    if found.cross_encoder or _is_scorer(found, architecture):
        return (RERANK,)
    if _is_embedder(found, architecture, kind):
        return (EMBEDDING,)
    if _SPEECH.search(architecture) or kind == "whisper":
        return ("AUDIO_TO_TEXT",)
    embedding = found.config.get("embd_layer")
    sees = has_part(found.config, VISION_PARTS) or (
        isinstance(embedding, Mapping) and "image_embd_layer" in embedding
    )
    hears = has_part(found.config, AUDIO_PARTS)
    if "omni" in architecture or ("talker_config" in found.config and hears):
        silent = found.config.get("enable_audio_output") is False
        return (VISION, "AUDIO_TO_TEXT") if silent else _OMNI
    if sees or "vision" in kind or _sees_by_name(architecture):
        return (VISION, "AUDIO_TO_TEXT") if hears else (VISION,)
    if hears:
        return ("AUDIO_TO_TEXT", TEXT)
    if found.takes_images:
        return (VISION, "AUDIO_TO_TEXT") if found.takes_sound else (VISION,)
    if found.takes_sound:
        return ("AUDIO_TO_TEXT",)
    name = found.name.lower()
    if _RERANKER.search(name):
        return (RERANK,)
    if _EMBEDDER.search(name):
        return (EMBEDDING,)
    return (TEXT,) if architecture or kind else ()


def _is_scorer(found: Evidence, architecture: str) -> bool:
    """One number for a text: rerankers and reward models."""
    if "reward" in architecture:
        return True
    if not architecture.endswith("forsequenceclassification"):
        return False
    labels = found.config.get("id2label")
    number = len(labels) if isinstance(labels, Mapping) else found.config.get("num_labels", 1)
    return number == 1


def _is_embedder(found: Evidence, architecture: str, kind: str) -> bool:
    if found.sentence_transformer or found.config.get("is_causal") is False:
        return True
    if "embedding" in architecture or "sentence" in architecture:
        return True
    encoder = kind in traits.ENCODERS or "bert" in kind
    if encoder:
        return not architecture.endswith(("forsequenceclassification", "fortokenclassification"))
    bare = architecture.endswith("model") and not architecture.endswith("lmheadmodel")
    return bare and not found.config.get("auto_map") and not has_part(found.config, VISION_PARTS)


def _sees_by_name(architecture: str) -> bool:
    return bool(re.search(r"vision|vlfor|llava|multimodal|multimodality|imagetext", architecture))


def of_pipeline(class_name: str) -> tuple[str, ...]:
    """Capabilities of a diffusers pipeline, from the name of its class."""
    name = class_name.lower()
    if re.search(r"audio|music|speech|tts", name):
        return ("TEXT_TO_AUDIO",)
    if re.search(r"imagetovideo|img2vid|image2video|i2v|videodiffusion", name):
        return ("IMAGE_TEXT_TO_VIDEO",)
    if re.search(r"video|t2v|^wan|^ltx|^cogvideo|^mochi|^hunyuanvideo|allegro", name):
        return ("TEXT_TO_VIDEO",)
    if re.search(r"edit|pix2pix|img2img|inpaint|fill|kontext|upscale|controlnet|variation", name):
        return ("IMAGE_TEXT_TO_IMAGE",)
    return ("TEXT_TO_IMAGE",)
