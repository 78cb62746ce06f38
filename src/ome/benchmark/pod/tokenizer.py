"""A tokenizer that transformers can load, from what the model brings.

genai-bench shapes prompts with it and counts their tokens. A folder with a tokenizer is used as it
is; a GGUF file carries its tokenizer inside and is unpacked; where there is neither, words count as
tokens, and the results say so.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?"}
_SCALARS |= {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
_CONTROL, _USER = 3, 4
_PREFIX = "tokenizer."
_UNK = "[UNK]"


def find(given: Path, scratch: Path) -> Path | None:
    """A folder that transformers can load; None where the files hold no tokenizer."""
    if given.is_dir() and any((given / name).exists() for name in FILES):
        return given
    candidates = [given] if given.is_file() else sorted(given.glob("**/*.gguf"))
    for path in candidates:
        if path.suffix == ".gguf":
            unpacked = from_gguf(path, scratch)
            if unpacked is not None:
                return unpacked
    return None


def from_gguf(path: Path, scratch: Path) -> Path | None:
    """Byte-level BPE, as GPT-2, Llama 3, Qwen and SmolLM have it; None for any other kind."""
    try:
        facts = metadata(path)
    except (OSError, ValueError, struct.error):
        return None
    tokens = facts.get("tokenizer.ggml.tokens")
    merges = facts.get("tokenizer.ggml.merges")
    if facts.get("tokenizer.ggml.model") != "gpt2" or not tokens or not merges:
        return None
    types = facts.get("tokenizer.ggml.token_type") or []
    special = [i for i, kind in enumerate(types) if kind in (_CONTROL, _USER)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    byte_level["use_regex"] = True
    split: dict[str, Any] = byte_level
    if facts.get("tokenizer.ggml.pre") in ("smollm", "smaug-bpe"):
        digits = {"type": "Digits", "individual_digits": True}
        split = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    model = {
        "type": "BPE",
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": [merge.split(" ", 1) for merge in merges],
    }
    added = [_added(tokens[i], i) for i in special]
    end = tokens[int(facts.get("tokenizer.ggml.eos_token_id") or 0)]
    return _write(scratch, model, split, {"type": "ByteLevel"}, added, {"eos_token": end})


def of_words(text: str, scratch: Path) -> Path:
    """Each word of the text is a token, and so is any other word."""
    words = dict.fromkeys([_UNK, *text.split()])
    vocab = {word: index for index, word in enumerate(words)}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": _UNK}
    split = {"type": "WhitespaceSplit"}
    return _write(scratch, model, split, None, [_added(_UNK, 0)], {"unk_token": _UNK})


def _added(token: str, index: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": token, **flags, "special": True}


def _write(
    scratch: Path,
    model: dict[str, Any],
    split: dict[str, Any],
    decoder: dict[str, Any] | None,
    added: list[dict[str, Any]],
    config: dict[str, Any],
) -> Path:
    scratch.mkdir(parents=True, exist_ok=True)
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": split,
        "post_processor": None,
        "decoder": decoder and {**decoder, "add_prefix_space": True, "trim_offsets": True},
        "model": model,
    }
    (scratch / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    config |= {"clean_up_tokenization_spaces": False, "model_max_length": 1_000_000}
    (scratch / "tokenizer_config.json").write_text(json.dumps(config))
    return scratch


def metadata(path: Path) -> dict[str, Any]:
    """What a GGUF file says about its tokenizer. Raises ValueError or struct.error."""
    facts: dict[str, Any] = {}
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError("not a GGUF file")
        _version, _tensors, count = struct.unpack("<IQQ", file.read(20))
        for _ in range(count):
            key = _text(file)
            (kind,) = struct.unpack("<I", file.read(4))
            value = _value(file, kind)
            if key.startswith(_PREFIX):
                facts[key] = value
    return facts


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    return file.read(length).decode(errors="replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        return [_value(file, inner) for _ in range(count)]
    form = _SCALARS.get(kind)
    if form is None:
        raise ValueError(f"a value of unknown type {kind}")
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
