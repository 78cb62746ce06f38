"""The one place that prints.

Results go to standard output, everything said about them (progress, warnings, errors) to standard
error, so that a pipe gets results alone. On a terminal there is colour and one live line that is
written over; otherwise plain lines, each new fact once.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

FORMATS = ("table", "wide", "json", "yaml", "name")
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}


class Output:
    def __init__(
        self,
        *,
        quiet: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        colour: bool | None = None,
    ) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.quiet = quiet
        self.live = self.err.isatty() and not quiet
        self.colour = _wants_colour(self.out) if colour is None else colour
        self._shown = ""
        self._said = ""

    # -- results ------------------------------------------------------------------------------

    def print(self, text: str = "", *, end: str = "\n") -> None:
        self.clear()
        print(text, end=end, file=self.out, flush=True)

    def raw(self, data: bytes) -> None:
        """Bytes as they are: logs, and words of a model as they come."""
        self.clear()
        self.out.flush()
        buffer = getattr(self.out, "buffer", None)
        if buffer is None:
            self.out.write(data.decode(errors="replace"))
        else:
            buffer.write(data)
            buffer.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 0) -> None:
        """Columns aligned with three spaces between them; the last one is never padded."""
        lines = [tuple(headers), *[tuple(r) for r in rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            cells = [c.ljust(w) for c, w in zip(line, widths, strict=True)]
            text = " " * indent + "   ".join(cells).rstrip()
            self.print(text if number else self.paint(text, "dim"))

    def object(self, value: Any, form: str) -> None:
        """A value as JSON or YAML, keys in the order they came in."""
        import msgspec

        if form == "json":
            self.print(msgspec.json.format(msgspec.json.encode(value), indent=4).decode())
        else:
            self.print(to_yaml(msgspec.to_builtins(value)), end="")

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour else text

    # -- what is said about them --------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line for a person; nothing when quiet."""
        if not self.quiet:
            self.clear()
            print(text, file=self.err, flush=True)

    def warn(self, text: str) -> None:
        self.clear()
        print(f"warning: {text}", file=self.err, flush=True)

    def error(self, text: str) -> None:
        self.clear()
        for line in text.splitlines() or [""]:
            print(f"error: {line}", file=self.err, flush=True)

    def status(self, text: str, *, fact: str | None = None) -> None:
        """What is going on: on a terminal one live line, elsewhere a line for each new ``fact``.

        ``fact`` is the part of ``text`` that does not change with every tick.
        """
        if self.live:
            width = max(20, _columns() - 1)
            shown = text if len(text) <= width else text[: width - 1] + "…"
            if shown != self._shown:
                self.err.write(f"\r\x1b[K{shown}")
                self.err.flush()
                self._shown = shown
        elif not self.quiet and (fact or text) != self._said:
            self._said = fact or text
            print(text, file=self.err, flush=True)

    def clear(self) -> None:
        """Takes the live line away."""
        if self._shown:
            self.err.write("\r\x1b[K")
            self.err.flush()
            self._shown = ""


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


# What one reader of YAML or another takes for a number, a truth value or nothing.
_AMBIGUOUS = re.compile(
    r"[-+]?(\d[\d_]*\.?|\d*\.\d+|\d+\.\d*)([eE][-+]?\d+)?|[-+]?0[oOxXbB][\da-fA-F_]+"
    r"|[yYnN]|yes|no|on|off|true|false|null|~|=|<<|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)


@functools.cache
def _dumper() -> Any:
    """Texts that only look like something else are quoted, whoever will read them."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        pass

    def text(dumper: Any, value: str) -> Any:
        style = "'" if _AMBIGUOUS.fullmatch(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    Dumper.ignore_aliases = lambda _self, _data: True  # equal parts are written out
    return Dumper


def to_yaml(value: Any) -> str:
    import yaml

    text: str = yaml.dump(
        value,
        Dumper=_dumper(),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=100,
    )
    return text


def size(count: float) -> str:
    """Bytes for people: ``98.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def seconds(count: float) -> str:
    """A length of time for people: ``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    if count < 10:
        return f"{count:.1f} s"
    if count < 120:
        return f"{count:.0f} s"
    if count < 7200:
        return f"{count / 60:.0f} min"
    return f"{count / 3600:.0f} h" if count < 172800 else f"{count / 86400:.0f} d"
