"""Does a model fit on these GPUs, and what would make it fit.

The question is what the engine needs *at the very least* to start: its weights, one request of the
context that it is told to hold, and what the runtime takes. So "no" is said only where the engine
would fail. A comfortable amount of cache is not part of it; how many requests there is room for is
told beside.

Unknown (never no): weights or memory that aren't known, an engine that spills to the machine's
memory, and a count of GPUs that isn't known. Where the shape of the model isn't known its cache
counts as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ome.sizing.engines import LLAMA_CPP, SGLANG, EngineArgs
from ome.sizing.memory import Need, cache_bytes, need
from ome.sizing.model import ModelFacts, Shape

GIB = 1 << 30
_LEAST_CONTEXT = 2048
_SHORTEST = 1024
_WIDTHS = (2, 4, 8, 16, 32, 64)
_TOLERANCE = 0.98
"""Estimates within two percent of the limit are not called too large."""


@dataclass(frozen=True, slots=True)
class Place:
    """The GPUs that one replica gets. Zero means: not known."""

    memory: int
    """Bytes of one GPU."""
    gpus: int
    """In a pod."""
    pods: int = 1

    @property
    def count(self) -> int:
        return self.gpus * max(1, self.pods)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``fits`` is None where it can't be known; ``sentence`` then says what is missing."""

    fits: bool | None
    sentence: str
    fix: str = ""
    """What would make it fit; empty where nothing simple does."""
    need: Need | None = None
    room: int = 0
    """Tokens that the cache has room for; 0 where not known."""


def judge(facts: ModelFacts, args: EngineArgs, place: Place) -> Verdict:
    """Whether the model fits there."""
    missing = _missing(facts, args, place)
    if missing:
        return Verdict(None, f"unknown: {missing}")
    tensor, pipeline = _parallel(args, place)
    least = _least(facts, args, tensor, pipeline)
    if least is None:
        name = facts.quantization or args.quantization or facts.dtype
        return Verdict(None, f"unknown: how many bits a weight has in {name}")
    wrong = _indivisible(facts.shape, tensor)
    if wrong:
        return Verdict(False, wrong, _divisible_fix(facts, args, place), least)
    budget = _budget(args, place.memory)
    if _within(least, budget):
        return _fitting(facts, args, place, least)
    if args.spills:
        sentence = f"{_needs(least)}, has {_gib(place.memory * least.gpus)}"
        return Verdict(None, f"unknown: {sentence}; what does not fit stays in main memory")
    return Verdict(
        False, f"{_needs(least)}, has {_has(args, place, least)}", _fix(facts, args, place), least
    )


def _missing(facts: ModelFacts, args: EngineArgs, place: Place) -> str:
    if not facts.known:
        return "the model's size is not known"
    if not place.memory:
        return "the memory of the accelerator is not given"
    if not place.gpus and not args.tensor:
        return "how many accelerators the component gets is not given"
    return ""


