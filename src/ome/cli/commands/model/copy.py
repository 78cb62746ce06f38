"""``ome model copy``: a model from one storage to another."""

from __future__ import annotations

import click

from ome.cli.errors import CliError
from ome.cli.target import Context


@click.command(epilog="For example: ome model copy hf://Qwen/Qwen3-0.6B s3://models/qwen3-0.6b")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.pass_obj
def command(context: Context, source: str, destination: str) -> None:
    """Copy the model at storage URI SRC to storage URI DST.

    The bytes stream through this machine and are verified; what is there already is not sent again,
    so a stopped copy goes on where it was. Credentials come from the environment.
    """
    raise CliError("not yet")
