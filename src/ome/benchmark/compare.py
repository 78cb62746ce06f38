"""Two results side by side: ratios, and whether a difference is more than chance.

A run keeps mean, standard deviation and count of each latency, so that Welch's test can be made
without the single requests. With fewer than eight requests on one side nothing is called
significant: genai-bench's requests of one run are not independent enough for less.

Throughput is one number a run, so one run says nothing of its spread. Where a side is several
benchmarks of the same thing, their runs are put together (:func:`together`), and throughput gets a
verdict too, over the runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ome.apimachinery.objects import Object
from ome.benchmark.summary import number

LEAST: Final = 8
LEAST_RUNS: Final = 3
LEVEL: Final = 0.01
"""Chance that a difference is called one that is none."""
LATENCIES: Final = (("ttft", "TTFT"), ("tpot", "ITL"), ("e2e_latency", "E2E"))
RATES: Final = (("outputTokensPerSecond", "out tok/s"), ("requestsPerSecond", "req/s"))
HEADINGS: Final = ("scenario", "at a time", "figure", "A", "B", "B/A", "verdict")


@dataclass(frozen=True)
class Line:
    """One figure of one run on both sides. ``better`` is about B; None: no saying."""

    scenario: str
    concurrency: int
    figure: str
    a: float
    b: float
    better: bool | None
    significant: bool | None

    @property
    def ratio(self) -> float:
        return self.b / self.a if self.a else math.inf

    @property
    def verdict(self) -> str:
        if self.significant is False:
            return "no difference"
        word = {True: "better", False: "worse", None: "same"}[self.better]
        return word if self.significant is not None else f"{word}?"


def key(run: Mapping[str, Any]) -> tuple[str, int, int]:
    return (
        str(run.get("scenario")),
        int(run.get("concurrency") or 0),
        int(run.get("batchSize") or 0),
    )


def together(measured: Sequence[Sequence[Object]]) -> list[Object]:
    """The runs of several benchmarks of the same thing as those of one. Means and deviations are
    those of all requests; percentiles are averages of the runs'."""
    groups: dict[tuple[str, int, int], list[Object]] = {}
    for runs in measured:
        for run in runs:
            groups.setdefault(key(run), []).append(run)
    return [runs[0] if len(runs) == 1 else _pooled(runs) for runs in groups.values()]


def _pooled(runs: Sequence[Object]) -> Object:
    weights = [int(run.get("completed") or 0) for run in runs]
    found: Object = {name: runs[0].get(name) for name in ("scenario", "concurrency", "batchSize")}
    found["completed"] = sum(weights)
    found["failed"] = sum(int(run.get("failed") or 0) for run in runs)
    found["samples"] = {}
    for name, _ in RATES:
        values = [float(run[name]) for run in runs if name in run]
        if values:
            found[name] = math.fsum(values) / len(values)
            found["samples"][name] = values
    for name, _ in LATENCIES:
        parts = [(run[name], n) for run, n in zip(runs, weights, strict=True) if run.get(name)]
        if parts:
            found[name] = _latency(parts)
    return found


def _latency(parts: Sequence[tuple[Mapping[str, Any], int]]) -> Object:
    count = sum(n for _, n in parts) or 1

    def average(name: str) -> float:
        return math.fsum(float(stats.get(name) or 0) * n for stats, n in parts) / count

    mean = average("mean")
    squares = (
        n * (float(stats.get("stddev") or 0) ** 2 + (float(stats.get("mean") or 0) - mean) ** 2)
        for stats, n in parts
    )
    found: Object = {"mean": mean, "stddev": math.sqrt(math.fsum(squares) / count)}
    found |= {p: average(p) for p in ("p50", "p90", "p99") if all(p in s for s, _ in parts)}
    return found


def compare(a: Sequence[Object], b: Sequence[Object]) -> list[Line]:
    """Of the runs that both have."""
    others = {key(run): run for run in b}
    return [line for run in a if key(run) in others for line in _lines(run, others[key(run)])]


