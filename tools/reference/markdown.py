"""Small pieces of Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

HEADER = "<!-- Made by tools/generate_docs.py out of the code: edit the code, not this page. -->\n"


def cell(text: str) -> str:
    """Text that can stand in a table: one line, nothing that Markdown or HTML would take."""
    text = " ".join(text.split()).replace("|", "\\|")
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace(">", "&gt;") for part in parts[::2]]
    return "`".join(parts)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
    return "\n".join(lines)


def code(value: Any) -> str:
    """A value as one would write it in YAML."""
    if isinstance(value, str):
        return f"`{value}`" if value else '`""`'
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def listed(values: Iterable[Any]) -> str:
    return ", ".join(code(value) for value in values)


def page(title: str, *parts: str) -> str:
    return (
        "\n\n".join([HEADER + f"\n# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"
    )
