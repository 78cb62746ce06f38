from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.objects import model, runtime, service

from ome.selection import Selection, SelectionInput, select_runtime
from ome.selection.explain import lines

Object = dict[str, Any]


def pick(*runtimes: Object, of: Object | None = None, for_: Object | None = None) -> Selection:
    return select_runtime(SelectionInput(for_ or service(), of or model(), list(runtimes)))


def codes(selection: Selection, name: str) -> set[str]:
    found = next(c for c in selection.candidates if c.name == name)
    return {reason.code for reason in found.reasons}


def changed(obj: Object, **spec: Any) -> Object:
    obj = copy.deepcopy(obj)
    obj["spec"].update(spec)
    return obj


def local(obj: Object, namespace: str = "default") -> Object:
    return {
        **obj,
        "kind": "ServingRuntime",
        "metadata": {**obj["metadata"], "namespace": namespace},
    }


def test_every_failing_criterion_of_a_loser_is_named_with_field_and_fix() -> None:
    bad = changed(
        runtime(
            "bad",
            modelFormat={"name": "safetensors", "version": "2.0.0"},
            modelFramework={"name": "tensorrt", "version": "1"},
            modelArchitecture="GemmaForCausalLM",
            quantization="fp8",
            autoSelect=False,
        ),
        disabled=True,
        modelSizeRange={"min": "1B", "max": "2B"},
    )
    selection = pick(bad)
    assert selection.winner is None
    assert codes(selection, "bad") == {
        "FormatVersion",
        "ModelFramework",
        "Architecture",
        "Quantization",
        "RuntimeDisabled",
        "ModelSize",
        "AutoSelect",
    }
    for reason in selection.candidates[0].reasons:
        assert reason.field.startswith("spec.")
        assert reason.fix
        assert reason.message


@pytest.mark.parametrize(
    ("entry", "spec", "code"),
    [
        ({"modelFormat": {"name": "gguf"}}, {}, "ModelFormat"),
        ({"modelFormat": {"name": "safetensors"}}, {}, "FormatVersion"),  # one-sided absence
        ({"modelArchitecture": "llamaforcausallm"}, {}, "Architecture"),  # case counts
        ({"quantization": "fp8"}, {}, "Quantization"),
        ({"autoSelect": None}, {}, "AutoSelect"),
        ({"diffusionPipeline": {"className": "FluxPipeline"}}, {}, "DiffusionPipeline"),
        ({}, {"modelSizeRange": {"min": "1B"}}, "ModelSize"),  # a missing bound is open
        ({}, {"modelSizeRange": {"max": "100M"}}, "ModelSize"),
        ({}, {"disabled": True}, "RuntimeDisabled"),
        ({}, {"supportedModelFormats": []}, "NoFormats"),
    ],
)
def test_one_wrong_criterion_is_the_nearest_miss_and_its_fix(
    entry: Object, spec: Object, code: str
) -> None:
    near = changed(runtime("near", **entry), **spec)
    far = changed(
        runtime("far", modelArchitecture="X", modelFramework={"name": "x"}), disabled=True
    )
    selection = pick(far, near)
    assert selection.winner is None
    assert selection.nearest_miss is not None
    assert selection.nearest_miss.name == "near"
    assert codes(selection, "near") == {code}
    assert selection.fix == selection.nearest_miss.reasons[0].fix
    assert selection.problem is not None
    assert "near" in selection.problem.message


def test_higher_priority_wins_then_the_closer_range_then_the_name() -> None:
    low, high = runtime("a-low"), runtime("b-high", priority=2)
    assert pick(low, high).winner.name == "b-high"  # type: ignore[union-attr]
    wide = changed(runtime("a-wide"), modelSizeRange={"min": "1M", "max": "70B"})
    close = changed(runtime("b-close"), modelSizeRange={"min": "100M", "max": "200M"})
    anything = runtime("a-anything")
    assert pick(wide, close, anything).winner.name == "b-close"  # type: ignore[union-attr]
    tied = pick(runtime("b"), runtime("a"))
    assert tied.winner is not None
    assert tied.winner.name == "a"
    assert "equally well" in tied.warnings[0]


def test_a_runtime_of_the_namespace_goes_before_one_of_the_cluster() -> None:
    cluster = runtime("best", priority=9)
    own, others = local(runtime("own")), local(runtime("theirs", priority=9), "elsewhere")
    selection = pick(cluster, own, others)
    assert selection.winner is not None
    assert selection.winner.name == "own"
    assert {c.name for c in selection.candidates} == {"best", "own"}


def test_a_generic_entry_serves_any_architecture_but_only_if_no_exact_one_does() -> None:
    generic = runtime("generic", modelArchitecture=None, priority=100)
    assert pick(generic, runtime("exact")).winner.name == "exact"  # type: ignore[union-attr]
    alone = pick(generic, runtime("other", modelArchitecture="GemmaForCausalLM"))
    assert alone.winner is not None
    assert alone.winner.name == "generic"
    assert not alone.winner.exact
    assert "generic" in lines(alone)[0]
    quantized = model(quantization="Q8_0")
    assert pick(generic, of=quantized).winner is not None
    assert pick(local(generic), runtime("exact")).winner.name == "exact"  # type: ignore[union-attr]


