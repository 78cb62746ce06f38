"""What the pod tells, what is made of it, and how two results compare."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.benchmark.jobs import benchmark

from ome.benchmark import compare, outcome, plot, summary
from ome.benchmark.pod import results

Object = dict[str, Any]


def run(scenario: str = "D(100,100)", concurrency: int = 1, **more: Any) -> Object:
    figures = {"mean": 0.2, "stddev": 0.02, "p50": 0.19, "p90": 0.23, "p99": 0.25}
    return {
        "scenario": scenario,
        "concurrency": concurrency,
        "completed": 100,
        "failed": 0,
        "requestsPerSecond": 2.0,
        "outputTokensPerSecond": 40.0 * concurrency,
        "ttft": figures,
        "tpot": {"mean": 0.02, "stddev": 0.001, "p50": 0.02, "p90": 0.021, "p99": 0.03},
        "e2e_latency": {"mean": 2.2, "stddev": 0.1, "p50": 2.2, "p90": 2.3, "p99": 2.5},
        **more,
    }


def told(*events: Object) -> outcome.Told:
    lines = [f"ome-benchmark: {json.dumps(event)}" for event in events]
    return outcome.read("\n".join(["noise", "ome-benchmark: {broken", *lines, ""]))


def test_a_log_is_read_at_any_time() -> None:
    assert outcome.read("") == outcome.Told()
    half = told(
        {"event": "phase", "text": "asking"},
        {"event": "progress", "done": 1, "total": 4, "scenario": "D(1,1)", "iteration": 2}
        | {"seconds": 30},
        {"event": "run", "run": run()},
        {"event": "later version", "run": 3},
    )
    assert (half.done, half.total, half.completed, half.ended) == (1, 4, 100, False)
    assert half.eta() == 90
    assert summary.progress(half) == "run 2 of 4: D(1,1), 2 at a time; about 90 s left" or (
        summary.progress(half) == "run 2 of 4: D(1,1), 2 at a time; about 2 min left"
    )


@given(st.text())
def test_any_log_can_be_read(text: str) -> None:
    outcome.read(text)
    outcome.read(f"ome-benchmark: {text}")


def test_failures_are_counted_by_cause_over_all_runs() -> None:
    cause = {"code": "503", "count": 2, "example": "busy"}
    found = told(
        {"event": "run", "run": run(failed=2, causes=[cause])},
        {"event": "run", "run": run(concurrency=4, failed=3, causes=[{**cause, "count": 3}])},
        {"event": "end", "outcome": "Succeeded", "reason": "", "message": "", "notes": ["words"]},
    )
    text = summary.conclusion(found, "bench-results")
    assert "2 runs, 200 requests answered, 5 failed (503: 5)" in text
    assert "40 to 160 output tokens/s" in text
    assert "ConfigMap bench-results" in text
    assert text.endswith("Note: words")
    document = summary.document(benchmark(), found, found.runs, "Completed")
    assert document["failuresByCause"] == {"503": 5}


def test_a_price_by_hour_becomes_a_price_by_tokens() -> None:
    accelerator = {"spec": {"cost": {"perHour": "3.6"}}}
    priced = summary.with_cost([run()], accelerator, 2)
    assert priced[0]["costPerMillionOutputTokens"] == pytest.approx(7.2 / (40 * 3600) * 1e6)
    assert summary.with_cost([run()], None, 2) == [run()]
    assert summary.with_cost([run()], accelerator, 0) == [run()]


def test_tables_leave_out_what_is_empty_and_csv_keeps_all() -> None:
    runs = [run(), run(concurrency=2)]
    headings, rows = summary.table(runs)
    assert "batch" not in headings
    assert "cost/Mtok" not in headings
    assert rows[0][headings.index("TTFT ms p50")] == "190"
    read = list(csv.DictReader(io.StringIO(summary.as_csv(runs))))
    assert read[1]["concurrency"] == "2"
    assert read[0]["ttft_p99"] == "0.25"
    assert summary.as_markdown(runs).count("\n") == 4


def test_genai_benchs_files_are_read_in_seconds(tmp_path: Path) -> None:
    stats = {"mean": 200.0, "stddev": 1.0, "p50": 200.0, "p90": 210.0, "p99": 220.0}
    aggregated = {
        "scenario": "D(1,1)",
        "num_concurrency": 2,
        "iteration_type": "num_concurrency",
        "run_duration": 3000.0,
        "num_completed_requests": 3,
        "num_error_requests": 1,
        "requests_per_second": 1.0,
        "mean_output_throughput_tokens_per_s": 5.0,
        "mean_input_throughput_tokens_per_s": 6.0,
        "stats": {"ttft": stats, "num_output_tokens": stats},
    }
    requests = [{"error_code": 503, "error_message": "busy"}, {"error_code": None}]
    whole = {
        "aggregated_metrics": aggregated,
        "individual_request_metrics": requests,
        "_time_unit": "ms",
    }
    (tmp_path / "a.json").write_text(json.dumps(whole))
    (tmp_path / "half.json").write_text(json.dumps(whole)[:-20])
    (tmp_path / "experiment_metadata.json").write_text("{}")
    found = results.read_folder(tmp_path)
    assert list(found) == ["a.json"]
    record = found["a.json"]
    assert record["seconds"] == 3.0
    assert record["ttft"]["p50"] == 0.2
    assert record["num_output_tokens"]["p50"] == 200.0
    assert record["causes"] == [{"code": "503", "count": 1, "example": "busy"}]


# -- comparing -----------------------------------------------------------------------------------


def test_a_real_difference_is_significant_and_noise_is_not() -> None:
    faster = run(ttft={"mean": 0.1, "stddev": 0.02, "p99": 0.12})
    line = next(x for x in compare.compare([run()], [faster]) if x.figure == "TTFT ms mean")
    assert (line.verdict, line.ratio) == ("better", 0.5)
    noisy = run(ttft={"mean": 0.202, "stddev": 0.02, "p99": 0.25})
    line = next(x for x in compare.compare([run()], [noisy]) if x.figure == "TTFT ms mean")
    assert line.verdict == "no difference"
    few = run(ttft={"mean": 0.1, "stddev": 0.02}, completed=3)
    line = next(x for x in compare.compare([run()], [few]) if x.figure == "TTFT ms mean")
    assert line.verdict == "better?"


def test_several_runs_of_the_same_thing_are_compared_as_one() -> None:
    def repeated(speeds: list[float]) -> list[list[Object]]:
        return [[run(outputTokensPerSecond=speed)] for speed in speeds]

    (one,) = compare.together(repeated([40.0, 41.0, 42.0]))
    assert (one["completed"], one["outputTokensPerSecond"]) == (300, 41.0)
    assert one["ttft"]["mean"] == pytest.approx(0.2)
    assert one["ttft"]["stddev"] == pytest.approx(0.02)
    assert one["ttft"]["p99"] == pytest.approx(0.25)
    before = compare.together(repeated([40.0, 41.0, 42.0]))
    for speeds, verdict in (
        ([60.0, 61.0, 62.0], "better"),
        ([40.5, 41.0, 41.6], "no difference"),
        ([60.0, 61.0], "better?"),
    ):
        lines = compare.compare(before, compare.together(repeated(speeds)))
        assert next(x for x in lines if x.figure == "out tok/s").verdict == verdict


def test_means_that_lie_apart_widen_the_deviation_of_all() -> None:
    low = {"mean": 0.1, "stddev": 0.0, "p50": 0.1, "p90": 0.1, "p99": 0.1}
    high = {"mean": 0.3, "stddev": 0.0, "p50": 0.3, "p90": 0.3, "p99": 0.3}
    (one,) = compare.together([[run(ttft=low)], [run(ttft=high)]])
    assert one["ttft"]["mean"] == pytest.approx(0.2)
    assert one["ttft"]["stddev"] == pytest.approx(0.1)


def test_only_what_both_have_is_compared_and_the_rest_is_named() -> None:
    a, b = [run(), run(concurrency=2)], [run(), run("D(1,1)")]
    assert {line.concurrency for line in compare.compare(a, b)} == {1}
    assert compare.unmatched(a, b) == [
        "D(100,100) at 2 is only in A",
        "D(1,1) at 1 is only in B",
    ]


@pytest.mark.parametrize(
    ("t", "freedom", "chance"),
    [(2.0, 10, 0.073388), (2.576, 1e6, 0.009995), (0.0, 5, 1.0), (12.706, 1, 0.05)],
)
def test_students_distribution(t: float, freedom: float, chance: float) -> None:
    assert compare.two_sided(t, freedom) == pytest.approx(chance, abs=2e-5)


def test_equal_services_are_rarely_called_different() -> None:
    dice = random.Random(1)

    def sample() -> Object:
        values = [dice.gauss(1, 0.2) for _ in range(30)]
        mean = sum(values) / 30
        return {"mean": mean, "stddev": math.sqrt(sum((v - mean) ** 2 for v in values) / 30)}

    wrong = sum(bool(compare.differ(sample(), 30, sample(), 30)) for _ in range(1000))
    assert 1 <= wrong <= 25  # 10 are expected


def test_the_pareto_front_keeps_what_nothing_beats() -> None:
    points = [(10.0, 1.0), (20.0, 2.0), (15.0, 3.0), (5.0, 0.5), (20.0, 2.0)]
    assert compare.pareto(points) == [True, True, False, True, True]


def test_a_picture_is_valid_svg_with_every_point() -> None:
    runs = [run(), run(concurrency=8), run("N(1,1)/(2,2)")]
    text = plot.svg("a <b> & c", plot.series("x", runs))
    root = ElementTree.fromstring(text)
    assert len([e for e in root.iter() if e.tag.endswith("circle")]) == 3
    assert len([e for e in root.iter() if e.tag.endswith("polyline")]) == 2
    assert ElementTree.fromstring(plot.svg("empty", [])) is not None


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_ticks_cover_the_largest_value(largest: float) -> None:
    found = plot.ticks(largest)
    assert found[0] == 0
    assert found[-1] >= largest * (1 - 1e-9)
    assert len(found) <= 7
