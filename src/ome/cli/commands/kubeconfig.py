"""``ome kubeconfig``: for ``kubectl --kubeconfig "$(ome kubeconfig)"``."""

from __future__ import annotations

import click

from ome.cli.errors import CliError
from ome.cli.target import Context


@click.command()
@click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
@click.pass_obj
def command(context: Context, data: str | None) -> None:
    """Print the path of the kubeconfig for kubectl and other Kubernetes tools."""
    context.data = data or context.data
    path = context.home.kubeconfig
    if not path.exists():
        raise CliError(
            "there is no kubeconfig yet", where=str(path), remedy="'ome up' makes it at its start"
        )
    context.output.print(str(path))
