"""How many bytes the weights of a model take once they are loaded.

Where the files are there, they say it: an engine keeps weights as it finds them. Before that it is
parameters x bits, with three things to mind:

* Quantization concerns the matrices of the layers. Embedding and output layer stay in 16 bits
  (AWQ, arXiv:2306.00978 section 4; GPTQ, arXiv:2210.17323; the checkpoints published as FP8 list
  ``lm_head`` under ``ignore``). Llama-3.1-8B-AWQ: 5.73 GB, not 8.03e9 x 4 / 8 = 4.0 GB.
* Groups carry a scale, and a zero point: 4 bits with groups of 128 are 4 + (16 + 4) / 128 bits.
  MXFP4 has a scale of 8 bits for 32 numbers (OCP Microscaling 1.0): 4.25 bits.
* GGUF mixes types within a file. Its bits per weight are those that llama.cpp's
  ``tools/quantize/README.md`` measures on Llama-3.1-8B, embeddings included.

An engine turns weights of 32 bits into 16 unless it is told otherwise (vLLM ``--dtype auto``,
SGLang likewise).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ome.sizing.model import ModelFacts

_PLAIN: Final = {
    "float64": 64.0,
    "float32": 32.0,
    "fp32": 32.0,
    "f32": 32.0,
    "bfloat16": 16.0,
    "bf16": 16.0,
    "float16": 16.0,
    "fp16": 16.0,
    "f16": 16.0,
    "half": 16.0,
}
_LAYERS_ONLY: Final = {
    "fp8": 8.0 + 32 / (128 * 128),
    "fbgemm_fp8": 8.0,
    "float8_e4m3fn": 8.0,
    "float8_e5m2": 8.0,
    "int8": 8.0,
    "w8a8": 8.0,
    "smoothquant": 8.0,
    "int4": 4.0 + 20 / 128,
    "awq": 4.0 + 20 / 128,
    "gptq": 4.0 + 20 / 128,
    "gptq_marlin": 4.0 + 20 / 128,
    "awq_marlin": 4.0 + 20 / 128,
    "w4a16": 4.0 + 20 / 128,
    "w4a8": 4.0 + 20 / 128,
    "bitsandbytes": 4.0 + 0.127,
    "nf4": 4.0 + 0.127,
    "mxfp4": 4.25,
    "nvfp4": 4.5,
    "fp4": 4.5,
}
_GGUF: Final = {
    "IQ1_S": 2.0042,
    "IQ1_M": 2.1460,
    "IQ2_XXS": 2.3824,
    "IQ2_XS": 2.5882,
    "IQ2_S": 2.7403,
    "IQ2_M": 2.9294,
    "IQ3_XXS": 3.2548,
    "IQ3_XS": 3.4977,
    "IQ3_S": 3.6606,
    "IQ3_M": 3.7628,
    "IQ4_XS": 4.4597,
    "IQ4_NL": 4.6818,
    "Q2_K": 3.1593,
    "Q2_K_S": 2.9697,
    "Q3_K_S": 3.6429,
    "Q3_K_M": 3.9960,
    "Q3_K_L": 4.2979,
    "Q4_0": 4.6775,
    "Q4_1": 5.1572,
    "Q4_K_S": 4.6672,
    "Q4_K_M": 4.8944,
    "Q5_0": 5.5769,
    "Q5_1": 6.0656,
    "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036,
    "Q6_K": 6.5633,
    "Q8_0": 8.5008,
    "TQ1_0": 1.69,
    "TQ2_0": 2.06,
}
_LOADED_AS: Final = {"float64": 16.0, "float32": 16.0, "fp32": 16.0, "f32": 16.0}
_DEFAULT_BITS: Final = 16.0
"""What models without a word about it are published in."""


@dataclass(frozen=True, slots=True)
class Weights:
    bytes: int
    exact: bool
    """Measured from the files, not computed."""
    why: str


def bits_of(name: str) -> tuple[float, bool] | None:
    """(bits of a weight, whether that is only so in the layers); None for a name not known."""
    if name.upper() in _GGUF:
        return _GGUF[name.upper()], False
    lower = name.lower().removeprefix("torch.").replace("-", "_")
    if lower in _PLAIN:
        return _PLAIN[lower], False
    if lower in _LAYERS_ONLY:
        return _LAYERS_ONLY[lower], True
    return None


def weights(facts: ModelFacts, *, quantize: str = "", dtype: str = "") -> Weights | None:
    """What the weights take; None where it is not known.

    ``quantize`` and ``dtype`` are what the engine is told to make of them as it loads them. They
    count only where the model isn't quantized already.
    """
    asked = bits_of(quantize) if quantize and not facts.quantization else None
    halved = _halves(facts, dtype)
    if facts.weight_bytes and asked is None:
        size = facts.weight_bytes // 2 if halved else facts.weight_bytes
        return Weights(size, True, "the size of the files")
    if not facts.parameters:
        return None
    name = facts.quantization or (quantize if asked else "") or facts.dtype
    bits = asked or (bits_of(name) if name else (_DEFAULT_BITS, False))
    if bits is None:
        return None
    value, layers_only = bits
    if halved and asked is None:
        value = _DEFAULT_BITS
    plain = 0
    if layers_only and facts.shape is not None:
        plain = min(facts.shape.embedding_parameters, facts.parameters)
    total = (facts.parameters - plain) * value / 8 + plain * 2
    return Weights(int(total), False, f"{name or 'bfloat16'}, {value:.4g} bits a weight")


def _halves(facts: ModelFacts, dtype: str) -> bool:
    """Whether an engine loads 32 bits as 16: safetensors, and nobody asks for 32."""
    if facts.quantization or facts.format == "gguf":
        return False
    return facts.dtype.lower() in _LOADED_AS and dtype.lower() not in ("float", "float32", "fp32")