def _parallel(args: EngineArgs, place: Place) -> tuple[int, int]:
    """(tensor, pipeline). Engines use one GPU unless told; llama.cpp spreads over all there are,
    and so may one that isn't recognised."""
    pipeline = args.pipeline or 1
    if args.tensor:
        return args.tensor, pipeline
    if args.engine and args.engine != LLAMA_CPP:
        return 1, pipeline
    return max(1, place.count // pipeline), pipeline


def _context(facts: ModelFacts, args: EngineArgs) -> int:
    """What the engine must be able to hold of one request."""
    whole = args.context or facts.max_tokens
    if args.holds_whole_context:
        return whole
    return min(whole or _LEAST_CONTEXT, _LEAST_CONTEXT)


def _least(facts: ModelFacts, args: EngineArgs, tensor: int, pipeline: int) -> Need | None:
    sequences = (args.sequences or 1) if args.engine == LLAMA_CPP else 1
    return need(
        facts,
        args,
        tensor=tensor,
        pipeline=pipeline,
        context=_context(facts, args),
        sequences=sequences,
    )


def _budget(args: EngineArgs, memory: int) -> int:
    """Of one GPU. SGLang's fraction is for weights and cache only, vLLM's for everything."""
    share = args.share if args.share and args.engine != SGLANG else 1.0
    return int(memory * share)


def _within(least: Need, budget: int) -> bool:
    return least.each * _TOLERANCE <= budget


def _indivisible(shape: Shape | None, tensor: int) -> str:
    """vLLM and SGLang refuse a width that doesn't divide the heads."""
    if shape is None or tensor <= 1 or not shape.heads:
        return ""
    if shape.heads % tensor:
        return f"its {shape.heads} attention heads can't be divided among {tensor} GPUs"
    return ""


def _allowed(shape: Shape | None, tensor: int) -> bool:
    if shape is None or not shape.heads:
        return True
    keys = shape.kv_heads or 1
    return not shape.heads % tensor and (not keys % tensor or not tensor % keys)


def _divisible_fix(facts: ModelFacts, args: EngineArgs, place: Place) -> str:
    asked = args.tensor or place.count
    for width in range(asked - 1, 0, -1):
        if _allowed(facts.shape, width):
            found = _least(facts, args, width, args.pipeline or 1)
            if found is not None and _within(found, _budget(args, place.memory)):
                return f"would fit with tensor-parallel-size {width}"
    return ""


def _fix(facts: ModelFacts, args: EngineArgs, place: Place) -> str:
    """The one thing to change: a shorter context, or more GPUs, or larger ones."""
    tensor, pipeline = _parallel(args, place)
    budget = _budget(args, place.memory)
    shorter = _shorter(facts, args, tensor, pipeline, budget)
    if shorter:
        return f"would fit with {args.context_option} {shorter}"
    for width in _WIDTHS:
        if width <= tensor or not _allowed(facts.shape, width):
            continue
        found = _least(facts, args, width, pipeline)
        if found is not None and _within(found, budget):
            gpus = "" if width * pipeline <= place.count else f" ({width * pipeline} accelerators)"
            return f"would fit with tensor-parallel-size {width}{gpus}"
    return ""


def _shorter(facts: ModelFacts, args: EngineArgs, tensor: int, pipeline: int, budget: int) -> int:
    """The longest context that fits, of those that are half, a quarter ... of the present one."""
    context = _context(facts, args)
    if not args.context_option or not args.holds_whole_context:
        return 0
    while context // 2 >= _SHORTEST:
        context //= 2
        found = _least(facts, replace(args, context=context), tensor, pipeline)
        if found is not None and _within(found, budget):
            return context
    return 0


def _fitting(facts: ModelFacts, args: EngineArgs, place: Place, least: Need) -> Verdict:
    sentence = f"{_needs(least)}, has {_has(args, place, least)}"
    shape = facts.shape
    if shape is None or least.cache is None:
        unsaid = "; its cache is not known" if shape is None else ""
        return Verdict(True, sentence + unsaid, need=least)
    tensor, pipeline = _parallel(args, place)
    token = cache_bytes(
        shape, 1 << 20, 1, tensor=tensor, pipeline=pipeline, number_bytes=args.cache_bytes
    )
    share = args.share or 1.0
    spare = int(place.memory * share) - least.weights - least.activations - least.overhead
    room = max(0, spare) * (1 << 20) // token if token else 0
    if not room:
        return Verdict(True, sentence, need=least)
    return Verdict(True, f"{sentence}; room for about {_round(room)} tokens", "", least, room)


# --- words --------------------------------------------------------------------------------------


def _needs(least: Need) -> str:
    at_least = "at least " if least.cache is None else ""
    gpus = f" on {least.gpus} GPUs" if least.gpus > 1 else ""
    return f"needs {at_least}{_gib(least.total)}{gpus}"


def _has(args: EngineArgs, place: Place, least: Need) -> str:
    whole = f"{_gib(place.memory * least.gpus)}"
    budget = _budget(args, place.memory)
    if budget == place.memory:
        return whole
    return f"{whole} ({_gib(budget * least.gpus)} with {args.share:.3g} of it)"


def _gib(count: int) -> str:
    value = count / GIB
    return f"{value:.1f} GiB" if value < 10 and value != int(value) else f"{value:.0f} GiB"


def _round(number: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return str(number)
