from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.selection.sizes import format_parameters, parse_parameters
from ome.selection.versions import Operator, accepts, parse


@pytest.mark.parametrize(
    ("runtime", "operator", "model", "taken"),
    [
        ("1.0.0", "Equal", "1.0.0", True),
        ("1.0", "Equal", "1.0.0", True),  # equality ignores precision
        ("v1.0.0", "Equal", "1.0.0", True),  # and the prefix
        ("1.0.0", "Equal", "1.0.1", False),
        ("4.43.0", "GreaterThanOrEqual", "4.33.1", True),  # runtime >= model
        ("4.43.0", "GreaterThanOrEqual", "4.43.0", True),
        ("4.43.0", "GreaterThanOrEqual", "4.44.0", False),
        ("4.43.0", "GreaterThan", "4.43.0", False),
        ("4.43", "GreaterThan", "4.42.0", False),  # ordering needs the same precision
        ("v4.43.0", "GreaterThan", "4.42.0", False),
        ("4.45.0.dev0", "GreaterThan", "4.45.0", False),  # qualified versions are only equal
        ("4.45.0.dev0", "GreaterThan", "4.45.0.dev0", True),
        ("1.0.0-rc1", "Equal", "1.0.0", False),
        ("01.0", "Equal", "01.0", False),  # leading zeros are no version
        ("latest", "Equal", "latest", False),
        ("1.0.0", "Nonsense", "1.0.0", True),  # unknown operators are Equal
    ],
)
def test_a_runtime_takes_the_versions_its_operator_says(
    runtime: str, operator: str, model: str, taken: bool
) -> None:
    assert accepts(runtime, Operator.of(operator), model) is taken


@given(st.tuples(*[st.integers(0, 99)] * 3), st.tuples(*[st.integers(0, 99)] * 3))
def test_ordering_is_that_of_the_numbers(ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
    runtime, model = (".".join(map(str, v)) for v in (ours, theirs))
    assert accepts(runtime, Operator.GREATER_THAN_OR_EQUAL, model) is (ours >= theirs)
    assert accepts(runtime, Operator.GREATER_THAN, model) is (ours > theirs)
    assert accepts(runtime, Operator.EQUAL, model) is (ours == theirs)


@given(st.text(max_size=12))
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = parse(text)
    assert found is None or text.lstrip("v")[0].isdigit()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("7B", 7e9),
        ("134.5M", 134.5e6),
        ("1.2T", 1.2e12),
        ("500", 500.0),
        ("7b", 7e9),
        (" 8B ", 8e9),
    ],
)
def test_sizes_are_read(text: str, count: float) -> None:
    assert parse_parameters(text) == count


@pytest.mark.parametrize("text", ["", None, "big", "7 billion", "-1B", "7BB"])
def test_nonsense_is_no_size(text: str | None) -> None:
    assert parse_parameters(text) is None


@given(st.sampled_from([1e6, 7e9, 134.5e6, 70.6e9, 1.2e12]))
def test_a_written_size_reads_back(count: float) -> None:
    assert parse_parameters(format_parameters(count)) == pytest.approx(count, rel=1e-3)