def unmatched(a: Sequence[Object], b: Sequence[Object]) -> list[str]:
    """Runs that only one side has, in words."""
    left, right = {key(r) for r in a}, {key(r) for r in b}
    only = [(k, "A") for k in sorted(left - right)] + [(k, "B") for k in sorted(right - left)]
    return [f"{k[0]} at {k[1]} is only in {side}" for k, side in only]


def _lines(a: Object, b: Object) -> Iterable[Line]:
    scenario, concurrency, batch = key(a)
    where = (scenario, batch or concurrency)
    for name, title in RATES:
        if name in a and name in b:
            x, y = float(a[name]), float(b[name])
            yield Line(*where, title, x, y, _sign(y - x), _runs_differ(a, b, name))
    counts = int(a.get("completed") or 0), int(b.get("completed") or 0)
    for name, title in LATENCIES:
        one, other = a.get(name) or {}, b.get(name) or {}
        if "mean" not in one or "mean" not in other:
            continue
        significant = differ(one, counts[0], other, counts[1])
        x, y = float(one["mean"]) * 1000, float(other["mean"]) * 1000
        yield Line(*where, f"{title} ms mean", x, y, _sign(x - y), significant)
        if "p99" in one and "p99" in other:
            x, y = float(one["p99"]) * 1000, float(other["p99"]) * 1000
            yield Line(*where, f"{title} ms p99", x, y, _sign(x - y), None)


def _sign(difference: float) -> bool | None:
    return None if difference == 0 else difference > 0


def _runs_differ(a: Object, b: Object, name: str) -> bool | None:
    sides = []
    for side in (a, b):
        values = (side.get("samples") or {}).get(name) or [float(side[name])]
        mean = math.fsum(values) / len(values)
        spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
        sides.append(({"mean": mean, "stddev": spread}, len(values)))
    return differ(*sides[0], *sides[1], least=LEAST_RUNS)


def differ(
    a: Mapping[str, Any], count_a: int, b: Mapping[str, Any], count_b: int, *, least: int = LEAST
) -> bool | None:
    """Whether two means differ by more than chance; None where there is too little to say."""
    if min(count_a, count_b) < least:
        return None
    mean_a, mean_b = float(a["mean"]), float(b["mean"])
    # genai-bench gives the deviation of the requests it has seen, not an estimate for all.
    var_a = float(a.get("stddev") or 0) ** 2 / (count_a - 1)
    var_b = float(b.get("stddev") or 0) ** 2 / (count_b - 1)
    if var_a + var_b == 0:
        return mean_a != mean_b
    t = abs(mean_a - mean_b) / math.sqrt(var_a + var_b)
    freedom = (var_a + var_b) ** 2 / (var_a**2 / (count_a - 1) + var_b**2 / (count_b - 1))
    return two_sided(t, freedom) < LEVEL


def two_sided(t: float, freedom: float) -> float:
    """Chance of a t at least so far from 0 under Student's distribution."""
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny, c, d, f = 1e-300, 1.0, 0.0, 1.0
    for i in range(400):
        m = i // 2
        if i == 0:
            numerator = 1.0
        elif i % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 + numerator * d
        d = 1 / (d if abs(d) > tiny else tiny)
        c = 1 + numerator / (c if abs(c) > tiny else tiny)
        f *= c * d
        if abs(1 - c * d) < 1e-12:
            break
    return front * (f - 1) / a


def rows(lines: Iterable[Line]) -> list[list[str]]:
    return [
        [
            line.scenario,
            str(line.concurrency),
            line.figure,
            number(line.a),
            number(line.b),
            f"{line.ratio:.3f}",
            line.verdict,
        ]
        for line in lines
    ]


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points (throughput, latency) no other one beats: more of the first, less of the
    second."""
    return [
        not any((x >= mine[0] and y <= mine[1]) and (x > mine[0] or y < mine[1]) for x, y in points)
        for mine in points
    ]
