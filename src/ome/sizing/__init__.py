"""Will it fit: memory arithmetic with its sources. Pure.

:class:`~ome.sizing.model.ModelFacts` say what is known of a model, :class:`~ome.sizing.engines.
EngineArgs` what the engine is told. :func:`~ome.sizing.memory.need` turns both into bytes for each
GPU, and :func:`~ome.sizing.fit.judge` compares that with GPUs. What is not known makes the answer
*unknown*, never *no*: every figure is either what the engine takes at the very least, or said to be
an estimate.
"""

from ome.sizing.engines import EngineArgs, read_args
from ome.sizing.fit import GIB, Place, Verdict, judge
from ome.sizing.memory import Need, need
from ome.sizing.model import ModelFacts, Shape
from ome.sizing.weights import Weights, bits_of, weights

__all__ = [
    "GIB",
    "EngineArgs",
    "ModelFacts",
    "Need",
    "Place",
    "Shape",
    "Verdict",
    "Weights",
    "bits_of",
    "judge",
    "need",
    "read_args",
    "weights",
]
