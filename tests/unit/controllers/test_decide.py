"""What is decided while a model is on its way."""

from __future__ import annotations

from typing import Any

import pytest

from ome.api.reasons import PROGRESS
from ome.controllers.decide import World, decide
from ome.controllers.modelstate import ModelState
from ome.controllers.settings import OperatorSettings
from ome.selection import compile_runtimes

RUNTIME: dict[str, Any] = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "ClusterServingRuntime",
    "metadata": {"name": "takes-gguf"},
    "spec": {
        "supportedModelFormats": [{"modelFormat": {"name": "gguf"}, "autoSelect": True}],
        "engineConfig": {"runner": {"name": "ome-container", "image": "engine"}},
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "chat", "namespace": "default", "uid": "u"},
    "spec": {"model": {"name": "small", "kind": "ClusterBaseModel"}, "engine": {}},
}
READ = {"modelFormat": {"name": "gguf"}}


def world(state: ModelState, **described: Any) -> World:
    model = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "ClusterBaseModel",
        "metadata": {"name": "small"},
        "spec": {"storage": {"storageUri": "hf://org/small"}, **described},
    }
    return World(
        service=SERVICE,
        settings=OperatorSettings(),
        runtimes=compile_runtimes([RUNTIME]),
        model=lambda _kind, _name: model,
        model_state=lambda _model: state,
    )


@pytest.mark.parametrize(
    "state",
    [
        ModelState(),
        ModelState(pending={"node": {}}),
        ModelState(ready=("node",), config=READ),
    ],
    ids=["nobody has it", "being fetched", "read, and not yet written down"],
)
def test_a_model_that_is_on_its_way_is_waited_for_and_nothing_is_wrong(state: ModelState) -> None:
    problem = decide(world(state)).problem
    assert problem is not None
    assert problem.code in PROGRESS
    assert problem.message.startswith("waits for model small: ")


def test_a_model_that_says_nothing_of_itself_fits_no_runtime() -> None:
    problem = decide(world(ModelState(ready=("node",), config={}))).problem
    assert problem is not None
    assert problem.code == "NoRuntimeFits"


def test_a_model_that_is_described_gets_its_runtime() -> None:
    decision = decide(world(ModelState(ready=("node",), config=READ), **READ))
    assert decision.problem is None
    assert decision.selection is not None
    assert decision.selection.winner is not None
