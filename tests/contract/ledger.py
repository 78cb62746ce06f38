"""The state of every place of the contract, worked out of the cases.

``proven``      a case sets the field and sees its effect
``refused``     a case sets the field and sees that it is refused, or said to have no effect
``deprecated``  a case sets the field and sees the warning (and that it still does what it did)
``open``        no case: the feature is still to come, and is named

A place that only holds others (``spec.engine``) has the best state of what it holds: if something
in it takes effect, so does it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.contract.cases import (
    DEPRECATED,
    OPEN,
    PROVEN,
    REFUSED,
    Case,
    Open,
    all_cases,
    all_open,
)
from tests.contract.places import Place, contract_fields, places

COMMITTED = Path(__file__).parent / "open.txt"
"""How many places are open: one number, which only ever shrinks."""
NOBODY = "nobody has said which"
_ORDER = (PROVEN, DEPRECATED, REFUSED, OPEN)


@dataclass(frozen=True)
class Line:
    place: Place
    state: str
    proof: str
    """The test; for what is open the feature that is missing."""
    why: str = ""


@cache
def ledger() -> tuple[Line, ...]:
    by_id: dict[str, Case] = {}
    for found in all_cases():
        for path in (found.path, *found.covers):
            by_id.setdefault(f"{found.kind}.{path}", found)
    lines = {place.id: _line(place, by_id) for place in places() if not place.holds}
    for place in sorted(places(), key=lambda p: -len(p.path)):
        if not place.holds:
            continue
        own = by_id.get(place.id)
        if own is not None:
            lines[place.id] = Line(place, own.state, own.test, own.why)
            continue
        held = [line for line in lines.values() if _holds(place, line.place)]
        best = min(held, key=lambda line: _ORDER.index(line.state))
        lines[place.id] = Line(place, best.state, best.proof, best.why)
    return tuple(lines[place.id] for place in places())


def _line(place: Place, by_id: dict[str, Case]) -> Line:
    own = by_id.get(place.id)
    if own is not None:
        return Line(place, own.state, own.test, own.why)
    return Line(place, OPEN, next((e.feature for e in all_open() if _matches(e, place)), NOBODY))


def _matches(entry: Open, place: Place) -> bool:
    return place.kind in entry.kind.split() and bool(re.fullmatch(entry.pattern, place.path))


def _holds(outer: Place, inner: Place) -> bool:
    return outer.kind == inner.kind and inner.path.startswith(
        (f"{outer.path}.", f"{outer.path}[]", f"{outer.path}{{}}")
    )


def unknown() -> list[str]:
    """Cases about places that there are not."""
    known = {place.id for place in places()}
    return sorted(
        f"{found.kind}.{path}"
        for found in all_cases()
        for path in (found.path, *found.covers)
        if f"{found.kind}.{path}" not in known
    )


def superfluous() -> list[str]:
    """Notes about what is open that match nothing any more."""
    waiting = [line.place for line in ledger() if line.state == OPEN]
    return [
        f"{entry.kind} {entry.pattern}"
        for entry in all_open()
        if not any(_matches(entry, place) for place in waiting)
    ]


def open_lines() -> list[Line]:
    return [line for line in ledger() if line.state == OPEN]


def counts(lines: Sequence[Line]) -> Counter[str]:
    return Counter(line.state for line in lines)


def fields_by_state() -> Counter[str]:
    """The contract's 272 fields: open if open at any place, else in the best of their states."""
    states = {line.place.id: line.state for line in ledger()}
    found: Counter[str] = Counter()
    for mine in contract_fields().values():
        here = {states[place.id] for place in mine}
        found[OPEN if OPEN in here else min(here, key=_ORDER.index)] += 1
    return found


def report() -> Iterator[str]:
    """What ``make contract`` prints."""
    lines = ledger()
    kinds = list(dict.fromkeys(line.place.kind for line in lines))
    yield f"{'':24}" + "".join(f"{state:>12}" for state in (*_ORDER, "places"))
    for kind in (*kinds, "all"):
        mine = [line for line in lines if kind in (line.place.kind, "all")]
        found = counts(mine)
        row = "".join(f"{found[state]:>12}" for state in _ORDER)
        yield f"{kind:24}{row}{len(mine):>12}"
    fields = fields_by_state()
    row = "".join(f"{fields[state]:>12}" for state in _ORDER)
    yield f"{'fields of the contract':24}{row}{fields.total():>12}"
    waiting: dict[str, list[str]] = {}
    for line in open_lines():
        waiting.setdefault(line.proof, []).append(line.place.id)
    for feature, ids in sorted(waiting.items()):
        yield ""
        yield f"open, {feature} ({len(ids)}):"
        yield from (f"  {id_}" for id_ in ids)
