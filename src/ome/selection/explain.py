"""A selection in words, for ``ome explain`` and for people who read a status."""

from __future__ import annotations

from ome.apimachinery.errors import one_line
from ome.selection.accelerators import AcceleratorChoice
from ome.selection.runtimes import Candidate, Selection

_LONGEST_LINE = 2000


def summary(selection: Selection) -> str:
    """One sentence: who won and why, or why nobody did."""
    winner = selection.winner
    if winner is None:
        assert selection.problem is not None
        return selection.problem.message
    runtime = f"{winner.runtime.kind} {winner.name}"
    if selection.explicit:
        return f"{runtime}, because the service names it"
    if not winner.exact:
        how = "a generic match: it names no architecture, and no runtime names this one"
    else:
        how = f"score {winner.score}"
    others = sum(candidate.fits for candidate in selection.candidates) - 1
    if not others:
        return f"{runtime}, the only one of {len(selection.candidates)} that fits ({how})"
    return f"{runtime}, first of {others + 1} that fit ({how})"


def lines(selection: Selection, *, all_losers: bool = True) -> list[str]:
    """The whole reasoning, a line each; losers with every reason."""
    text = [f"runtime: {summary(selection)}"]
    text += [f"warning: {warning}" for warning in selection.warnings]
    losers = selection.losers
    for candidate in losers if all_losers else losers[:5]:
        text += _candidate_lines(candidate, selection)
    hidden = 0 if all_losers else max(0, len(losers) - 5)
    if hidden:
        text.append(f"  ... and {hidden} more")
    miss = selection.nearest_miss
    if miss is not None and not selection.explicit:
        text.append(f"nearest miss: {miss.name}. To make it fit: {selection.fix}")
    elif selection.problem is not None and selection.problem.fix:
        text.append(f"what to do: {selection.problem.fix}")
    return [one_line(line, _LONGEST_LINE) for line in text]


def _candidate_lines(candidate: Candidate, selection: Selection) -> list[str]:
    head = f"  {candidate.name} ({candidate.runtime.kind})"
    if candidate.fits:
        return [f"{head}: {candidate.verdict}, but {_why_behind(candidate, selection.winner)}"]
    found = [f"{head}: {candidate.verdict}"]
    found += [f"    - {reason.message} ({reason.field})" for reason in candidate.reasons]
    for entry, reasons in candidate.other_entries:
        found.append(f"    - entry {entry.index}: {'; '.join(r.message for r in reasons)}")
    return found


def _why_behind(candidate: Candidate, winner: Candidate | None) -> str:
    if winner is None:
        return "it is not used"
    if winner.exact and not candidate.exact:
        return f"{winner.name} names the model's architecture"
    if winner.runtime.namespace and not candidate.runtime.namespace:
        return f"{winner.name} belongs to the service's namespace"
    if winner.score != candidate.score:
        return f"it scores {candidate.score} and {winner.name} {winner.score}"
    if winner.distance != candidate.distance:
        return f"the size range of {winner.name} is closer to the model's size"
    return f"{winner.name} comes first by name"


def accelerator_lines(component: str, choice: AcceleratorChoice) -> list[str]:
    """Why a component gets its accelerator class, and why not the others; nothing if none."""
    if choice.winner is None and choice.problem is None:
        return []
    won = f"{choice.name} ({choice.reason})" if choice.winner else "none"
    text = [f"accelerator of the {component}: {won}"]
    if choice.memory is not None:
        text.append(f"  memory: {choice.memory.sentence}")
    if choice.warning:
        text.append(f"warning: {choice.warning}")
    text += [f"  {loser.name}: {'; '.join(loser.reasons)}" for loser in choice.losers]
    miss = choice.nearest_miss
    if miss is not None and miss.fix:
        text.append(f"nearest miss: {miss.name} {miss.fix}")
    return text
