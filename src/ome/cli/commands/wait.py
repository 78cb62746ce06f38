"""``ome wait``: until services are ready."""

from __future__ import annotations

import click

from ome.api import resources as ours
from ome.cli import waiting
from ome.cli.commands.get import not_found
from ome.cli.options import target
from ome.cli.target import Context


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SERVICE...")
@click.option("--timeout", type=float, default=900.0, show_default=True, metavar="SECONDS")
@target
def command(context: Context, names: tuple[str, ...], timeout: float) -> None:
    """Wait until each SERVICE is ready, and say meanwhile what it waits for."""
    api = context.api()
    for given in names:
        namespace, slash, name = given.rpartition("/")
        where = namespace if slash and namespace not in ("isvc", "service") else api.namespace
        if api.find(ours.INFERENCE_SERVICES, name, where) is None:
            there = [o["metadata"]["name"] for o in api.list(ours.INFERENCE_SERVICES, where)]
            raise not_found(ours.INFERENCE_SERVICES, name, where, there)
        waiting.until_ready(api, context.output, where, name, timeout)
