"""``ome model copy``: a model from one storage to another."""

from __future__ import annotations

import click

from ome.cli.commands.model.download import bytes_a_second, run
from ome.cli.errors import usage
from ome.cli.target import Context


@click.command(epilog="For example: ome model copy hf://Qwen/Qwen3-0.6B s3://models/qwen3-0.6b")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these files.")
@click.option("--limit", metavar="RATE", help="At most so many bytes a second, such as 20M.")
@click.pass_obj
def command(
    context: Context,
    source: str,
    destination: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: str | None,
) -> None:
    """Copy the model at storage URI SRC to storage URI DST.

    The bytes stream through this machine and are verified; what is there already is not sent again,
    so a stopped copy goes on where it was. Credentials come from the environment.
    """
    from ome.cli.models import spec_of
    from ome.cli.output import size
    from ome.cli.progressbar import Bar
    from ome.storage.engine import Options
    from ome.storage.replicate import replicate

    places = [spec_of(source), spec_of(destination)]
    for place in places:
        if place.scheme == "pvc":
            raise usage(
                f"{place.uri}: a volume claim can only be read where it is mounted",
                "Copy in a pod that mounts it, and name the folder: local:///PATH",
            )
    options = Options(include=include, exclude=exclude, bandwidth=bytes_a_second(limit))
    work = replicate(*places, options=options, report=Bar(context.output).show)
    found = run(context, work, f"{source} -> {destination}")
    revision = f" at {found.revision}" if found.revision else ""
    context.output.print(
        f"{destination}: {len(found.files)} files, {size(found.size)}{revision}, verified"
    )
