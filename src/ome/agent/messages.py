"""What agent and worker say to each other: one JSON object on stdin, JSON lines on stdout.

The task holds the credentials, which therefore are in no argument list and in no environment. The
worker reads stdin to its end: when that comes, its agent is gone, and it stops too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ome.storage import Progress, SourceSpec


@dataclass(frozen=True, slots=True)
class Task:
    """``how``: bring the files (``download``), look at those that are there (``local``), or read
    all of them again (``verify``). ``weights`` is for an adapter: what its object declares, and
    the folder of its ``base``."""

    how: Literal["download", "local", "verify"]
    spec: SourceSpec
    destination: str
    data_key: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    reuse: tuple[str, ...] = ()
    keep_replaced: bool = False
    skip_parsing: bool = False
    weights: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Task:
        data = json.loads(line)
        data["spec"] = SourceSpec(**data["spec"])
        for name in ("include", "exclude", "reuse"):
            data[name] = tuple(data[name])
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Done:
    """The files are published. ``config`` is the entry of the node's ConfigMap; ``verified`` what
    reading all bytes again came to."""

    revision: str = ""
    size: int = 0
    config: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    verified: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """``retryable``: trying again later can help without anybody doing anything."""

    reason: str
    message: str
    remedy: str = ""
    retryable: bool = False
    retry_after: float | None = None


Message = Progress | Done | Failure
_KINDS: Mapping[str, type[Any]] = {"progress": Progress, "done": Done, "failure": Failure}


def encode(message: Message) -> bytes:
    kind = next(name for name, cls in _KINDS.items() if isinstance(message, cls))
    return json.dumps({"kind": kind, **asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message | None:
    """None for a line that is none of ours."""
    try:
        data = json.loads(line)
        cls = _KINDS[data.pop("kind")]
        if "warnings" in data:
            data["warnings"] = tuple(data["warnings"])
        message: Message = cls(**data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return message
