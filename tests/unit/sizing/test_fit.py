"""Whether a model fits, what is said, and what is never said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sizing.test_published import DEEPSEEK_V3, LLAMA_8B, LLAMA_70B

from ome.sizing import GIB, EngineArgs, ModelFacts, Place, Shape, judge, need, read_args

BIG = ModelFacts(70_553_706_496, dtype="bfloat16", max_tokens=131_072, shape=LLAMA_70B)
SMALL = ModelFacts(8_030_261_248, dtype="bfloat16", max_tokens=131_072, shape=LLAMA_8B)
VLLM = EngineArgs(engine="vLLM", share=0.9, context_option="--max-model-len")


def gpus(count: int, gib: int = 80) -> Place:
    return Place(gib * GIB, count)


def test_what_does_not_fit_is_told_with_figures_and_the_way_out() -> None:
    verdict = judge(BIG, replace(VLLM, context=4096), gpus(1))
    assert verdict.fits is False
    assert verdict.sentence == "needs 134 GiB, has 80 GiB (72 GiB with 0.9 of it)"
    assert verdict.fix == "would fit with tensor-parallel-size 2 (2 accelerators)"
    there = judge(BIG, replace(VLLM, context=4096, tensor=2), gpus(2))
    assert there.fits is True


def test_a_width_for_which_there_are_gpus_needs_no_more_of_them() -> None:
    verdict = judge(BIG, replace(VLLM, context=4096), gpus(4))
    assert verdict.fix == "would fit with tensor-parallel-size 2"


def test_a_context_that_is_too_long_is_what_to_change() -> None:
    small_card = replace(VLLM, context=131_072)
    verdict = judge(SMALL, small_card, gpus(1, 24))
    assert (verdict.fits, verdict.fix) == (False, "would fit with --max-model-len 32768")
    assert judge(SMALL, replace(small_card, context=32_768), gpus(1, 24)).fits is True


def test_an_engine_that_makes_do_with_what_is_left_is_not_refused_for_its_context() -> None:
    sglang = EngineArgs(engine="SGLang", share=0.88, context=131_072)
    verdict = judge(SMALL, sglang, gpus(1, 24))
    assert verdict.fits is True
    assert "room for about" in verdict.sentence


def test_the_room_is_what_the_cache_can_hold() -> None:
    verdict = judge(SMALL, replace(VLLM, context=8192), gpus(1))
    spare = 72 * GIB - 16_060_522_496
    assert 0.9 < verdict.room / (spare / 131_072) < 1.0


def test_heads_must_divide_among_the_gpus() -> None:
    verdict = judge(SMALL, replace(VLLM, tensor=3, context=1024), gpus(3))
    assert verdict.fits is False
    assert verdict.sentence == "its 32 attention heads can't be divided among 3 GPUs"
    assert verdict.fix == "would fit with tensor-parallel-size 2"


def test_pods_of_one_replica_count_together() -> None:
    args = replace(VLLM, tensor=8, pipeline=2, context=4096)
    deepseek = ModelFacts(671_026_419_200, quantization="fp8", shape=DEEPSEEK_V3)
    assert judge(deepseek, replace(args, pipeline=1), gpus(8)).fits is False
    assert judge(deepseek, args, Place(80 * GIB, 8, 2)).fits is True


@pytest.mark.parametrize(
    ("facts", "args", "place", "missing"),
    [
        (ModelFacts(), VLLM, gpus(1), "the model's size"),
        (BIG, VLLM, Place(0, 1), "the memory of the accelerator"),
        (BIG, VLLM, Place(80 * GIB, 0), "how many accelerators"),
        (replace(BIG, quantization="odd"), VLLM, gpus(1), "how many bits a weight has in odd"),
        (BIG, replace(VLLM, spills=True, context=10), gpus(1), "stays in main memory"),
    ],
)
def test_without_the_facts_nothing_is_refused(
    facts: ModelFacts, args: EngineArgs, place: Place, missing: str
) -> None:
    verdict = judge(facts, args, place)
    assert verdict.fits is None
    assert verdict.sentence.startswith("unknown: ")
    assert missing in verdict.sentence


def test_without_a_shape_the_weights_alone_decide() -> None:
    facts = ModelFacts(70_000_000_000, max_tokens=10**6)
    assert judge(facts, VLLM, gpus(1)).fits is False
    assert judge(facts, VLLM, gpus(1)).sentence.startswith("needs at least 131 GiB")
    assert judge(facts, replace(VLLM, tensor=2), gpus(2)).fits is True


def test_an_engine_that_is_not_recognised_is_given_every_gpu() -> None:
    assert judge(BIG, EngineArgs(context=4096), gpus(4)).fits is True


# --- options ------------------------------------------------------------------------------------


def test_options_are_read_from_lists_and_scripts_alike() -> None:
    listed = read_args(
        ["python3", "-m", "vllm.entrypoints.openai.api_server", "--tensor-parallel-size=4",
         "--max-model-len", "32k", "--gpu-memory-utilization=0.85", "--kv-cache-dtype=fp8_e5m2"]
    )  # fmt: skip
    script = read_args(
        ["/bin/sh", "-c", "exec python3 -m vllm.entrypoints.openai.api_server \\\n"
         "--tensor-parallel-size 4 \\\n --max-model-len '32k' --gpu-memory-utilization 0.85 "
         "--kv-cache-dtype fp8_e5m2\n"]
    )  # fmt: skip
    assert listed == script
    assert (listed.engine, listed.tensor, listed.context) == ("vLLM", 4, 32_000)
    assert (listed.share, listed.cache_bytes) == (0.85, 1.0)


def test_sglang_and_llama_cpp_have_names_of_their_own() -> None:
    sglang = read_args(
        ["python3", "-m", "sglang.launch_server", "--tp-size", "$(PARALLELISM_SIZE)",
         "--mem-frac", "0.9", "--context-length=8192"],
        environment={"PARALLELISM_SIZE": "16"},
    )  # fmt: skip
    assert (sglang.engine, sglang.tensor, sglang.share, sglang.context) == (
        "SGLang", 16, 0.9, 8192,
    )  # fmt: skip
    llama = read_args(["llama-server", "-c", "4096", "-np", "4", "-ngl", "99", "-ctk", "q8_0"])
    assert (llama.engine, llama.context, llama.sequences) == ("llama.cpp", 4096, 4)
    assert (llama.spills, llama.cache_bytes) == (False, 34 / 32)
    assert read_args(["llama-server", "-c", "4096"]).spills


def test_a_value_that_cannot_be_read_counts_as_not_given() -> None:
    args = read_args(["vllm", "serve", "--tensor-parallel-size=$(NOWHERE)", "--max-model-len=auto"])
    assert (args.tensor, args.context) == (0, 2048)
    assert read_args(["vllm", "--max-model-len=" + "9" * 5000]).context == 0
    assert read_args(["vllm", "--gpu-memory-utilization=7"]).share == 0.9


# --- properties ---------------------------------------------------------------------------------

numbers = st.integers(0, 1 << 62)
sizes = st.integers(1, 10**13)
shapes = st.builds(
    Shape.of,
    st.fixed_dictionaries(
        {
            "layers": st.integers(1, 200),
            "hidden": st.integers(1, 1 << 16),
            "heads": st.integers(0, 256),
            "kv_heads": st.integers(0, 256),
            "head_size": st.integers(0, 512),
            "vocabulary": st.integers(0, 300_000),
            "intermediate": st.integers(0, 1 << 17),
            "tables": st.integers(0, 2),
            "full_layers": st.integers(0, 200),
            "window_layers": st.integers(0, 100),
            "window": st.integers(0, 1 << 20),
            "latent": st.integers(0, 1024),
            "state_layers": st.integers(0, 100),
            "state": st.integers(0, 1 << 24),
        }
    ),
)
widths = st.integers(1, 64)


@given(sizes, sizes, shapes, widths, widths, st.integers(1, 10**7), st.integers(1, 10**7))
def test_more_parameters_or_a_longer_context_never_take_less(
    few: int, many: int, shape: Shape | None, tensor: int, pipeline: int, short: int, long: int
) -> None:
    few, many = sorted((few, many))
    short, long = sorted((short, long))

    def each(parameters: int, context: int, sequences: int = 1) -> int:
        facts = ModelFacts(parameters, shape=shape)
        found = need(
            facts, VLLM, tensor=tensor, pipeline=pipeline, context=context, sequences=sequences
        )
        assert found is not None
        assert min(found.weights, found.cache or 0, found.activations, found.overhead) >= 0
        return found.each

    assert each(few, short) <= each(many, short)
    assert each(few, short) <= each(few, long)
    assert each(few, short) <= each(few, short, 2)


@given(sizes, shapes, st.integers(1, 10**7))
def test_more_gpus_never_put_more_on_each(
    parameters: int, shape: Shape | None, length: int
) -> None:
    facts = ModelFacts(parameters, shape=shape)
    held = [
        found.weights + (found.cache or 0)
        for tensor in (1, 2, 4, 8, 16)
        if (found := need(facts, VLLM, tensor=tensor, context=length)) is not None
    ]
    assert held == sorted(held, reverse=True)


@given(numbers, st.integers(0, 1 << 50), st.integers(0, 16), st.integers(0, 16), shapes, numbers)
def test_more_memory_never_turns_a_yes_into_a_no(
    parameters: int, memory: int, count: int, tensor: int, shape: Shape | None, context: int
) -> None:
    facts = ModelFacts(parameters, max_tokens=context, shape=shape)
    args = replace(VLLM, tensor=tensor)
    less, more = (judge(facts, args, Place(m, count)) for m in (memory, memory * 2))
    assert less.sentence and more.sentence
    if less.fits:
        assert more.fits


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "9", "x", [], {}])
)


@given(st.dictionaries(st.sampled_from(["layers", "hidden", "heads", "state", "window"]), anything))
def test_any_shape_is_read_without_failing(raw: dict[str, object]) -> None:
    shape = Shape.of(raw)
    assert shape is None or shape.layers > 0


pieces = st.sampled_from(
    ["--tp", "--tp=", "-c", "=", "8", "-1", "0.9", "$(X)", "'", '"', "\\\n", "vllm", " ", "9" * 400]
)


@given(st.lists(st.lists(pieces, max_size=5).map("".join), max_size=8))
def test_any_command_line_is_read_without_failing(words: list[str]) -> None:
    args = read_args(words)
    assert args.tensor >= 0 and args.context >= 0 and 0 <= args.share <= 1
