"""Versions of model formats and frameworks, and how a runtime's version accepts a model's.

A version is ``[v]MAJOR[.MINOR[.PATCH[.devN][-pre][+build]]]``. Precision is the number of numeric
parts; ``1.0`` and ``1.0.0`` are equal but not ordered against each other.

The operator belongs to the runtime's entry and reads **runtime OP model**: an entry with
``operator: GreaterThanOrEqual`` and ``version: 4.43.0`` accepts models made with framework version
4.43.0 *or older*. It reads backwards at first sight, but means what an engine promises: it can load
what its own library version and every older one wrote. Published runtimes rely on it.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Operator(Enum):
    EQUAL = "Equal"
    GREATER_THAN = "GreaterThan"
    GREATER_THAN_OR_EQUAL = "GreaterThanOrEqual"

    @classmethod
    def of(cls, text: str | None) -> Operator:
        """The operator of that name. Absent and unknown ones are ``Equal``, the strictest."""
        try:
            return cls(text) if text else cls.EQUAL
        except ValueError:
            return cls.EQUAL


class Version(NamedTuple):
    major: int
    minor: int
    patch: int
    dev: str
    pre: str
    build: str
    precision: int
    prefixed: bool

    @property
    def release(self) -> tuple[int, int, int]:
        return self[:3]

    @property
    def qualified(self) -> bool:
        """A development, pre-release or build version: only ever equal, never ordered."""
        return bool(self.dev or self.pre or self.build)


_NUMBER = r"(?:0|[1-9][0-9]*)"
_PATTERN = re.compile(
    rf"(?P<v>v)?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER})(?:\.(?P<patch>{_NUMBER})"
    r"(?:\.(?P<dev>dev[0-9A-Za-z.]*))?)?)?"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?"
)


@lru_cache(maxsize=4096)
def parse(text: str) -> Version | None:
    """The version, or None where the text isn't one (leading zeros, words, too many parts)."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    parts = [found["major"], found["minor"], found["patch"]]
    return Version(
        int(parts[0]),
        int(parts[1] or 0),
        int(parts[2] or 0),
        found["dev"] or "",
        found["pre"] or "",
        found["build"] or "",
        sum(part is not None for part in parts),
        found["v"] is not None,
    )


@lru_cache(maxsize=65536)
def accepts(runtime: str, operator: Operator, model: str) -> bool:
    """True where a runtime entry with this version and operator takes that model version."""
    ours, theirs = parse(runtime), parse(model)
    if ours is None or theirs is None:
        return False
    if operator is Operator.EQUAL or ours.qualified or theirs.qualified:
        return ours[:6] == theirs[:6]
    if ours.precision != theirs.precision or ours.prefixed != theirs.prefixed:
        return False
    if operator is Operator.GREATER_THAN:
        return ours.release > theirs.release
    return ours.release >= theirs.release


def requirement(version: str, operator: Operator) -> str:
    """The accepted model versions, in words: ``4.43.0``, ``4.43.0 or older``."""
    if operator is Operator.GREATER_THAN:
        return f"older than {version}"
    if operator is Operator.GREATER_THAN_OR_EQUAL:
        return f"{version} or older"
    return version
