"""``ome doctor``: whether this machine has what ``ome up`` needs, and what to do about it."""

from __future__ import annotations

import click

from ome.cli.options import format_option
from ome.cli.target import Context


@click.command()
@click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
@format_option("table", "json", "yaml")
@click.pass_context
def command(ctx: click.Context, data: str | None, form: str) -> None:
    """Check what 'ome up' needs: data folder, disk, ports, engine, package index, containers.

    Changes nothing. Exit status 1 if something is missing that OME can't work without.
    """
    from ome.cli import doctor
    from ome.cli.errors import FAILURE

    context: Context = ctx.obj
    context.data = data or context.data
    output = context.output
    output.status("looking …")
    findings = doctor.examine(context.home)
    if form == "table":
        rows = [(f.check, f.state.value, f.found) for f in findings]
        output.table(("CHECK", "STATE", "FOUND"), rows)
        for finding in findings:
            if finding.remedy:
                output.print(f"{finding.check}: {finding.remedy}")
    else:
        output.object([finding.as_dict() for finding in findings], form)
    if any(finding.state is doctor.State.PROBLEM for finding in findings):
        ctx.exit(FAILURE)
