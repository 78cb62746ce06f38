"""genai-bench's result files, in short: one record for each scenario and concurrency."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

METRICS = ("ttft", "tpot", "e2e_latency", "num_input_tokens", "num_output_tokens")
FIGURES = ("mean", "stddev", "p50", "p90", "p99")
_NOT_RESULTS = ("experiment_metadata.json", "debug_for_run_")
_MS = 1000.0


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Records by file name, of the files that are complete, oldest first."""
    files = [p for p in folder.glob("*.json") if not p.name.startswith(_NOT_RESULTS)]
    found = {}
    for path in sorted(files, key=lambda p: (p.stat().st_mtime_ns, p.name)):
        record = read_file(path)
        if record is not None:
            found[path.name] = record
    return found


def read_file(path: Path) -> dict[str, Any] | None:
    """The record of one file; None where it is no result, or not written to its end yet."""
    try:
        content = json.loads(path.read_text())
        return record(content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(content: dict[str, Any]) -> dict[str, Any]:
    """Times are seconds, throughput is tokens per second over the whole run."""
    found = content["aggregated_metrics"]
    unit = 1 / _MS if content.get("_time_unit") == "ms" else 1.0
    batches = found.get("iteration_type") == "batch_size"
    result: dict[str, Any] = {
        "scenario": found["scenario"],
        "concurrency": 1 if batches else found["num_concurrency"],
        "seconds": _rounded(found["run_duration"] * unit),
        "completed": found["num_completed_requests"],
        "failed": found["num_error_requests"],
        "requestsPerSecond": _rounded(found["requests_per_second"]),
        "outputTokensPerSecond": _rounded(found["mean_output_throughput_tokens_per_s"]),
        "inputTokensPerSecond": _rounded(found["mean_input_throughput_tokens_per_s"]),
    }
    if batches:
        result["batchSize"] = found["batch_size"]
    causes = failures(content)
    if causes:
        result["causes"] = causes
    for name in METRICS:
        stats = (found.get("stats") or {}).get(name) or {}
        factor = 1.0 if name.startswith("num_") else unit
        figures = {f: _rounded(stats[f] * factor) for f in FIGURES if stats.get(f) is not None}
        if figures:
            result[name] = figures
    return result


def failures(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Failed requests by cause, with the words of one of each, most frequent first."""
    counts: Counter[str] = Counter()
    words: dict[str, str] = {}
    for request in content.get("individual_request_metrics") or ():
        code = request.get("error_code")
        if code:
            counts[str(code)] += 1
            words.setdefault(str(code), " ".join(str(request.get("error_message") or "").split()))
    return [
        {"code": code, "count": count, "example": words[code][:200]}
        for code, count in counts.most_common()
    ]


def debugged_failures(folder: Path) -> list[dict[str, Any]]:
    """Failures of a run without any success: genai-bench keeps only a debug file of it."""
    for path in folder.glob("debug_for_run_*.json"):
        try:
            return failures(json.loads(path.read_text()))
        except (OSError, ValueError):
            continue
    return []


def in_words(causes: list[dict[str, Any]]) -> str:
    """``404 (12 times): model not found``"""
    parts = []
    for cause in causes[:3]:
        example = f": {cause['example']}" if cause["example"] else ""
        parts.append(f"{cause['code']} ({cause['count']} times){example}")
    return "; ".join(parts)


def wanted(folder: Path) -> list[tuple[str, int]]:
    """(scenario, iteration) of each run in order, as genai-bench itself has noted."""
    try:
        plan = json.loads((folder / "experiment_metadata.json").read_text())
        key = "batch_size" if plan.get("iteration_type") == "batch_size" else "num_concurrency"
        return [(s, i) for s in plan["traffic_scenario"] for i in plan[key]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
