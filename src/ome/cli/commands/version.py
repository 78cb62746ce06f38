"""``ome version``"""

from __future__ import annotations

import click

from ome._version import __version__
from ome.cli.target import Context


@click.command()
@click.pass_obj
def command(context: Context) -> None:
    """Print the version."""
    context.output.print(f"ome {__version__}")
