"""Log lines for machines: one JSON object a line on standard error.

``ts`` (UTC, RFC 3339), ``level``, ``logger`` and ``msg``; lines that are written while a controller
works on an object also say which: ``controller`` and ``object`` (``namespace/name``). ``error``
holds a traceback.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

from ome.kube.controller import CURRENT


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if (current := CURRENT.get()) is not None:
            line["controller"], line["object"] = current[0], str(current[1])
        if (about := getattr(record, "object", None)) is not None:
            line["object"] = about
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_json(stream: TextIO | None = None) -> None:
    """Everything that is logged goes there as JSON; ``$OME_LOG_LEVEL`` says how much."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(
        level=os.environ.get("OME_LOG_LEVEL", "INFO").upper(), handlers=[handler], force=True
    )
