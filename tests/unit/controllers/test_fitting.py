"""Memory as part of what is decided: which runtime, which accelerator, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.objects import model, service

from ome.agent.describing import config_of
from ome.apimachinery.resources import DEPLOYMENTS
from ome.artifacts import inspect
from ome.controllers.decide import Decision, World, decide
from ome.controllers.fitting import facts_of
from ome.controllers.settings import OperatorSettings
from ome.rendering import Observed
from ome.selection import compile_runtimes
from ome.selection.explain import accelerator_lines, lines

Object = dict[str, Any]

LLAMA_70B: Object = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}


def runtime(name: str, *, gpus: int = 1, tensor: int = 1, classes: tuple[str, ...]) -> Object:
    entry = {
        "modelFormat": {"name": "safetensors"},
        "modelFramework": {"name": "transformers"},
        "autoSelect": True,
    }
    args = [f"--tensor-parallel-size={tensor}", "--max-model-len=8192"]
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "ClusterServingRuntime",
        "metadata": {"name": name},
        "spec": {
            "supportedModelFormats": [entry],
            "acceleratorRequirements": {"acceleratorClasses": list(classes)},
            "engineConfig": {
                "runner": {
                    "name": "ome-container",
                    "image": "docker.io/vllm/vllm-openai:v1",
                    "args": args,
                    "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
                }
            },
        },
    }


def accelerator(name: str, memory: str) -> Object:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {
            "discovery": {"nodeSelector": {"gpu": name}},
            "capabilities": {"memoryGB": memory},
            "resources": [{"name": "nvidia.com/gpu", "quantity": "1"}],
        },
    }


CLASSES = {
    name: accelerator(name, memory)
    for name, memory in (("l40s", "48Gi"), ("h100", "80Gi"), ("h200", "141Gi"))
}


def world(runtimes: list[Object], *, subject: Object | None = None, **spec: Any) -> World:
    big = subject or model(modelParameterSize="70.6B", modelConfiguration=LLAMA_70B)
    return World(
        service=service(**spec),
        settings=OperatorSettings(),
        runtimes=compile_runtimes(runtimes),
        model=lambda _kind, _name: big,
        accelerators=CLASSES,
    )


def choice(decision: Decision) -> Any:
    return decision.accelerators["engine"]


def test_the_smallest_class_that_holds_the_model_is_chosen() -> None:
    four = runtime("four", gpus=4, tensor=4, classes=("h200", "h100", "l40s"))
    decision = decide(world([four], acceleratorSelector={"policy": "BestFit"}))
    assert decision.problem is None
    assert choice(decision).name == "l40s"
    two = runtime("two", gpus=2, tensor=2, classes=("h200", "h100", "l40s"))
    decision = decide(world([two], acceleratorSelector={"policy": "BestFit"}))
    assert choice(decision).name == "h100"
    assert "  memory: needs 137 GiB on 2 GPUs" in accelerator_lines("engine", choice(decision))[1]
    small = next(loser for loser in choice(decision).losers if loser.name == "l40s")
    assert small.fix == "would fit with tensor-parallel-size 4 (4 accelerators)"


def test_a_runtime_whose_accelerators_are_too_small_is_not_selected() -> None:
    one, four = (
        runtime("a-one", classes=("h100",)),
        runtime("b-four", gpus=4, tensor=4, classes=("h100",)),
    )
    decision = decide(world([one, four]))
    assert decision.selection is not None and decision.selection.winner is not None
    assert decision.selection.winner.name == "b-four"
    told = "\n".join(lines(decision.selection))
    assert "no accelerator class of it holds the model: h100 needs 135 GiB, has 80 GiB" in told
    assert "nearest miss: a-one. To make it fit: would fit with tensor-parallel-size 2" in told


def test_where_no_runtime_has_enough_memory_the_service_says_so() -> None:
    decision = decide(world([runtime("one", classes=("h100", "l40s"))]))
    assert decision.problem is not None
    assert "the largest, h100: needs 135 GiB, has 80 GiB" in decision.problem.message
    assert "would fit with tensor-parallel-size 2" in decision.problem.sentence


@pytest.mark.parametrize(
    "subject",
    [
        model(modelParameterSize=""),
        model(modelParameterSize="plenty"),
        model(modelParameterSize="70B", quantization="from-the-future"),
    ],
)
def test_a_model_of_unknown_size_is_not_refused(subject: Object) -> None:
    given = world(
        [runtime("one", classes=("l40s",))],
        subject=subject,
        acceleratorSelector={"policy": "Cheapest"},
        runtime={"name": "one"},
    )
    decision = decide(given)
    assert choice(decision).name == "l40s"


def test_a_class_that_does_not_exist_yet_may_be_large_enough() -> None:
    decision = decide(world([runtime("one", classes=("h100", "b300"))]))
    assert decision.problem is None


def test_a_class_named_by_hand_is_used_and_the_status_is_told() -> None:
    given = world(
        [runtime("one", classes=("h100",))], acceleratorSelector={"acceleratorClass": "h100"}
    )
    decision = decide(given)
    assert decision.problem is None
    assert any("accelerator class h100 is too small" in text for text in decision.warnings)


def test_what_the_service_changes_counts() -> None:
    runner = {
        "args": ["--tensor-parallel-size=$(PARALLELISM_SIZE)", "--max-model-len=8192"],
        "resources": {"limits": {"nvidia.com/gpu": "4"}},
    }
    given = world(
        [runtime("one", classes=("h100",))],
        acceleratorSelector={"policy": "Cheapest"},
        engine={"runner": runner},
    )
    assert choice(decide(given)).name == "h100"


def test_what_the_runtime_says_of_a_class_counts() -> None:
    given = runtime("one", gpus=2, classes=("h100",))
    given["spec"]["supportedModelFormats"][0]["acceleratorConfig"] = {
        "h100": {"tensorParallelismOverride": {"tensorParallelSize": 2}}
    }
    assert decide(world([given])).problem is None


def test_a_running_service_is_not_stopped_by_arithmetic() -> None:
    given = world([runtime("one", classes=("h100",))], acceleratorSelector={"policy": "BestFit"})
    started = decide(replace(given, model=lambda _k, _n: model(modelParameterSize="")))
    assert started.rendered is not None
    live = next(
        child.object for child in started.rendered.children if child.object["kind"] == "Deployment"
    )
    running = replace(given, observed=Observed({DEPLOYMENTS: [live]}))
    assert decide(given).problem is not None
    assert decide(running).problem is None


def test_what_an_agent_reads_from_the_files_is_what_sizing_needs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    config = config_of(inspect(tmp_path))
    read = facts_of(
        model(
            modelParameterSize=config["modelParameterSize"],
            modelConfiguration=config["decodedModelConfiguration"],
            maxTokens=config["maxTokens"],
        )
    )
    raw = facts_of(model(modelParameterSize="70.55B", modelConfiguration=LLAMA_70B))
    assert read.shape == raw.shape and read.shape is not None
    assert (read.parameters, read.dtype, read.max_tokens) == (raw.parameters, "bfloat16", 131072)


@pytest.mark.parametrize("config", [7, [], {"shape": 3}, {"shape": {"layers": -1}}, {"x": "y"}])
def test_nonsense_in_a_model_is_not_known(config: Any) -> None:
    facts = facts_of(model(modelConfiguration=config))
    assert facts.shape is None
    assert facts.parameters == 135_000_000
