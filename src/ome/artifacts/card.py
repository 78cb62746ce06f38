"""The few plain values at the top of a model card (``README.md``): task and licence."""

from __future__ import annotations

import re
from pathlib import Path

_MOST = 64 * 1024
_LINE = re.compile(r"^(pipeline_tag|license|license_name|library_name):[ \t]*([^\s#\[{][^#\n]*)?")


def read_card(folder: Path) -> dict[str, str]:
    """Scalars of the front matter; empty where there is none.

    Not parsed as YAML: only four one-line values matter, and the rest can be anything.
    """
    try:
        with (folder / "README.md").open("rb") as file:
            text = file.read(_MOST).decode("utf-8", errors="replace")
    except OSError:
        return {}
    if not text.startswith("---"):
        return {}
    front = text[3:].partition("\n---")[0]
    found = {}
    for line in front.splitlines():
        match = _LINE.match(line)
        if match and match[2]:
            found[match[1]] = match[2].strip().strip("'\"")
    return found
