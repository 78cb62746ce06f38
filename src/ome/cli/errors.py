"""What a command says when it can't do what it was asked.

One line: what failed and where (file and line, object, field), why, and what to do. The exit
status is 1, or 2 where the command line itself was wrong; 130 after Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence

from ome.apimachinery.errors import StatusError

FAILURE = 1
USAGE = 2
INTERRUPTED = 130


class CliError(Exception):
    """``where`` comes before the message, ``remedy`` after it."""

    def __init__(
        self, message: str, *, where: str = "", remedy: str = "", code: int = FAILURE
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        if not self.remedy:
            return text
        return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'} {self.remedy}"


class ManyCliError(CliError):
    """Several problems of one input, one line each."""

    def __init__(self, problems: Sequence[CliError]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


def usage(message: str, remedy: str = "") -> CliError:
    return CliError(message, remedy=remedy, code=USAGE)


def from_status(error: StatusError, doing: str, where: str = "") -> CliError:
    """An answer of the API server, as an error of a command."""
    remedy = ""
    if error.reason == "Conflict" and error.causes:
        remedy = "Apply with --force-conflicts to take these fields over"
    elif error.code == 401:
        remedy = "Check the user's token or certificate in the kubeconfig"
    return CliError(f"{doing}: {error.message.rstrip('.')}", where=where, remedy=remedy)
