"""Writes what the program knows of itself into the documentation.

    PYTHONPATH=src python tools/generate_docs.py

* ``docs/cli.md``: the help of each command, between ``<!-- help: NAME -->`` and the end of the
  code block after it.
* ``docs/troubleshooting.md``: the reasons of conditions, between ``<!-- reasons -->`` and
  ``<!-- end -->``.
* ``docs/reference/``: whole pages, made by ``tools/reference``.

The words around the first two stay. ``tests/unit/docs/test_docs.py`` fails where page and program
differ.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.reference.pages import pages as reference_pages

from ome.api.reasons import REASONS, Outlook
from ome.cli.commands.bench import command as bench
from ome.cli.commands.model import COMMANDS as MODEL_COMMANDS
from ome.cli.main import COMMANDS, cli

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "cli.md"
TROUBLES = DOCS / "troubleshooting.md"
REFERENCE = DOCS / "reference"
WIDTH = 88
TABLE = re.compile(r"<!-- reasons -->\n.*?<!-- end -->", re.DOTALL)
WORDS = {
    Outlook.PASSES: "It passes by itself, or is tried again.",
    Outlook.STUCK: "It stays until somebody acts.",
}
BLOCK = re.compile(r"<!-- help: (\S+) -->\n```text\n.*?```", re.DOTALL)


def help_of(name: str) -> str:
    """The help text of a command (``model.add`` for one of a group); of ``ome`` itself for the name
    ``ome``."""
    top = click.Context(
        cli, info_name="ome", terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    if name == "ome":
        return cli.get_help(top)
    context, group = top, cli
    for part in name.split("."):
        command = group.get_command(context, part) if isinstance(group, click.Group) else None
        if command is None:
            raise SystemExit(f"{PAGE} documents '{name}', but there is no such command")
        context = click.Context(command, parent=context, info_name=part, terminal_width=WIDTH)
        group = command
    return group.get_help(context)


def renew(text: str) -> str:
    """The page with every block as it should be."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- help: {match[1]} -->\n```text\n{help_of(match[1]).rstrip()}\n```"

    return BLOCK.sub(block, text)


def documented(text: str) -> list[str]:
    return BLOCK.findall(text)


def missing(text: str) -> list[str]:
    """Commands that have no block on the page."""
    grouped = {f"model.{name}" for name in MODEL_COMMANDS}
    grouped |= {f"bench.{name}" for name in bench.commands}
    return sorted({"ome", *COMMANDS, *grouped} - set(documented(text)))


def reasons(text: str) -> str:
    """The page with the table of reasons as it should be; what is fine is left out."""
    rows = ["| reason | what it means | what to do |", "|---|---|---|"]
    for outlook, words in WORDS.items():
        rows.append(f"| | **{words}** | |")
        for entry in sorted(REASONS.values(), key=lambda r: r.code):
            if entry.outlook is outlook:
                rows.append(f"| `{entry.code}` | {entry.meaning} | {entry.remedy} |")
    block = "\n".join(["<!-- reasons -->", *rows, "<!-- end -->"])
    return TABLE.sub(lambda _: block, text)


def write_reference() -> None:
    """All pages of the reference; one that is not made any more goes."""
    REFERENCE.mkdir(exist_ok=True)
    made = reference_pages()
    for path in REFERENCE.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (REFERENCE / name).write_text(text)


def main() -> None:
    text = PAGE.read_text()
    if absent := missing(text):
        raise SystemExit(f"{PAGE} has no block for: {', '.join(absent)}")
    PAGE.write_text(renew(text))
    TROUBLES.write_text(reasons(TROUBLES.read_text()))
    write_reference()


if __name__ == "__main__":
    main()
