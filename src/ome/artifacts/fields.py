"""Reading a model configuration whose fields go by many names.

Families call the same thing ``hidden_size``, ``d_model`` or ``n_embd``, and put it at the top, in
``text_config`` or in ``attn_config``. A :class:`Fields` answers for the thing. Values of the wrong
type count as absent: configurations come from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.artifacts import defaults

TEXT_PARTS = ("text_config", "language_config", "llm_config", "lm_config", "llm", "text_model")
VISION_PARTS = ("vision_config", "vit_config", "visual", "vision_tower_config", "img_processor")
AUDIO_PARTS = (
    "audio_config", "audio_encoder", "audio_processor", "speech_config", "audio_tower_config",
)  # fmt: skip

_LARGEST_FACTOR = 1 << 20
_NESTED = ("attn_config", "ffn_config", "moe_config", "attention", "rope_scaling_config")
_BY_LAYER = (
    "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_query_heads",
    "num_kv_heads", "head_dim", "ffn_multipliers", "moe_intermediate_size", "num_experts",
    "num_shared_expert",
)  # fmt: skip


class Fields:
    """One (sub-)configuration. ``assumed`` fills what was left out on saving: see ``defaults``."""

    def __init__(self, raw: Mapping[str, Any], assumed: Mapping[str, Any] | None = None) -> None:
        self.raw = raw
        self.model_type = raw["model_type"] if isinstance(raw.get("model_type"), str) else ""
        self._assumed = assumed or {}
        self._nested = [raw[n] for n in _NESTED if isinstance(raw.get(n), Mapping)]

    def get(self, *names: str) -> Any:
        """The first of the names that has a value, here or in a nested part; None for none.

        What is written as null is not filled by what the class assumes.
        """
        for source in (self.raw, *self._nested):
            for name in names:
                value = source.get(name)
                if value is not None:
                    return value
        for name in names:
            if name not in self.raw and name in self._assumed:
                return self._assumed[name]
        return None

    def at(self, index: int) -> Fields:
        """This configuration as it is for one layer, where layers differ in size."""
        changed: dict[str, Any] = {}
        for name in _BY_LAYER:
            value = self.raw.get(name)
            if isinstance(value, list) and len(value) == self.layers and index < len(value):
                changed[name] = value[index]
        own = self.raw.get("per_layer_config")
        if isinstance(own, Mapping):
            layer = own.get(f"{index:02d}") or own.get(str(index))
            changed |= layer if isinstance(layer, Mapping) else {}
        return Fields({**self.raw, **changed}, self._assumed) if changed else self

    def number(self, *names: str) -> int:
        """A count; 0 where absent. Of a list (height and width, layers) the first."""
        value = self.get(*names)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0
        return int(value) if 0 <= value < 1 << 62 else 0  # NaN is neither

    def real(self, *names: str) -> float:
        """A factor; 0 where absent, and for what no factor can be."""
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return 0.0
        return float(value) if 0 <= value < _LARGEST_FACTOR else 0.0

    def text(self, *names: str) -> str:
        value = self.get(*names)
        return value if isinstance(value, str) else ""

    def flag(self, *names: str) -> bool | None:
        value = self.get(*names)
        return value if isinstance(value, bool) else None

    def numbers(self, *names: str) -> list[int]:
        value = self.get(*names)
        if not isinstance(value, list):
            return []
        return [v for v in value if isinstance(v, int) and not isinstance(v, bool)]

    def texts(self, *names: str) -> list[str]:
        value = self.get(*names)
        return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []

    def part(self, *names: str) -> Fields | None:
        """A sub-configuration with the defaults of its type."""
        for name in names:
            value = self.raw.get(name)
            if isinstance(value, Mapping) and value:
                return Fields(value, _assumed(value.get("model_type"), name))
        return None

    # The usual dimensions.

    @property
    def hidden(self) -> int:
        return self.number("hidden_size", "d_model", "n_embd", "model_dim", "dim", "width")

    @property
    def layers(self) -> int:
        stated = self.number(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_transformer_layers",
            "decoder_layers", "depth", "num_blocks",
        )  # fmt: skip
        return stated or len(self.texts("layers_block_type", "layer_types"))

    @property
    def heads(self) -> int:
        return self.number(
            "num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads",
            "num_query_heads", "encoder_attention_heads",
        )  # fmt: skip

    @property
    def kv_heads(self) -> int:
        if self.flag("multi_query_attention"):
            return self.number("multi_query_group_num") or 1
        if self.flag("multi_query") and not self.flag("new_decoder_architecture"):
            return 1
        return (
            self.number(
                "num_key_value_heads", "kv_n_heads", "num_kv_heads", "n_head_kv",
                "num_attention_groups",
            )
            or self.heads
        )  # fmt: skip

    @property
    def head_size(self) -> int:
        stated = self.number("head_dim", "kv_channels", "attention_head_dim")
        return stated or (self.hidden // self.heads if self.heads else 0)

    @property
    def vocabulary(self) -> int:
        return self.number("padded_vocab_size", "vocab_size", "n_vocab", "vocabulary_size")

    @property
    def intermediate(self) -> int:
        return self.number(
            "intermediate_size", "ffn_hidden_size", "ff_intermediate_size", "n_inner", "ffn_dim",
            "d_ff", "ffn_dim_hidden", "decoder_ffn_dim", "encoder_ffn_dim", "intermediate_dim",
        )  # fmt: skip

    @property
    def context(self) -> int:
        return self.number(
            "seq_length", "max_position_embeddings", "n_positions", "max_seq_len",
            "max_sequence_length", "model_max_length", "n_ctx", "max_context_length",
            "max_target_positions",
        )  # fmt: skip


def text_part(config: Fields) -> Fields:
    """The part that describes the language model: a sub-configuration, or the whole."""
    thinker = config.part("thinker_config")
    if thinker is not None:
        return text_part(thinker)
    part = config.part(*TEXT_PARTS)
    return part or Fields(config.raw, defaults.TEXT.get(config.model_type))


def _assumed(kind: object, name: str) -> Mapping[str, Any] | None:
    """The defaults of a type, as a part of this name."""
    if not isinstance(kind, str):
        return None
    if name in VISION_PARTS:
        return defaults.VISION.get(defaults.ALIASES.get(kind, kind))
    if name in AUDIO_PARTS:
        return defaults.AUDIO.get(kind)
    return defaults.TEXT.get(kind)
