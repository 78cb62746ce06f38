"""A picture of results as SVG: throughput against latency, one line for each scenario.

Written by hand, so that it needs no library and looks the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 760
HEIGHT: Final = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 40, 55
_COLOURS: Final = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#9c6b4e", "#97bbf5")

Series = tuple[str, Sequence[tuple[float, float, str]]]
"""A name, and points (x, y, label)."""


def series(name: str, runs: Sequence[Mapping[str, Any]]) -> list[Series]:
    """Throughput (output tokens/s) against time to first token (ms, p50), by scenario."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    for run in runs:
        first = (run.get("ttft") or {}).get("p50")
        speed = run.get("outputTokensPerSecond")
        if first is None or speed is None:
            continue
        label = str(run.get("batchSize") or run.get("concurrency"))
        title = f"{name} {run.get('scenario')}".strip()
        found.setdefault(title, []).append((float(speed), float(first) * 1000, label))
    return list(found.items())


def svg(title: str, lines: Sequence[Series]) -> str:
    """The whole file."""
    points = [p for _, line in lines for p in line]
    x_ticks = ticks(max((p[0] for p in points), default=1.0))
    y_ticks = ticks(max((p[1] for p in points), default=1.0))
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + value / x_ticks[-1] * (right - _LEFT)

    def y(value: float) -> float:
        return bottom - value / y_ticks[-1] * (bottom - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title, size=15),
    ]
    for tick in x_ticks:
        parts.append(_rule(x(tick), _TOP, x(tick), bottom))
        parts.append(_text(x(tick), bottom + 18, f"{tick:g}", anchor="middle"))
    for tick in y_ticks:
        parts.append(_rule(_LEFT, y(tick), right, y(tick)))
        parts.append(_text(_LEFT - 8, y(tick) + 4, f"{tick:g}", anchor="end"))
    middle = (_LEFT + right) / 2
    parts.append(_text(middle, HEIGHT - 14, "output tokens/s", anchor="middle"))
    parts.append(_text(_LEFT, _TOP - 6, "time to first token, p50, ms"))
    for index, (name, line) in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for p in line:
            parts.append(f'<circle cx="{x(p[0]):.1f}" cy="{y(p[1]):.1f}" r="4" fill="{colour}"/>')
            parts.append(_text(x(p[0]) + 6, y(p[1]) - 6, p[2], size=10))
        height = _TOP + 12 + 18 * index
        box = f'x="{right + 14}" y="{height - 9}" fill="{colour}"'
        parts.append(f'<rect {box} width="10" height="10"/>')
        parts.append(_text(right + 30, height, name, size=11))
    return "\n".join([*parts, "</svg>", ""])


def ticks(largest: float, about: int = 5) -> list[float]:
    """Round numbers from 0 to at least ``largest``."""
    rough = max(largest, 1e-9) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    return [round(step * i, 10) for i in range(math.ceil(max(largest, 1e-9) / step - 1e-9) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
