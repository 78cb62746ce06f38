"""``ome install``: OME on a cluster, or the manifests of that."""

from __future__ import annotations

import asyncio

import click

from ome.cli.options import target
from ome.cli.target import Context

NAMESPACE = "ome"


@click.command()
@click.option("--set", "assignments", multiple=True, metavar="PATH=VALUE", help="A setting.")
@click.option("--dry-run", is_flag=True, help="Print the objects, ask no server.")
@click.option("--wait/--no-wait", default=True, help="Wait until all of it is ready.  [wait]")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=300.0, metavar="SECONDS", help="For --wait."
)
@click.option("--settings", "show", is_flag=True, help="List what can be set.")
@target
def command(
    context: Context,
    assignments: tuple[str, ...],
    dry_run: bool,
    wait: bool,
    timeout: float,
    show: bool,
) -> None:
    """Install OME on a cluster, or bring an installation to this version and these settings.

    \b
    ome install --context prod --set operator.replicas=3
    ome install --dry-run | less
    """
    from ome.cli.install import SETTINGS, settings

    if show:
        rows = [(s.path, s.text) for s in SETTINGS]
        context.output.table(("SETTING", "WHAT FOR"), rows)
        return
    changes = settings.parse(assignments)
    namespace = context.namespace or NAMESPACE
    from ome.cli.install import applying
    from ome.cli.install.connecting import connected

    if dry_run:
        for obj in applying.chosen(namespace, changes)[0]:
            context.output.print("---")
            context.output.object(obj, "yaml")
        return

    async def work() -> None:
        async with await connected(context) as client:
            await applying.install(client, namespace, changes, context.output.say)
            if wait:
                context.output.status("waiting until operator and agents are ready …")
                await applying.ready(client, namespace, changes, timeout)

    asyncio.run(work())
    context.output.say(f"OME is installed in namespace {namespace}")
