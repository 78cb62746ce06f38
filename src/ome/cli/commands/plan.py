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
    restart pods.
    """
    from ome.cli import offline

    world = offline.load(context, files, names)
    if form is None:
        form = "diff" if files and world.api is not None else "yaml"
    if form == "diff" and world.api is None:
        raise CliError("there is nothing to compare with: no API answers", remedy="Use -o yaml")
    status = 0
    for service in world.services:
        compared = form == "diff" and _difference(context, world, service)
        if form == "diff":
            status = status if compared else FAILURE
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
    return status


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


def _difference(context: Context, world: Offline, service: Object) -> bool:
    from ome.cli import differences

    assert world.api is not None
    stored = differences.as_stored(world.api, service)
    observed = differences.observe(world.api, stored)
    decision = world.decide(stored, observed)
    if not _fine(context, service, decision):
        return False
    meta, output = service["metadata"], context.output
    output.print(f"InferenceService {meta['namespace']}/{meta['name']}")
    found = list(differences.changes(world.api, decision, observed))
    for change in found:
        note = f": {change.note}" if change.note else ""
        output.print(f"  {change.sign} {change.what}{note}")
        for line in change.fields:
            output.print(f"      {line}")
    assert decision.rendered is not None
    for text in decision.rendered.pending:
        output.print(f"  {text}")
    if not found:
        output.print("  nothing changes in its objects")
    return all(change.sign != "!" for change in found)
