"""``ome explain``: which runtime a service would get, and why not the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ome.cli.errors import FAILURE
from ome.cli.options import file_option, target
from ome.cli.target import Context

if TYPE_CHECKING:
    from ome.controllers.decide import Decision


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVICE]...")
@file_option(required=False)
@target
def command(context: Context, names: tuple[str, ...], files: tuple[str, ...]) -> int:
    """Show for each SERVICE, or each service in FILEs, the runtime that would be chosen, every
    other one with all its reasons, and the nearest miss.

    FILEs work without a running OME: then it knows them and the shipped runtimes. Exit status 1 if
    a service would get no runtime.
    """
    from ome.cli import offline
    from ome.selection import explain

    world = offline.load(context, files, names)
    hopeless = False
    context.output.say(f"judged by {' and '.join(world.sources)}")
    for service in world.services:
        meta = service["metadata"]
        context.output.print(f"InferenceService {meta['namespace']}/{meta['name']}")
        decision = world.decide(service)
        lines = []
        if decision.selection is not None:
            lines = explain.lines(decision.selection)
        for component, choice in sorted(decision.accelerators.items()):
            lines += explain.accelerator_lines(component, choice)
        if decision.problem is not None:
            hopeless = True
            if not _told(decision):
                lines.append(f"problem: {decision.problem.sentence}")
        elif decision.selection is None:
            lines.append("runtime: none needed, the service brings its own container")
        for line in lines:
            context.output.print(f"  {line}")
    return FAILURE if hopeless else 0


def _told(decision: Decision) -> bool:
    """Whether the lines about the selection have said the problem already."""
    said = decision.selection.problem if decision.selection else None
    return (
        said is not None
        and decision.problem is not None
        and decision.problem.sentence.startswith(said.message)
    )