def test_matching_score_and_overrides_come_from_the_same_entry() -> None:
    """A high priority for another architecture must not lift the runtime."""
    two = runtime("two")
    other = {
        **two["spec"]["supportedModelFormats"][0],
        "modelArchitecture": "GemmaForCausalLM",
        "priority": 50,
    }
    two["spec"]["supportedModelFormats"].insert(0, other)
    selection = pick(two, runtime("one", priority=2))
    assert selection.winner is not None
    assert selection.winner.name == "one"
    behind = next(c for c in selection.candidates if c.name == "two")
    assert behind.entry is not None
    assert behind.entry.index == 1


def test_a_named_runtime_needs_no_auto_select_and_its_kind_is_honoured() -> None:
    by_hand = runtime("by-hand", autoSelect=False)
    named = service(runtime={"name": "by-hand", "kind": "ClusterServingRuntime"})
    assert pick(by_hand, for_=named).winner is not None
    both = pick(by_hand, local(runtime("by-hand", priority=3)), for_=named)
    assert both.winner is not None
    assert both.winner.runtime.kind == "ClusterServingRuntime"
    assert both.warnings
    only_local = pick(local(by_hand), for_=named)
    assert only_local.winner is not None
    assert "ServingRuntime of that name is used" in only_local.warnings[0]


def test_a_named_runtime_that_is_missing_disabled_or_unfit_is_a_problem() -> None:
    named = service(runtime={"name": "rt"})
    assert pick(runtime("rt-2"), for_=named).problem.code == "RuntimeNotFound"  # type: ignore[union-attr]
    assert "rt-2" in pick(runtime("rt-2"), for_=named).problem.fix  # type: ignore[union-attr]
    disabled = changed(runtime(), disabled=True)
    assert pick(disabled, for_=named).problem.code == "RuntimeDisabled"  # type: ignore[union-attr]
    unfit = runtime(modelArchitecture="GemmaForCausalLM")
    problem = pick(unfit, for_=named).problem
    assert problem is not None
    assert problem.code == "RuntimeIncompatible"
    assert "GemmaForCausalLM" in problem.message


def test_accelerator_classes_that_the_service_asks_for_must_be_listed() -> None:
    asks = service(acceleratorSelector={"acceleratorClass": "h100"})
    selection = pick(runtime(), for_=asks)
    assert codes(selection, "rt") == {"AcceleratorClass"}
    lists = changed(runtime(), acceleratorRequirements={"acceleratorClasses": ["a100", "h100"]})
    assert pick(lists, for_=asks).winner is not None


def test_a_running_service_keeps_a_runtime_that_still_fits() -> None:
    old, better = runtime("old"), runtime("better", priority=5)
    given = SelectionInput(service(), model(), [old, better], current="old")
    kept = select_runtime(given)
    assert kept.winner is not None
    assert kept.winner.name == "old"
    assert "better" in kept.warnings[0]
    gone = SelectionInput(service(), model(), [better], current="old")
    assert select_runtime(gone).winner.name == "better"  # type: ignore[union-attr]


def test_explaining_names_winner_losers_and_the_nearest_miss() -> None:
    text = "\n".join(
        lines(pick(runtime("winner"), runtime("loser", modelArchitecture="GemmaForCausalLM")))
    )
    assert "ClusterServingRuntime winner" in text
    assert "the entry takes GemmaForCausalLM" in text
    assert "spec.supportedModelFormats[0].modelArchitecture" in text
    assert "nearest miss: loser" in text


ARCHITECTURES = ("LlamaForCausalLM", "GemmaForCausalLM", None)


@st.composite
def some_runtimes(draw: st.DrawFn) -> list[Object]:
    found = []
    for index in range(draw(st.integers(0, 7))):
        obj = runtime(
            f"rt-{index}",
            modelArchitecture=draw(st.sampled_from(ARCHITECTURES)),
            quantization=draw(st.sampled_from([None, "fp8"])),
            priority=draw(st.sampled_from([None, 1, 2])),
            autoSelect=draw(st.sampled_from([True, False, None])),
        )
        if draw(st.booleans()):
            obj["spec"]["modelSizeRange"] = draw(
                st.sampled_from([{"min": "1M", "max": "1B"}, {"max": "100M"}, {"min": "?"}])
            )
        found.append(local(obj) if draw(st.booleans()) else obj)
    return found


@given(some_runtimes(), st.sampled_from([None, "fp8"]), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order(
    runtimes: list[Object], quantization: str | None, rng: random.Random
) -> None:
    of = model(quantization=quantization)
    first = pick(*runtimes, of=of)
    shuffled = list(runtimes)
    rng.shuffle(shuffled)
    second = pick(*shuffled, of=of)
    assert [c.name for c in first.candidates] == [c.name for c in second.candidates]
    assert lines(first) == lines(second)
    assert (first.winner is None) == (first.problem is not None)
    for candidate in first.candidates:
        assert candidate.fits == (not candidate.reasons)
        assert candidate.fits or candidate.failing >= 1
