"""``ome plan``: what OME would make of a service, and what that changes; nothing is done."""

from __future__ import annotations

import click

from ome.apimachinery.objects import Object
from ome.cli.errors import FAILURE, CliError
from ome.cli.offline import Offline
from ome.cli.options import file_option, target
from ome.cli.target import Context
from ome.controllers.decide import Decision


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVICE]...")
@file_option(required=False)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(("yaml", "json", "diff")),
    help="The objects, or the difference to what runs.  [default: diff for files where an API "
    "answers, else yaml]",
)
@target
def command(
    context: Context, names: tuple[str, ...], files: tuple[str, ...], form: str | None
) -> int:
    """Print what OME would make for each SERVICE or those in FILEs. Changes nothing.

    Where an API answers, FILEs are compared with what runs there: each object that would be made
    (+), changed (~), deleted (-) or refused (!), each field that differs, and which of the changes
    restart pods. FILEs without a service (a runtime, a model) are compared for every service that
    uses what is in them.
    """
    from ome.cli import offline

    world = offline.load(context, files, names, users=form in (None, "diff"))
    if form is None:
        form = "diff" if files and world.api is not None else "yaml"
    if form == "diff" and world.api is None:
        raise CliError("there is nothing to compare with: no API answers", remedy="Use -o yaml")
    if not world.services:
        context.output.print("no service uses it: nothing changes")
    status, restarted = 0, 0
    for service in world.services:
        if form == "diff":
            fine, restarts = _difference(context, world, service)
            status, restarted = status if fine else FAILURE, restarted + restarts
            continue
        decision = world.decide(service)
        if not _fine(context, service, decision):
            status = FAILURE
            continue
        assert decision.rendered is not None
        for child in decision.rendered.children:
            if form == "yaml":
                context.output.print("---")
            context.output.object(child.object, form)
    if form == "diff" and len(world.services) > 1:
        _sum_up(context, world, restarted)
    return status


def _sum_up(context: Context, world: Offline, restarted: int) -> None:
    """Over several services. What they share reaches them in waves."""
    text = f"of {len(world.services)} services, {restarted} would restart pods"
    at_once = world.settings.rollouts_at_once
    if world.stored and restarted > at_once:
        text = f"{text}, {at_once} at a time"
    context.output.print(text)


def _fine(context: Context, service: Object, decision: Decision) -> bool:
    """Says the problem or the warnings."""
    meta = service["metadata"]
    if decision.problem is not None:
        where = f"InferenceService {meta['namespace']}/{meta['name']}"
        context.output.error(str(CliError(decision.problem.sentence, where=where)))
        return False
    for text in decision.warnings:
        context.output.warn(text)
    return True


def _difference(context: Context, world: Offline, service: Object) -> tuple[bool, bool]:
    """Whether nothing stands in the way, and whether pods would restart."""
    from ome.cli import differences

    assert world.api is not None
    stored = service if world.stored else differences.as_stored(world.api, service)
    observed = differences.observe(world.api, stored)
    decision = world.decide(stored, observed)
    if not _fine(context, service, decision):
        return False, False
    meta, output = service["metadata"], context.output
    output.print(f"InferenceService {meta['namespace']}/{meta['name']}")
    found = list(differences.changes(world.api, decision, observed))
    for change in found:
        note = f": {change.note}" if change.note else ""
        output.print(f"  {change.sign} {change.what}{note}")
        for line in change.fields:
            output.print(f"      {line}")
    assert decision.rendered is not None
    for text in (*decision.rendered.pending, *differences.hand_overs(decision.rendered)):
        output.print(f"  {text}")
    if not found:
        output.print("  nothing changes in its objects")
    return all(one.sign != "!" for one in found), any(one.restarts for one in found)
