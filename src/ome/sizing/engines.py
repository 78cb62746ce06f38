"""What an engine is told on its command line, as far as memory is concerned.

The options are those of vLLM, SGLang and llama.cpp; an engine that isn't recognised is read by the
same names. Commands come as lists of arguments or as a shell script in one argument. A value that
refers to the environment is looked up; one that can't be resolved counts as not given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

VLLM: Final = "vLLM"
SGLANG: Final = "SGLang"
LLAMA_CPP: Final = "llama.cpp"

_TENSOR: Final = ("--tensor-parallel-size", "--tp-size", "--tp", "-tp")
_PIPELINE: Final = ("--pipeline-parallel-size", "--pp-size", "--pp", "-pp")
_DATA: Final = ("--data-parallel-size", "--dp-size", "--dp", "-dp")
_CONTEXT: Final = ("--max-model-len", "--context-length", "--ctx-size", "-c", "--max-seq-len")
_SEQUENCES: Final = ("--max-num-seqs", "--max-running-requests", "--parallel", "-np")
_SHARE: Final = ("--gpu-memory-utilization", "--mem-fraction-static", "--mem-frac")
_BATCHED: Final = ("--max-num-batched-tokens", "--chunked-prefill-size", "--batch-size", "-b")
_CACHE_TYPE: Final = ("--kv-cache-dtype", "--cache-type-k", "-ctk")
_GPU_LAYERS: Final = ("--gpu-layers", "--n-gpu-layers", "-ngl")
_OFFLOADS: Final = (
    "--cpu-offload-gb",
    "--cpu-offload-params",
    "--enable-memory-saver",
    "--n-cpu-moe",
    "--cpu-moe",
)
_ALL_LAYERS: Final = 99
_AUTOMATIC: Final = ("auto", "-1")
_LEAST_OF_AUTOMATIC: Final = 2048
"""An engine that may choose its context is held to no more than this."""

_DEFAULT_SHARE: Final = {VLLM: 0.9, SGLANG: 0.88}
"""vLLM's documented default; what SGLang computes for a large GPU with one model."""
_NAMES: Final = (
    (LLAMA_CPP, ("llama.cpp", "llamacpp", "llama-server", "llama_cpp")),
    (SGLANG, ("sglang",)),
    (VLLM, ("vllm",)),
)
_CACHE_BYTES: Final = {"q8_0": 34 / 32, "q4_0": 18 / 32, "q4_1": 20 / 32, "f32": 4.0}

_TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s\"']+")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
_REFERENCE = re.compile(r"\$[({]?(\w+)[)}]?")
_NUMBER = re.compile(r"(\d{1,18})(\.\d{1,9})?([kKmMgG]?)")
_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """0 and empty mean: not said."""

    engine: str = ""
    """``vLLM``, ``SGLang``, ``llama.cpp``, or empty for one that isn't recognised."""
    tensor: int = 0
    pipeline: int = 0
    data: int = 0
    context: int = 0
    sequences: int = 0
    share: float = 0.0
    """Of a GPU's memory that the engine may fill, where it has such an option."""
    batched_tokens: int = 0
    cache_bytes: float = 2.0
    """Of a number in the cache."""
    dtype: str = ""
    quantization: str = ""
    spills: bool = False
    """Weights that don't fit stay in the machine's memory."""
    context_option: str = ""

    @property
    def holds_whole_context(self) -> bool:
        """vLLM refuses to start where a request of full length doesn't fit, and llama.cpp makes
        its cache in one piece; SGLang makes do with what is left."""
        return self.engine in (VLLM, LLAMA_CPP)


def read_args(
    words: Sequence[str], *, environment: Mapping[str, str] | None = None, image: str = ""
) -> EngineArgs:
    """``words`` are the container's command and arguments."""
    values = _options(words, environment or {})

    def number(names: Sequence[str]) -> int:
        return next((_whole(values[name]) for name in names if name in values), 0)

    engine = _engine(" ".join((image, *words[:8])))
    share = next((_fraction(values[name]) for name in _SHARE if name in values), 0.0)
    layers = next((_whole(values[name]) for name in _GPU_LAYERS if name in values), -1)
    spills = any(name in values for name in _OFFLOADS)
    if engine == LLAMA_CPP:
        spills = spills or layers < _ALL_LAYERS
    context = number(_CONTEXT)
    automatic = any(values.get(name) in _AUTOMATIC for name in _CONTEXT)
    kind = next((values[name].lower() for name in _CACHE_TYPE if name in values), "")
    return EngineArgs(
        engine=engine,
        tensor=number(_TENSOR),
        pipeline=number(_PIPELINE),
        data=number(_DATA),
        context=context or (_LEAST_OF_AUTOMATIC if automatic else 0),
        sequences=number(_SEQUENCES),
        share=share or _DEFAULT_SHARE.get(engine, 0.0),
        batched_tokens=number(_BATCHED) if engine != LLAMA_CPP else 0,
        cache_bytes=1.0 if "fp8" in kind else _CACHE_BYTES.get(kind, 2.0),
        dtype=values.get("--dtype", ""),
        quantization=values.get("--quantization", values.get("-q", "")),
        spills=spills,
        context_option=next((n for n in _CONTEXT if n in values), _default_option(engine)),
    )


def _engine(text: str) -> str:
    lower = text.lower()
    return next((name for name, marks in _NAMES if any(m in lower for m in marks)), "")


def _default_option(engine: str) -> str:
    return {VLLM: "--max-model-len", SGLANG: "--context-length", LLAMA_CPP: "-c"}.get(engine, "")


def _options(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Option -> value as text; empty for an option without one. The last one counts."""
    tokens: list[str] = []
    for word in words:
        if "--" in word and any(mark in word for mark in " \n\t"):
            tokens += [t.strip("\"'") for t in _TOKEN.findall(word.replace("\\\n", " "))]
        else:
            tokens.append(word)
    found: dict[str, str] = {}
    for index, token in enumerate(tokens):
        name, equals, value = token.partition("=")
        if not _OPTION.fullmatch(name):
            continue
        if not equals:
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            value = "" if _OPTION.match(following) else following
        found[name] = _resolved(value, environment)
    return found


def _resolved(value: str, environment: Mapping[str, str]) -> str:
    value = value.strip().strip("\"'")
    reference = _REFERENCE.fullmatch(value)
    return environment.get(reference[1], "") if reference else value


def _whole(text: str) -> int:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return 0
    return int(float(found[1] + (found[2] or "")) * _UNITS[found[3]])


def _fraction(text: str) -> float:
    found = _NUMBER.fullmatch(text.strip())
    value = float(found[1] + (found[2] or "")) if found and not found[3] else 0.0
    return value if 0 < value <= 1 else 0.0
