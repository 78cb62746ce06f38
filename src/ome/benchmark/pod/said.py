"""The lines that the controller reads, and the failures that end a benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

MARK = "ome-benchmark:"
TERMINATION_LOG = Path("/dev/termination-log")
_LONGEST = 1500
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CONNECTION_STRING", "CREDENTIAL")


class Failure(Exception):  # noqa: N818 - a finding, which ends the benchmark
    """``reason`` is one of the codes that OME knows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def tell(event: str, **facts: Any) -> None:
    line = json.dumps({"event": event, **facts}, ensure_ascii=False, separators=(",", ":"))
    print(f"{MARK} {scrub(line)}", flush=True)  # noqa: T201 - this is a program


def end(outcome: str, reason: str, message: str, **facts: Any) -> None:
    """The last line; in short also where Kubernetes looks for last words."""
    text = scrub(shorten(message))
    tell("end", outcome=outcome, reason=reason, message=text, **facts)
    short = {"event": "end", "outcome": outcome, "reason": reason, "message": text}
    with contextlib.suppress(OSError):
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(f"{MARK} {json.dumps(short)}")


def shorten(text: str, limit: int = _LONGEST) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def secrets() -> list[str]:
    """Values that nobody should read in a log or a result."""
    found = {
        value
        for name, value in os.environ.items()
        if any(part in name.upper() for part in _SECRET_NAMES) and len(value) >= 6
    }
    return sorted(found, key=len, reverse=True)


def scrub(text: str) -> str:
    for value in secrets():
        text = text.replace(value, "***")
    return text


def complain(text: str) -> None:
    print(scrub(text), file=sys.stderr, flush=True)  # noqa: T201 - this is a program
