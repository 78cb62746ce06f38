"""``ome plan``: the objects that OME would make for a service, without making them."""

from __future__ import annotations

import click

from ome.cli.errors import FAILURE, CliError
from ome.cli.options import file_option, format_option, target
from ome.cli.target import Context


@click.command()
@click.argument("names", nargs=-1, metavar="[SERVICE]...")
@file_option(required=False)
@format_option("yaml", "json")
@target
def command(context: Context, names: tuple[str, ...], files: tuple[str, ...], form: str) -> int:
    """Print the objects that OME would make for each SERVICE or those in FILEs. Changes nothing."""
    from ome.cli import offline

    world = offline.load(context, files, names)
    status = 0
    for service in world.services:
        meta = service["metadata"]
        decision = world.decide(service)
        if decision.problem is not None:
            problem = CliError(
                decision.problem.sentence,
                where=f"InferenceService {meta['namespace']}/{meta['name']}",
            )
            context.output.error(str(problem))
            status = FAILURE
            continue
        for text in decision.warnings:
            context.output.warn(text)
        assert decision.rendered is not None
        for child in decision.rendered.children:
            if form == "yaml":
                context.output.print("---")
            context.output.object(child.object, form)
    return status
