"""``ome model download``: a model in a folder of one's own, without any server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ome.cli.errors import CliError, usage
from ome.cli.target import Context

if TYPE_CHECKING:
    from ome.storage import Manifest

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@click.command(epilog="For example: ome model download hf://Qwen/Qwen3-0.6B ./qwen3")
@click.argument("uri")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these files.")
@click.option("--limit", metavar="RATE", help="At most so many bytes a second, such as 20M.")
@click.pass_obj
def command(
    context: Context,
    uri: str,
    folder: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    limit: str | None,
) -> None:
    """Download the model at URI into DIR.

    Every file is checked against the hash that its source gives, and DIR appears when all of it is
    there. Stopped at any moment, the same command goes on where it was.
    """
    from ome.cli.models import spec_of
    from ome.cli.output import size
    from ome.cli.progressbar import Bar
    from ome.storage import open_source
    from ome.storage.engine import Options
    from ome.storage.transfer import download

    spec = spec_of(uri)
    if spec.scheme in ("local", "pvc"):
        raise usage(f"{spec.scheme}:// is not downloaded", "Copy the folder with what you like")
    options = Options(include=include, exclude=exclude, bandwidth=bytes_a_second(limit))
    bar = Bar(context.output)

    async def work() -> Manifest:
        source = open_source(spec)
        try:
            return await download(source, folder.absolute(), options=options, report=bar.show)
        finally:
            await source.close()

    found = run(context, work(), uri)
    revision = f" at {found.revision}" if found.revision else ""
    context.output.print(
        f"{folder}: {len(found.files)} files, {size(found.size)}{revision}, verified"
    )


def run(context: Context, work: Coroutine[Any, Any, Manifest], where: str) -> Manifest:
    """Carries a transfer out; what fails is told with ``where`` and the remedy. Raises CliError."""
    from ome.artifacts import ArtifactError
    from ome.storage import StorageError

    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        context.output.say("what has arrived is kept: the same command goes on from there")
        raise
    except (StorageError, ArtifactError) as error:
        raise CliError(error.message, where=where, remedy=error.remedy) from error
    except OSError as error:
        raise CliError(f"{error.strerror}", where=str(error.filename or where)) from error


def bytes_a_second(text: str | None) -> float | None:
    """``500K``, ``20M``; None where there is no limit. Raises CliError."""
    if text is None:
        return None
    unit = text[-1:].upper() if text[-1:].isalpha() else ""
    number = text[: len(text) - len(unit)]
    try:
        rate = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        rate = 0.0
    if rate <= 0:
        raise usage(
            f"--limit {text} is not understood", "Write bytes a second, such as 500K or 20M"
        )
    return rate
