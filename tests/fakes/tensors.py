"""Small safetensors files: a base model of the usual shape, and adapters for it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod

HIDDEN = 64


def safetensors(shapes: Mapping[str, Sequence[int]]) -> bytes:
    """Zeros of these shapes, half precision."""
    at, header = 0, {}
    for name, shape in shapes.items():
        end = at + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(at)


def base(hidden: int = HIDDEN, layers: int = 2) -> dict[str, bytes]:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 100,
    }
    shapes = {
        f"model.layers.{n}.self_attn.{name}.weight": (hidden, hidden)
        for n in range(layers)
        for name in ("q_proj", "v_proj")
    }
    return {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors(shapes)}


def lora(
    hidden: int = HIDDEN,
    layers: int = 2,
    rank: int = 8,
    *,
    says: int | None = None,
    **config: object,
) -> dict[str, bytes]:
    """An adapter for such a base. ``says`` is the rank in its configuration."""
    stated = {
        "peft_type": "LORA",
        "r": rank if says is None else says,
        "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "org/base",
        **config,
    }
    shapes: dict[str, tuple[int, int]] = {}
    for n in range(layers):
        for name in ("q_proj", "v_proj"):
            stem = f"base_model.model.model.layers.{n}.self_attn.{name}"
            shapes[f"{stem}.lora_A.weight"] = (rank, hidden)
            shapes[f"{stem}.lora_B.weight"] = (hidden, rank)
    return {
        "adapter_config.json": json.dumps(stated).encode(),
        "adapter_model.safetensors": safetensors(shapes),
    }
