"""A group of commands whose modules are imported only when they are run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """``lazy``: name -> (module, help). The help stands there so that listing imports nothing.

    ``package`` is where the modules are; each has its command as ``command``. ``path`` is how the
    group is called (``ome model``).
    """

    def __init__(
        self, *, lazy: Mapping[str, tuple[str, str]], package: str, path: str, **more: Any
    ) -> None:
        super().__init__(**more)
        self._lazy = lazy
        self._package = package
        self._path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._lazy:
            return None
        module = importlib.import_module(f"{self._package}.{self._lazy[name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._lazy and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], self._lazy, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"'{self._path} --help' lists them."
            raise click.UsageError(f"there is no command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])
