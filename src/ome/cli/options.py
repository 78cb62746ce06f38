"""Options that many commands share; they may stand before or after the subcommand."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from ome.cli.output import FORMATS
from ome.cli.target import Context

F = TypeVar("F", bound=Callable[..., Any])


def target(function: F) -> F:
    """Adds the options that aim at an API; the function gets the Context as first argument."""

    @click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
    @click.option("--kubeconfig", metavar="FILE", help="Speak to a cluster instead of 'ome up'.")
    @click.option("--context", metavar="NAME", help="A context of the kubeconfig.")
    @click.option("-n", "--namespace", metavar="NAME", help="Namespace.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
    @click.pass_obj
    @wraps(function)
    def wrapped(
        found: Context,
        /,
        *args: Any,
        data: str | None,
        kubeconfig: str | None,
        context: str | None,
        namespace: str | None,
        quiet: bool,
        **more: Any,
    ) -> Any:
        found.data = data or found.data
        found.kubeconfig = kubeconfig or found.kubeconfig
        found.context = context or found.context
        found.namespace = namespace or found.namespace
        if quiet:
            found.output.quiet, found.output.live = True, False
        return function(found, *args, **more)

    return wrapped  # type: ignore[return-value]


def format_option(*choices: str) -> Callable[[F], F]:
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(choices or FORMATS),
        default=(choices or FORMATS)[0],
        show_default=True,
        help="How to print.",
    )


def file_option(required: bool = True) -> Callable[[F], F]:
    return click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        required=required,
        metavar="FILE|DIR|-",
        help="A file, a folder of files, or - for standard input; may be repeated.",
    )
