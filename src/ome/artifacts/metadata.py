"""What OME knows about a model from its files, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Provenance = Literal["headers", "configuration", ""]


@dataclass(frozen=True, slots=True)
class NameVersion:
    name: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class DiffusionPipeline:
    """A diffusers pipeline: for each component the library and the class that load it."""

    class_name: str
    components: tuple[tuple[str, str, str], ...] = ()
    """(component, library, type), in the order of the file."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """Empty strings, zero and empty tuples mean: the files don't say.

    ``parameter_count`` is exact where ``parameters_from`` is ``headers`` (counted from the shapes
    of the tensors, packed quantised weights unpacked), an estimate where it is ``configuration``.
    ``capabilities`` are values of the API's enumeration. ``notes`` are remarks for people.
    """

    architecture: str = ""
    model_type: str = ""
    parameter_count: int = 0
    parameters_from: Provenance = ""
    quantization: str = ""
    dtype: str = ""
    max_tokens: int = 0
    capabilities: tuple[str, ...] = ()
    format: NameVersion | None = None
    framework: NameVersion | None = None
    transformers_version: str = ""
    has_vision: bool = False
    is_embedding: bool = False
    license: str = ""
    size_bytes: int = 0
    diffusion_pipeline: DiffusionPipeline | None = None
    shape: Mapping[str, int] = field(default_factory=dict)
    """The dimensions that decide about memory: see :mod:`ome.artifacts.shape`."""
    notes: tuple[str, ...] = field(default=())

    @property
    def parameter_size(self) -> str:
        return format_parameters(self.parameter_count)


_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


def format_parameters(count: int) -> str:
    """``7250000000`` -> ``7.25B``: at most two decimals, no trailing zeros; nothing for zero."""
    if count <= 0:
        return ""
    for index, (unit, letter) in enumerate(_UNITS):
        if count < unit:
            continue
        text = f"{count / unit:.2f}".rstrip("0").rstrip(".")
        if text == "1000" and index:
            return f"1{_UNITS[index - 1][1]}"
        return f"{text}{letter}"
    return str(count)
