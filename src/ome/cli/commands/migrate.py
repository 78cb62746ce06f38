"""``ome migrate``: manifests with deprecated forms, as they are written today."""

from __future__ import annotations

import click

from ome.admission import migration
from ome.api import resources as ours
from ome.apimachinery.objects import Object
from ome.cli import checks, findings, manifests
from ome.cli.errors import FAILURE, USAGE, CliError
from ome.cli.manifests import Manifest, Unreadable
from ome.cli.options import file_option, format_option
from ome.cli.target import Context


@click.command()
@file_option()
@format_option("yaml", "json")
@click.pass_obj
def command(context: Context, files: tuple[str, ...], form: str) -> int:
    """Print the objects in FILEs, services with spec.predictor in their new form: with spec.model,
    spec.engine and spec.runtime. Everything else is printed as it is, but for comments.

    What was changed is said on standard error. Exit status 0: all is printed; 1: something in FILEs
    is wrong, and nothing is printed; 2: a file can't be read, or there is no object in it.
    """
    entries, problems = manifests.collect(files, deep=True)
    if not entries and not problems:
        problems = [manifests.nothing_in(files)]
    problems += _problems(entries)
    for problem in problems:
        context.output.error(str(problem))
    if problems:
        return USAGE if any(isinstance(p, Unreadable) for p in problems) else FAILURE
    view = findings.Files(entries)
    printed: list[Object] = []
    for entry in entries:
        obj, said = entry.object, list[str]()
        if checks.known_or_none(entry) == ours.INFERENCE_SERVICES:
            obj, said = migration.rewrite(entry.object, view)
        for text in said:
            context.output.say(f"{entry.locate('spec.predictor')}: {entry.title}: {text}")
        printed.append(obj)
    _print(context, printed, form)
    return 0


def _problems(entries: list[Manifest]) -> list[CliError]:
    """Types and unknown fields: what is not understood can't be rewritten without loss."""
    return [
        entry.problem(error)
        for entry in entries
        if (resource := checks.known_or_none(entry)) is not None
        for error in checks.schema_problems(entry, resource)
    ]


def _print(context: Context, objects: list[Object], form: str) -> None:
    if form == "json":
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        context.output.object(objects[0] if len(objects) == 1 else listed, form)
        return
    for number, obj in enumerate(objects):
        if number:
            context.output.print("---")
        context.output.object(obj, form)
