"""Builds small GGUF files, whole or damaged, little or big endian."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

_BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 30: (1, 2)}


def _text(value: str, order: str) -> bytes:
    raw = value.encode()
    return struct.pack(order + "Q", len(raw)) + raw


def _value(value: Any, order: str) -> bytes:
    if isinstance(value, bool):
        return struct.pack(order + "I?", 7, value)
    if isinstance(value, int):
        return struct.pack(order + "IQ", 10, value)
    if isinstance(value, float):
        return struct.pack(order + "If", 6, value)
    if isinstance(value, str):
        return struct.pack(order + "I", 8) + _text(value, order)
    head = struct.pack(order + "I", 9)
    if value and isinstance(value[0], str):
        body = b"".join(_text(v, order) for v in value)
        return head + struct.pack(order + "IQ", 8, len(value)) + body
    body = b"".join(struct.pack(order + "q", v) for v in value)
    return head + struct.pack(order + "IQ", 11, len(value)) + body


def build(
    values: Mapping[str, Any] | None = None,
    tensors: Sequence[tuple[str, tuple[int, ...], int]] = (("token_embd.weight", (64, 32), 1),),
    *,
    version: int = 3,
    big_endian: bool = False,
) -> bytes:
    """A valid file. Tensors are (name, shape, ggml type); their data are zeros."""
    order = ">" if big_endian else "<"
    values = {
        "general.architecture": "llama",
        "general.file_type": 1,
        "llama.context_length": 2048,
        "tokenizer.ggml.tokens": ["a", "b", "c"],
        **(values or {}),
    }
    out = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(values))
    for key, value in values.items():
        out += _text(key, order) + _value(value, order)
    offset = 0
    for name, shape, kind in tensors:
        out += _text(name, order) + struct.pack(order + "I", len(shape))
        out += struct.pack(order + f"{len(shape)}Q", *shape)
        out += struct.pack(order + "IQ", kind, offset)
        block, size = _BLOCKS[kind]
        offset += -(-(prod(shape) // block * size) // 32) * 32
    out += b"\0" * (-len(out) % 32)
    return out + b"\0" * offset
