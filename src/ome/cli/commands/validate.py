"""``ome validate``: the checks of admission on files, without any server."""

from __future__ import annotations

import click

from ome.cli import findings, manifests
from ome.cli.errors import FAILURE, USAGE
from ome.cli.findings import Examined
from ome.cli.manifests import Unreadable
from ome.cli.options import file_option, format_option
from ome.cli.target import Context


@click.command()
@file_option()
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@format_option("text", "json")
@click.pass_obj
def command(context: Context, files: tuple[str, ...], strict: bool, form: str) -> int:
    """Check FILEs: syntax, kinds, fields, types, and OME's own rules. No server is asked.

    Folders are read with all folders in them. Exit status 0: everything is right, perhaps with
    warnings; 1: something is wrong; 2: a file can't be read, or there is no object in it.
    """
    entries, problems = manifests.collect(files, deep=True)
    if not entries and not problems:
        problems = [manifests.nothing_in(files)]
    examined = findings.examine(entries, problems)
    status = 0
    if examined.count("error") or (strict and examined.findings):
        status = FAILURE
    if any(isinstance(problem, Unreadable) for problem in problems):
        status = USAGE
    if form == "json":
        context.output.object(_document(examined, status), form)
    else:
        _tell(context, examined, status)
    return status


def _document(examined: Examined, status: int) -> dict[str, object]:
    return {
        "valid": status == 0,
        "checked": examined.checked,
        "onlyRead": examined.other,
        "errors": examined.count("error"),
        "warnings": examined.count("warning"),
        "findings": examined.findings,
    }


def _tell(context: Context, examined: Examined, status: int) -> None:
    for finding in examined.findings:
        say = context.output.error if finding.severity == "error" else context.output.warn
        say(str(finding))
    if status == 0:
        rest = f"; {examined.other} of other kinds were only read" if examined.other else ""
        context.output.print(f"{examined.checked} object(s) are valid{rest}")
    elif not examined.count("error"):
        context.output.error(f"{examined.count('warning')} warning(s), and --strict was asked for")
