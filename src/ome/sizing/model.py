"""What is known of a model, as numbers that can be relied on.

Everything comes from objects that anybody can write, so a number that is none, is negative or
absurdly large counts as not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_MOST = 1 << 62


def count(value: Any) -> int:
    """A whole number from 0 to 2**62; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    return int(value) if 0 <= value <= _MOST else 0


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions that decide about memory; what they mean is said in ``artifacts/shape.py``."""

    layers: int
    hidden: int
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    value_size: int = 0
    vocabulary: int = 0
    intermediate: int = 0
    tables: int = 0
    full_layers: int = 0
    window_layers: int = 0
    window: int = 0
    latent: int = 0
    state_layers: int = 0
    state: int = 0

    @classmethod
    def of(cls, raw: Any) -> Shape | None:
        """None where layers or width are missing, or more layers keep something than there are."""
        if not isinstance(raw, Mapping):
            return None
        shape = cls(**{field.name: count(raw.get(field.name)) for field in fields(cls)})
        keeping = max(shape.full_layers + shape.window_layers, shape.state_layers)
        if not shape.layers or not shape.hidden or keeping > shape.layers:
            return None
        return shape

    @property
    def embedding_parameters(self) -> int:
        """Of the embedding and of an output layer of its own: quantization leaves them alone."""
        return self.tables * self.vocabulary * self.hidden

    @property
    def known_cache(self) -> bool:
        """Whether what a token takes can be said."""
        attends = self.full_layers + self.window_layers
        return not attends or bool(self.latent or (self.kv_heads and self.head_size))


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Zero, empty and None mean: not known."""

    parameters: int = 0
    weight_bytes: int = 0
    """How large the files are that hold the weights."""
    quantization: str = ""
    dtype: str = ""
    format: str = ""
    """``safetensors``, ``gguf`` ..."""
    max_tokens: int = 0
    shape: Shape | None = None

    @property
    def known(self) -> bool:
        return bool(self.parameters or self.weight_bytes)
