"""What one GPU has to hold: weights, cache, activations, and what the runtime takes.

Cache
    A token takes ``kv_heads x (head_size + value_size)`` numbers in each layer that attends (two
    times ``kv_heads x head_size`` as a rule: arXiv:2305.13245 for grouped heads), with compressed
    attention ``latent`` numbers (arXiv:2405.04434, equation 9). A layer with a window keeps no
    more than the window (arXiv:2310.06825); vLLM and SGLang give such layers a pool of their own.
    A layer with a state keeps that, whatever the length (arXiv:2312.00752), in 32 bits.

Tensor parallelism
    Splits the matrices of every layer and the heads. With more GPUs than key heads each GPU keeps
    one head, which is then kept several times (vLLM ``get_num_kv_heads``). Compressed keys can't be
    split: every GPU has all of them.

Pipeline parallelism
    Splits the layers; the GPUs of the largest stage decide.

Activations and overhead, estimates both
    While a prompt is worked on, a token takes a few rows of ``hidden`` and two of ``intermediate``,
    and every sequence a row of scores over the vocabulary in 32 bits. The CUDA context, kernels and
    the graphs that are captured take about a gigabyte, and the collectives of several GPUs half a
    gigabyte more.
"""

from __future__ import annotations

from dataclasses import dataclass

from ome.sizing.engines import EngineArgs
from ome.sizing.model import ModelFacts, Shape
from ome.sizing.weights import Weights, weights

MIB = 1 << 20
_CONTEXT_BYTES = 1024 * MIB
_COLLECTIVES_BYTES = 512 * MIB
_BATCHED_TOKENS = 2048
_STATE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes on the GPU that holds most. ``cache`` is None where the model's shape isn't known."""

    weights: int
    cache: int | None
    activations: int
    overhead: int
    gpus: int
    """GPUs that hold one copy of the model together."""
    context: int
    """The tokens that ``cache`` is made for; 0 where not known."""
    sequences: int
    how: Weights

    @property
    def each(self) -> int:
        """In all on the fullest GPU; without the cache where that isn't known."""
        return self.weights + (self.cache or 0) + self.activations + self.overhead

    @property
    def total(self) -> int:
        return self.each * self.gpus


def need(
    facts: ModelFacts,
    args: EngineArgs,
    *,
    tensor: int,
    pipeline: int = 1,
    context: int,
    sequences: int = 1,
) -> Need | None:
    """What serving ``sequences`` requests of ``context`` tokens takes; None for unknown weights."""
    found = weights(facts, quantize=args.quantization, dtype=args.dtype)
    if found is None:
        return None
    tensor, pipeline = max(1, tensor), max(1, pipeline)
    shape = facts.shape
    cache = None
    if shape is not None and context and shape.known_cache:
        cache = cache_bytes(
            shape,
            context,
            sequences,
            tensor=tensor,
            pipeline=pipeline,
            number_bytes=args.cache_bytes,
        )
    gpus = tensor * pipeline
    return Need(
        weights=weights_per_gpu(found.bytes, facts, tensor, pipeline),
        cache=cache,
        activations=_activations(shape, args, tensor, context, sequences),
        overhead=_CONTEXT_BYTES + (_COLLECTIVES_BYTES if gpus > 1 else 0),
        gpus=gpus,
        context=context if cache is not None else 0,
        sequences=sequences,
        how=found,
    )


def weights_per_gpu(total: int, facts: ModelFacts, tensor: int, pipeline: int = 1) -> int:
    """The share of the fullest GPU: its layers, and the keys that it keeps beside its share."""
    shape = facts.shape
    if shape is None:
        return -(-total // (tensor * pipeline))
    stage = min(pipeline, shape.layers)
    per_layer = -(-shape.layers // stage) / shape.layers
    each = -(-total // tensor) if stage == 1 else int(total / tensor * per_layer) + 1
    if tensor > shape.kv_heads > 0 and not shape.latent and facts.parameters:
        surplus = 1 - shape.kv_heads / tensor
        keys = shape.hidden * (shape.head_size + shape.value_size)
        layers = -(-(shape.full_layers + shape.window_layers) // stage)
        each += int(keys * surplus * layers * (total / facts.parameters))
    return min(each, total)


def cache_bytes(
    shape: Shape,
    context: int,
    sequences: int,
    *,
    tensor: int = 1,
    pipeline: int = 1,
    number_bytes: float = 2.0,
) -> int:
    """Bytes that one GPU keeps for so many sequences of that length."""
    heads = -(-shape.kv_heads // max(1, tensor))
    token = shape.latent or heads * (shape.head_size + (shape.value_size or shape.head_size))
    stages = max(1, pipeline)
    full, windowed, states = (
        -(-layers // stages)
        for layers in (shape.full_layers, shape.window_layers, shape.state_layers)
    )
    within = min(context, shape.window) if shape.window else context
    numbers = token * (full * context + windowed * within)
    state = states * shape.state * _STATE_BYTES // max(1, tensor)
    return int(sequences * (numbers * number_bytes + state))


def _activations(
    shape: Shape | None, args: EngineArgs, tensor: int, context: int, sequences: int
) -> int:
    if shape is None:
        return 0
    tokens = args.batched_tokens or min(context or _BATCHED_TOKENS, _BATCHED_TOKENS)
    rows = 4 * shape.hidden + 2 * -(-shape.intermediate // tensor)
    return tokens * rows * 2 + sequences * shape.vocabulary * 4
