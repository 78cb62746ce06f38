"""Which runtime and which accelerator serve a model: every candidate with its full reasoning.

Pure: objects in, a :class:`Selection` out. See :mod:`ome.selection.criteria` for what counts as a
match and :mod:`ome.selection.runtimes` for the order among those that match.
"""

from ome.selection.criteria import Reason
from ome.selection.facts import Entry, Model, Runtime
from ome.selection.runtimes import (
    Candidate,
    Selection,
    SelectionInput,
    compile_runtimes,
    select_runtime,
)

__all__ = [
    "Candidate",
    "Entry",
    "Model",
    "Reason",
    "Runtime",
    "Selection",
    "SelectionInput",
    "compile_runtimes",
    "select_runtime",
]
