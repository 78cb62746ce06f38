"""What model files say about a model. Headers only: no weights are read and no code is run."""

from ome.artifacts.errors import (
    ArtifactError,
    CorruptModelFile,
    IncompleteModel,
    NoModelFound,
    TruncatedModelFile,
)
from ome.artifacts.estimate import estimate_parameters
from ome.artifacts.inspection import inspect
from ome.artifacts.metadata import (
    DiffusionPipeline,
    ModelMetadata,
    NameVersion,
    format_parameters,
)
from ome.artifacts.shape import shape

__all__ = [
    "ArtifactError",
    "CorruptModelFile",
    "DiffusionPipeline",
    "IncompleteModel",
    "ModelMetadata",
    "NameVersion",
    "NoModelFound",
    "TruncatedModelFile",
    "estimate_parameters",
    "format_parameters",
    "inspect",
    "shape",
]
