"""Results in words and tables: one sentence for the status, a ConfigMap for everything."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object
from ome.benchmark.outcome import Told

COLUMNS: Final = (
    ("scenario", "scenario", ""),
    ("concurrency", "concurrency", ""),
    ("batchSize", "batch", ""),
    ("completed", "answered", ""),
    ("failed", "failed", ""),
    ("requestsPerSecond", "req/s", ""),
    ("outputTokensPerSecond", "out tok/s", ""),
    ("ttft", "TTFT ms p50", "p50"),
    ("ttft", "p90", "p90"),
    ("ttft", "p99", "p99"),
    ("tpot", "ITL ms p50", "p50"),
    ("tpot", "p90", "p90"),
    ("tpot", "p99", "p99"),
    ("e2e_latency", "E2E ms p50", "p50"),
    ("e2e_latency", "p90", "p90"),
    ("e2e_latency", "p99", "p99"),
    ("costPerMillionOutputTokens", "cost/Mtok", ""),
)
"""(key, heading, figure). Times are shown in milliseconds."""
SUMMARY_JSON: Final = "summary.json"
SUMMARY_CSV: Final = "summary.csv"
SUMMARY_MD: Final = "summary.md"


def with_cost(runs: Sequence[Object], accelerator: Object | None, count: int) -> list[Object]:
    """Adds what a million output tokens cost, where the accelerator class has a price by hour."""
    price = (((accelerator or {}).get("spec") or {}).get("cost") or {}).get("perHour")
    if price is None or count <= 0:
        return list(runs)
    hourly = float(quantity.parse(price) * Decimal(count))
    priced = []
    for run in runs:
        speed = float(run.get("outputTokensPerSecond") or 0)
        cost = {"costPerMillionOutputTokens": round(hourly / (speed * 3600) * 1e6, 4)}
        priced.append({**run, **(cost if speed > 0 else {})})
    return priced


def document(job: Object, told: Told, runs: Sequence[Object], state: str) -> Object:
    """All that is known of one benchmark."""
    spec, meta = job.get("spec") or {}, job["metadata"]
    failures: Counter[str] = Counter()
    for run in runs:
        for cause in run.get("causes") or ():
            failures[str(cause.get("code"))] += int(cause.get("count") or 0)
    found: Object = {
        "name": meta["name"],
        "namespace": meta.get("namespace"),
        "uid": meta.get("uid"),
        "state": state,
        "task": spec.get("task"),
        "endpoint": spec.get("endpoint"),
        "outputLocation": (spec.get("outputLocation") or {}).get("storageUri"),
        "requests": {"answered": told.completed, "failed": told.failed},
        "runs": list(runs),
    }
    if failures:
        found["failuresByCause"] = dict(failures.most_common())
    if told.notes:
        found["notes"] = list(told.notes)
    return found


def runs_of(data: Mapping[str, str] | None) -> list[Object]:
    """The runs in a results ConfigMap; none where it holds nothing that can be read."""
    try:
        found = json.loads((data or {}).get(SUMMARY_JSON) or "{}").get("runs")
    except (ValueError, AttributeError):
        return []
    return [run for run in found or () if isinstance(run, dict)]


def data(found: Object) -> dict[str, str]:
    """Data of the results ConfigMap."""
    return {
        SUMMARY_JSON: json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False),
        SUMMARY_CSV: as_csv(found["runs"]),
        SUMMARY_MD: as_markdown(found["runs"]),
    }


def table(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, without columns that are empty everywhere."""
    rows = [[_cell(run, key, figure) for key, _, figure in COLUMNS] for run in runs]
    kept = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows)]
    return [COLUMNS[i][1] for i in kept], [[row[i] for i in kept] for row in rows]


def _cell(run: Mapping[str, Any], key: str, figure: str) -> str:
    value = run.get(key)
    if figure:
        value = value.get(figure) if isinstance(value, Mapping) else None
        value = None if value is None else float(value) * 1000
    if value is None or value == "":
        return ""
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Four digits, and never an exponent for what people read as a plain number."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def as_csv(runs: Sequence[Mapping[str, Any]]) -> str:
    """With full names of the columns, times in seconds."""
    names = [f"{key}_{figure}" if figure else key for key, _, figure in COLUMNS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for run in runs:
        writer.writerow(_raw(run, key, figure) for key, _, figure in COLUMNS)
    return text.getvalue()


def _raw(run: Mapping[str, Any], key: str, figure: str) -> Any:
    value = run.get(key, "")
    return value.get(figure, "") if figure and isinstance(value, Mapping) else value


def as_markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    headings, rows = table(runs)
    return markdown(headings, rows) if rows else "no run has ended yet\n"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# -- sentences -----------------------------------------------------------------------------------


def progress(told: Told) -> str:
    """While it runs."""
    if not told.total:
        return told.phase or "starting"
    if told.done >= told.total:
        return f"{told.total} of {told.total} runs done; writing the report"
    now = f"run {told.done + 1} of {told.total}"
    if told.scenario:
        now += f": {told.scenario}, {told.iteration} at a time"
    left = told.eta()
    return f"{now}; about {_length(left)} left" if left is not None else now


def conclusion(told: Told, results: str) -> str:
    """When it has ended."""
    if not told.runs:
        return told.message or "nothing was measured"
    count = len(told.runs)
    parts = [f"{count} run{'s' if count > 1 else ''}, {told.completed} requests answered"]
    if told.failed:
        parts.append(f"{told.failed} failed ({causes(told.runs)})")
    speeds = [float(run["outputTokensPerSecond"]) for run in told.runs if _speed(run)]
    if speeds:
        low, high = min(speeds), max(speeds)
        span = number(high) if low == high else f"{number(low)} to {number(high)}"
        parts.append(f"{span} output tokens/s")
    firsts = [float(run["ttft"]["p50"]) for run in told.runs if run.get("ttft") and _speed(run)]
    if firsts:
        parts.append(f"first token after {number(min(firsts) * 1000)} ms at best (p50)")
    text = f"{', '.join(parts)}; ConfigMap {results} has all figures"
    return f"{text}. Note: {'; '.join(told.notes)}" if told.notes else text


def causes(runs: Sequence[Mapping[str, Any]]) -> str:
    counts: Counter[str] = Counter()
    for run in runs:
        for cause in run.get("causes") or ():
            counts[str(cause.get("code"))] += int(cause.get("count") or 0)
    return ", ".join(f"{code}: {count}" for code, count in counts.most_common()) or "no cause told"


def _speed(run: Mapping[str, Any]) -> float:
    return float(run.get("outputTokensPerSecond") or 0)


def _length(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
