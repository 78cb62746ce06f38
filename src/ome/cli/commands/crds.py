"""``ome crds``: the CustomResourceDefinitions, to install or to look at."""

from __future__ import annotations

import click

from ome.cli import kinds
from ome.cli.errors import CliError
from ome.cli.options import format_option
from ome.cli.target import Context


@click.command()
@click.option("--kind", "only", metavar="KIND", help="Only this kind.")
@format_option("yaml", "json")
@click.pass_obj
def command(context: Context, only: str | None, form: str) -> None:
    """Print the CustomResourceDefinitions.

    ome crds | kubectl apply --server-side -f -
    """
    from ome.api import resources
    from ome.cli.install import crds

    wanted = resources.ALL
    if only is not None:
        wanted = (kinds.resource_for(only),)
        if wanted[0] not in resources.ALL:
            raise CliError(f"{wanted[0].kind} is not one of OME's kinds")
    names = {f"{resource.plural}.{resource.group}" for resource in wanted}
    for crd in crds():
        if crd["metadata"]["name"] in names:
            if form == "yaml":
                context.output.print("---")
            context.output.object(crd, form)
