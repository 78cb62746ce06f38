"""What is observed: conditions, and the status that all kinds of model share."""

from __future__ import annotations

from typing import Annotated, Final

from ome.api.fields import ATOMIC, Field, Int32, Int64, Time
from ome.api.lens import Lens

LIFECYCLES: Final = ("Deprecated", "Experiment", "Public", "Internal")

CREATING: Final = "Creating"
IMPORTING: Final = "Importing"
IN_TRANSIT: Final = "In_Transit"
IN_TRAINING: Final = "In_Training"
READY: Final = "Ready"
FAILED: Final = "Failed"
STATES: Final = (CREATING, IMPORTING, IN_TRANSIT, IN_TRAINING, READY, FAILED)


class Condition(Lens, frozen=True, kw_only=True, rename="camel"):
    """One observation about an object, in the usual Kubernetes form."""

    type: Annotated[str, Field("What is observed.", example="Ready")]
    status: Annotated[str, Field("Whether it holds: True, False or Unknown.", example="True")]
    severity: Annotated[
        str | None, Field("How bad it is if it doesn't hold.", default="an error", example="Info")
    ] = None
    last_transition_time: Annotated[
        Time | None, Field("Since when status has its value.", example="2026-05-06T10:00:00Z")
    ] = None
    reason: Annotated[
        str | None, Field("Why, as one word from a closed list.", example="Available")
    ] = None
    message: Annotated[
        str | None, Field("Why, as a sentence that says what to do.", example="1 of 1 ready")
    ] = None
    observed_generation: Annotated[
        Int64 | None, Field("Generation of the spec that was observed.", example=3)
    ] = None


class ModelProgress(Lens, frozen=True, kw_only=True, rename="camel"):
    """How far the node is that has most of it."""

    phase: Annotated[
        str | None,
        Field(
            "What is going on.",
            example="downloading",
            values=("scanning", "downloading", "finalizing"),
        ),
    ] = None
    percent: Annotated[
        Int32 | None, Field("Share that has arrived.", unit="percent", example=42)
    ] = None
    completed_bytes: Annotated[
        Int64 | None, Field("Bytes that have arrived.", unit="bytes", example=41234432)
    ] = None
    total_bytes: Annotated[Int64 | None, Field("Bytes in all.", unit="bytes", example=98362432)] = (
        None
    )
    bytes_per_second: Annotated[
        Int64 | None, Field("Speed at this moment.", unit="bytes per second", example=20971520)
    ] = None
    remaining_seconds: Annotated[
        Int64 | None, Field("Estimated time left.", unit="seconds", example=3)
    ] = None
    node: Annotated[str | None, Field("The node that this is about.", example="gpu-node-1")] = None
    last_updated: Annotated[
        Time | None, Field("When this was observed.", example="2026-05-06T10:00:00Z")
    ] = None


class ModelStatusSpec(Lens, frozen=True, kw_only=True, rename="camel"):
    """Where the model's files are. Shared by all kinds of model.

    ``observedGeneration``, ``conditions``, ``message``, ``progress`` and ``nodesPending`` are
    additions to the contract; readers that don't know them lose nothing.
    """

    lifecycle: Annotated[
        str | None,
        Field(
            "How far the model is released.", default="none", example="Public", values=LIFECYCLES
        ),
    ] = None
    state: Annotated[
        str, Field("Where the model stands.", enum=STATES, example="Ready", required=True)
    ] = ""
    nodes_ready: Annotated[
        tuple[str, ...],
        Field(
            "Nodes that hold the model, sorted.",
            default="none",
            example=["gpu-node-1"],
            schema=ATOMIC,
        ),
    ] = ()
    nodes_failed: Annotated[
        tuple[str, ...],
        Field(
            "Nodes on which it failed, sorted.",
            default="none",
            example=["gpu-node-2"],
            schema=ATOMIC,
        ),
    ] = ()
    nodes_pending: Annotated[
        tuple[str, ...],
        Field(
            "Nodes that should hold the model and don't yet, sorted.",
            default="none",
            example=["gpu-node-3"],
            schema=ATOMIC,
        ),
    ] = ()
    message: Annotated[
        str | None,
        Field(
            "What is going on or what to do, in one sentence.",
            default="none",
            example="downloading on 1 node: 42 %, about 3 s left",
        ),
    ] = None
    progress: Annotated[ModelProgress | None, Field("How far the download is.", default="none")] = (
        None
    )
    observed_generation: Annotated[
        Int64 | None, Field("Generation of the spec that this status is about.", example=1)
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            "Observations, one per type, sorted by type.",
            default="none",
            schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
