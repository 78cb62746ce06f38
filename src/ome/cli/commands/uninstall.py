"""``ome uninstall``: takes OME off a cluster and leaves what people made."""

from __future__ import annotations

import asyncio

import click

from ome.cli.errors import usage
from ome.cli.options import target
from ome.cli.target import Context


@click.command()
@click.option(
    "--delete-crds",
    is_flag=True,
    help="Delete the CRDs too, and with them every service, model and runtime of the cluster.",
)
@click.option("--yes", is_flag=True, help="Do not ask before --delete-crds.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=300.0,
    metavar="SECONDS",
    help="Longest wait.",
)
@target
def command(context: Context, delete_crds: bool, yes: bool, timeout: float) -> None:
    """Remove operator, agents, webhooks and rights from a cluster.

    Engines that run go on running. CRDs, models, runtimes, services and the namespace stay.
    """
    from ome.cli.commands.install import NAMESPACE
    from ome.cli.install import applying
    from ome.cli.install.connecting import connected

    if delete_crds and not yes:
        if not context.output.live:
            raise usage("--delete-crds deletes every service of the cluster", "Add --yes")
        click.confirm("This deletes every service, model and runtime. Go on?", abort=True)

    async def work() -> None:
        async with await connected(context) as client:
            await applying.uninstall(
                client,
                context.namespace or NAMESPACE,
                context.output.say,
                delete_crds=delete_crds,
                seconds=timeout,
            )

    asyncio.run(work())
