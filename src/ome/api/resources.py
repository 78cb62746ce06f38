"""The eight kinds of ``ome.io/v1beta1`` and where the API serves them."""

from __future__ import annotations

from typing import Final

from ome.apimachinery.objects import Resource

GROUP: Final = "ome.io"
VERSION: Final = "v1beta1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

INFERENCE_SERVICES: Final = Resource(GROUP, VERSION, "inferenceservices", "InferenceService")
SERVING_RUNTIMES: Final = Resource(GROUP, VERSION, "servingruntimes", "ServingRuntime")
CLUSTER_SERVING_RUNTIMES: Final = Resource(
    GROUP, VERSION, "clusterservingruntimes", "ClusterServingRuntime", namespaced=False
)
BASE_MODELS: Final = Resource(GROUP, VERSION, "basemodels", "BaseModel")
CLUSTER_BASE_MODELS: Final = Resource(
    GROUP, VERSION, "clusterbasemodels", "ClusterBaseModel", namespaced=False
)
FINE_TUNED_WEIGHTS: Final = Resource(
    GROUP, VERSION, "finetunedweights", "FineTunedWeight", namespaced=False
)
BENCHMARK_JOBS: Final = Resource(GROUP, VERSION, "benchmarkjobs", "BenchmarkJob")
ACCELERATOR_CLASSES: Final = Resource(
    GROUP, VERSION, "acceleratorclasses", "AcceleratorClass", namespaced=False
)

ALL: Final[tuple[Resource, ...]] = (
    INFERENCE_SERVICES,
    SERVING_RUNTIMES,
    CLUSTER_SERVING_RUNTIMES,
    BASE_MODELS,
    CLUSTER_BASE_MODELS,
    FINE_TUNED_WEIGHTS,
    BENCHMARK_JOBS,
    ACCELERATOR_CLASSES,
)

_BY_KIND: Final = {resource.kind: resource for resource in ALL}


def by_kind(kind: str) -> Resource | None:
    """The resource of one of our kinds; ``None`` for any other kind."""
    return _BY_KIND.get(kind)
