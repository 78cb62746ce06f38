"""One reconciler per kind: observe, decide, execute, report. :func:`run_operator` runs them all."""

from ome.controllers.decide import Decision, World, decide
from ome.controllers.operator import Operator, run_operator
from ome.controllers.plan import Plan

__all__ = ["Decision", "Operator", "Plan", "World", "decide", "run_operator"]
