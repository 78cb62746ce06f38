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
    "text-to-rerank": "text-to-rerank",
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
    "text-to-rerank": (re.compile(rf"R{_PAIR}{_DATASET}"), "R(256,100)"),
}
"""By task: what a scenario looks like, and examples."""

IN_BATCHES: Final = ("text-to-embeddings", "text-to-rerank")
"""Tasks of which genai-bench varies the size of batches, one request at a time."""
TYPICAL: Final = {
    "text-to-text": "D(100,100)",
    "image-to-text": "I(512,512)",
    "text-to-embeddings": "E(256)",
    "image-to-embeddings": "I(512,512)",
    "text-to-rerank": "R(256,100)",
}
"""What ``ome bench`` takes where nothing is said."""
FORMATS: Final = {
    "text-to-text": ("openai", "cohere", "oci-cohere"),
    "image-to-text": ("openai",),
    "text-to-embeddings": ("openai", "cohere", "oci-cohere"),
    "image-to-embeddings": ("cohere", "oci-cohere"),
    "text-to-rerank": ("openai",),
}
"""By task: the APIs through which genai-bench measures it."""
CONCURRENCIES: Final = 9
BATCH_SIZES: Final = 7
DEFAULT_COUNTS: Final = {
    "text-to-text": 5,
    "image-to-text": 3,
    "text-to-embeddings": 5,
    "image-to-embeddings": 3,
    "text-to-rerank": 7,
}
"""How many scenarios, concurrencies and batch sizes genai-bench takes where none are given."""

_PAIR_OF_LENGTHS: Final = re.compile(r"E\(([0-9]+),[0-9]+\)")


def normal(scenario: str) -> str:
    """As genai-bench wants it: no spaces, and one length for embeddings."""
    text = scenario.replace(" ", "")
    pair = _PAIR_OF_LENGTHS.fullmatch(text)
    return f"E({pair[1]})" if pair else text
