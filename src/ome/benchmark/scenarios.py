"""What genai-bench can measure: tasks, the grammar of traffic scenarios, its own defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

TASKS: Final = {
    "text-to-text": "text-to-text",
    "image-to-text": "image-text-to-text",
    "text-to-embeddings": "text-to-embeddings",
    "image-to-embeddings": "image-to-embeddings",
}
"""What genai-bench calls the tasks of the contract."""

_PAIR = r"\([0-9]+,[0-9]+\)"
_IMAGE = r"I\([0-9]+,[0-9]+(,[0-9]+)?\)"
_DATASET = "|dataset"
SCENARIOS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "text-to-text": (
        re.compile(rf"N{_PAIR}/{_PAIR}|U{_PAIR}(/{_PAIR})?|D{_PAIR}{_DATASET}"),
        "D(100,100), N(480,240)/(300,150) or U(50,100)/(200,250)",
    ),
    "text-to-embeddings": (re.compile(rf"E\([0-9]+(,[0-9]+)?\){_DATASET}"), "E(256)"),
    "image-to-text": (re.compile(_IMAGE + _DATASET), "I(512,512)"),
    "image-to-embeddings": (re.compile(_IMAGE + _DATASET), "I(512,512)"),
}
"""By task: what a scenario looks like, and examples."""

CONCURRENCIES: Final = 9
BATCH_SIZES: Final = 7
DEFAULT_COUNTS: Final = {
    "text-to-text": 5,
    "image-to-text": 3,
    "text-to-embeddings": 5,
    "image-to-embeddings": 3,
}
"""How many scenarios, concurrencies and batch sizes genai-bench takes where none are given."""

_PAIR_OF_LENGTHS: Final = re.compile(r"E\(([0-9]+),[0-9]+\)")


def normal(scenario: str) -> str:
    """As genai-bench wants it: no spaces, and one length for embeddings."""
    text = scenario.replace(" ", "")
    pair = _PAIR_OF_LENGTHS.fullmatch(text)
    return f"E({pair[1]})" if pair else text
