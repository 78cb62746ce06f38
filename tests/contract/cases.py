"""The form of a case, and the collection of all cases.

A :class:`Case` sets one field (or, for a family, several siblings) in a fresh world and says what
must be seen then and must not be seen without it. So a case fails when its field stops having an
effect, and the ledger (:mod:`tests.contract.ledger`), which is made of the cases, never claims more
than the tests prove.

To add cases: a module ``effects_<what>.py`` here with a function ``cases()``, listed in
:data:`MODULES`.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from tests.contract.world import Base, Seen, World

PROVEN: Final = "proven"
REFUSED: Final = "refused"
DEPRECATED: Final = "deprecated"
OPEN: Final = "open"
ABSENT: Final = "(nothing)"
KEY: Final = "h100"
"""What a case's ``{}`` stands for where the world has no entry yet."""

MODULES: Final = (
    "effects_common",
    "effects_components",
    "effects_pods",
    "effects_predictor",
    "effects_service",
    "effects_selection",
    "effects_runtime",
    "effects_models",
    "effects_accelerators",
    "effects_benchmarks",
    "effects_status",
)

Look = Callable[[Seen], Any]


@dataclass(frozen=True)
class Case:
    """``look`` must equal ``expected`` with the field and differ from it without.

    ``covers`` are further places that the same case proves, because its value sets them as well.
    """

    kind: str
    path: str
    value: Any
    look: Look
    base: Base
    expected: Any
    state: str = PROVEN
    why: str = ""
    """For what is refused or deprecated: the reason, in a few words."""
    covers: tuple[str, ...] = ()
    also: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are set in both worlds."""
    drop: tuple[str, ...] = ()
    """Fields at the top of the object that neither world has, unless the case sets it."""
    change: Callable[[World], None] | None = None
    """What makes OME write a field of a status, instead of a value that somebody sets."""

    @property
    def id(self) -> str:
        return f"{self.kind}.{self.path}"

    @property
    def test(self) -> str:
        return f"tests/contract/test_effects.py::test_effect[{self.id}]"

    def world(self) -> World:
        world = self.base().about(self.kind)
        for path, value in self.also.items():
            put(world.subject, path, value)
        for name in self.drop:
            del world.subject[name]
        return world

    def seen(self) -> tuple[Any, Any]:
        """What is seen with the field, and without it."""
        without = self.world()
        given = self.world()
        if self.change is not None:
            self.change(given)
        else:
            put(given.subject, self.path.removesuffix(".(Container)"), self.value)
        return self.look(given.seen()), _or_absent(self.look, without.seen())


@dataclass(frozen=True)
class Open:
    """A place (a pattern over paths) whose feature is still to come."""

    kind: str
    pattern: str
    feature: str


def _or_absent(look: Look, seen: Seen) -> Any:
    try:
        return look(seen)
    except (KeyError, IndexError, StopIteration, TypeError, AttributeError, AssertionError):
        return ABSENT


def case(
    kinds: str,
    path: str,
    value: Any,
    look: Look,
    *,
    base: Base = World,
    expected: Any = ...,
    **more: Any,
) -> Iterable[Case]:
    """One case for each of the kinds (separated by spaces). ``expected`` is the value itself
    unless it is given."""
    for kind in kinds.split():
        yield Case(kind, path, value, look, base, value if expected is ... else expected, **more)


def written(
    kinds: str,
    path: str,
    expected: Any,
    look: Look,
    change: Callable[[World], None],
    **more: Any,
) -> Iterable[Case]:
    """A field of a status: after ``change`` OME writes it so, and otherwise it does not."""
    more.setdefault("base", World)
    for kind in kinds.split():
        yield Case(kind, path, None, look, expected=expected, change=change, **more)


def put(obj: Any, path: str, value: Any) -> None:
    """Sets a field by the path of a place; what is missing on the way is made."""
    parts = [part for part in re.split(r"\.|(\[\]|\{\})", path) if part]
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        after = parts[index + 1] if not last else ""
        if part == "[]":
            if not obj:
                obj.append({})
            obj = obj[0]
            continue
        if part == "{}":
            obj = obj.setdefault(next(iter(obj), KEY), {})
            continue
        if last:
            obj[part] = copy.deepcopy(value)
            return
        obj = obj.setdefault(part, [] if after == "[]" else {})
        if obj is None:
            raise AssertionError(f"{path}: nothing to set it in")


@cache
def all_cases() -> tuple[Case, ...]:
    return tuple(
        found for name in MODULES for found in _module(name).cases() if isinstance(found, Case)
    )


@cache
def all_open() -> tuple[Open, ...]:
    return tuple(found for name in MODULES for found in getattr(_module(name), "OPEN_PLACES", ()))


def _module(name: str) -> Any:
    return importlib.import_module(f"tests.contract.{name}")
