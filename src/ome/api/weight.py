"""FineTunedWeight: weights that are served on top of a base model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from ome.api.fields import Field, FreeObject
from ome.api.lens import KubeObject, Lens
from ome.api.lens import decode as decode_lens
from ome.api.model import ModelExtensionSpec, ModelStatusSpec, StorageSpec


class ObjectReference(Lens, frozen=True, kw_only=True, rename="camel"):
    """Another object."""

    name: Annotated[str, Field("Name of the object.", example="llama-3-1-8b-instruct")]
    namespace: Annotated[
        str | None,
        Field("Namespace of the object.", default="cluster-scoped", example="default"),
    ] = None


class TrainingJobReference(Lens, frozen=True, kw_only=True, rename="camel"):
    """A job. Older clients always write an empty object here, which means none."""

    name: Annotated[
        str | None, Field("Name of the job.", default="none", example="support-lora-42")
    ] = None
    namespace: Annotated[
        str | None, Field("Namespace of the job.", default="none", example="training")
    ] = None


class FineTunedWeightSpec(ModelExtensionSpec, frozen=True, kw_only=True, rename="camel"):
    """What the weights are and where their files come from."""

    base_model_ref: Annotated[ObjectReference, Field("The model that was fine-tuned.")]
    model_type: Annotated[
        str,
        Field(
            "How it was fine-tuned.",
            example="LoRA",
            values=("LoRA", "Adapter", "Distillation", "Tfew"),
        ),
    ]
    hyper_parameters: Annotated[
        FreeObject,
        Field(
            "Settings of the training; `strategy` decides how the weights are served.",
            example={"strategy": "lora", "rank": 16},
        ),
    ]
    configuration: Annotated[
        FreeObject | None,
        Field(
            "Further settings; `merged_weights` says that base and fine-tuned weights are one.",
            default="none",
            example={"merged_weights": False},
        ),
    ] = None
    storage: Annotated[StorageSpec, Field("Where the files come from.")]
    training_job_ref: Annotated[
        TrainingJobReference | None, Field("The job that made the weights.", default="none")
    ] = None


class FineTunedWeight(KubeObject, frozen=True, kw_only=True, rename="camel"):
    """Fine-tuned weights that services of all namespaces can use."""

    spec: Annotated[FineTunedWeightSpec, Field("What the weights are.")]
    status: Annotated[ModelStatusSpec | None, Field("Where the files are; written by OME.")] = None


def decode(obj: Mapping[str, Any]) -> FineTunedWeight:
    return decode_lens(FineTunedWeight, obj)


def strategy(spec: FineTunedWeightSpec) -> str:
    """``hyperParameters.strategy`` in lower case, empty where absent."""
    value = spec.hyper_parameters.get("strategy")
    return value.lower() if isinstance(value, str) else ""


def merged_weights(spec: FineTunedWeightSpec) -> bool:
    """Whether base and fine-tuned weights were stored as one."""
    value = (spec.configuration or {}).get("merged_weights")
    return value is True or (isinstance(value, str) and value.lower() == "true")
