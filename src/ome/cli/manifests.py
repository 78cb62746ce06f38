"""Reads YAML and JSON files of objects, and remembers on which line everything stands.

One file may hold many documents; ``List`` objects are taken apart. What is wrong with a file is
said with file and line: syntax, duplicate keys, documents that are no objects, missing names. All
of it is read, and all problems are found, before anything is done with it. A text that nests so
deeply, or repeats itself by aliases so often, that reading it would take the machine's memory is
refused.

YAML is read as Kubernetes reads it: dates and times of day stay strings.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ome.apimachinery import yamltext
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.cli import yamlnodes
from ome.cli.errors import CliError, ManyCliError

_SUFFIXES = (".yaml", ".yml", ".json")
STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_DEEPEST = 128


class Problem(CliError):  # noqa: N818 - reads as what it is
    """Something wrong at one place of a file. ``line`` is 0 where it has none."""

    def __init__(
        self,
        message: str,
        *,
        path: str,
        line: int = 0,
        title: str = "",
        field: str = "",
        remedy: str = "",
    ) -> None:
        place = f"{path}:{line}" if line else path
        said = f"{field}: {message}" if field else message
        super().__init__(said, where=f"{place}: {title}" if title else place, remedy=remedy)
        self.path = path
        self.line = line
        self.title = title
        self.field = field
        self.text = (
            f"{message}{'' if message.endswith('.') else '.'} {remedy}" if remedy else message
        )


class Unreadable(CliError):  # noqa: N818
    """There is nothing to look at: no such file, no right to read it, nothing in it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file. ``path`` is ``-`` for standard input."""

    path: str
    line: int
    object: Object
    node: yaml.Node = field(repr=False, compare=False)

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def title(self) -> str:
        meta = self.object.get("metadata") or {}
        name = meta.get("name") or meta.get("generateName") or "?"
        namespace = f"{meta['namespace']}/" if meta.get("namespace") else ""
        return f"{self.object.get('kind')} {namespace}{name}"

    def line_of(self, path: str) -> int:
        """The line of the field, or of the nearest parent that stands in the file."""
        return _line(self.node, path)

    def locate(self, path: str) -> str:
        return f"{self.path}:{self.line_of(path)}"

    def problem(self, error: FieldError) -> Problem:
        return Problem(
            error.message,
            path=self.path,
            line=self.line_of(error.path),
            title=self.title,
            field=error.path,
        )


def read(sources: Iterable[str]) -> list[Manifest]:
    """All objects of the files, folders (not deeper) and ``-``, in order."""
    sources = list(sources)
    found, problems = collect(sources)
    raise_all(problems)
    if not found:
        raise nothing_in(sources)
    return found


def nothing_in(sources: Iterable[str]) -> Unreadable:
    return Unreadable("there is no object in it", where=", ".join(sources))


def collect(sources: Iterable[str], *, deep: bool = False) -> tuple[list[Manifest], list[CliError]]:
    """What can be read, and all problems of what can't. ``deep``: also of folders in folders."""
    found: list[Manifest] = []
    problems: list[CliError] = []
    for source in sources:
        try:
            files = _files(source, deep=deep)
        except Unreadable as error:
            problems.append(error)
            continue
        for path in files:
            try:
                _parse(path, _text(path), found, problems)
            except CliError as error:
                problems.append(error)
    return found, problems


def _files(source: str, *, deep: bool) -> list[str]:
    path = Path(source)
    if source == "-" or not path.is_dir():
        return [source]
    files = sorted(_below(path, deep=deep))
    if not files:
        raise Unreadable("no .yaml, .yml or .json file in this folder", where=source)
    return [str(file) for file in files]


def _below(folder: Path, *, deep: bool) -> Iterator[Path]:
    """Files with objects; hidden folders and links to folders are left out."""
    try:
        for entry in folder.iterdir():
            if entry.suffix in _SUFFIXES and entry.is_file():
                yield entry
            elif deep and entry.is_dir() and not entry.is_symlink() and entry.name[0] != ".":
                yield from _below(entry, deep=True)
    except OSError as error:
        raise Unreadable(f"can't be read: {error.strerror}", where=str(folder)) from error


def _text(path: str) -> str:
    try:
        if path == "-":
            raw = getattr(sys.stdin, "buffer", None)
            return sys.stdin.read() if raw is None else str(raw.read(), "utf-8-sig")
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise Unreadable("there is no such file or folder", where=path) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Problem(f"not UTF-8 text: {error.reason}", path=path, line=line) from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise Unreadable(f"can't be read: {said}", where=path) from error


def _parse(path: str, text: str, found: list[Manifest], problems: list[CliError]) -> None:
    """Adds the objects of a text to ``found``, and what is wrong with it to ``problems``."""
    loader: Any = None
    try:
        line = yamltext.outline(text, _DEEPEST).line
        if line:
            raise Problem(f"nested more than {_DEEPEST} levels deep", path=path, line=line)
        loader = yamlnodes.Loader(text)
        while loader.check_node():
            node = loader.get_node()
            wrong = yamlnodes.problems_of(loader, node)
            problems += [
                Problem(f"not valid YAML: {said}", path=path, line=line) for line, said in wrong
            ]
            if not wrong:
                value = loader.construct_document(node)
                if value is not None:
                    _objects(path, value, node, found, problems)
    except yaml.YAMLError as error:
        line, said = yamlnodes.syntax_problem(error, text)
        raise Problem(f"not valid YAML: {said}", path=path, line=line) from error
    except (ValueError, TypeError) as error:  # 2024-13-45, !!int nonsense
        raise Problem(f"not valid YAML: {error}", path=path) from error
    finally:
        if loader is not None:
            loader.dispose()


def _objects(
    path: str, value: Any, node: yaml.Node, found: list[Manifest], problems: list[CliError]
) -> None:
    line = node.start_mark.line + 1
    if not isinstance(value, dict):
        text = "a document must be an object with apiVersion, kind and metadata, this one is "
        problems.append(Problem(text + _kind_of(value), path=path, line=line))
        return
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        items = _child(node, "items")
        for index, item in enumerate(value["items"]):
            entry = _child(items, f"[{index}]") if items else None
            _objects(path, item, entry or node, found, problems)
        return
    problem = _no_object(path, value, node) or _no_json(path, value, node)
    if problem is None:
        found.append(Manifest(path, line, value, node))
    else:
        problems.append(problem)


def _no_object(path: str, value: Object, node: yaml.Node) -> Problem | None:
    line = node.start_mark.line + 1
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name), str) or not value[name]:
            return Problem(f"{name} is missing", path=path, line=line)
    meta = value.get("metadata")
    if isinstance(meta, dict) and isinstance(meta.get("name"), str) and meta["name"]:
        return None
    return Problem(
        f"{value['kind']} without metadata.name",
        path=path,
        line=_line(node, "metadata"),
        remedy="Every object needs a name",
    )


def _no_json(path: str, value: Any, node: yaml.Node) -> Problem | None:
    """The first value that YAML can write and JSON, which the API speaks, can't."""
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        where, part = pending.pop()
        if isinstance(part, dict):
            pending += [(f"{where}.{k}".lstrip("."), v) for k, v in part.items()]
        elif isinstance(part, list):
            pending += [(f"{where}[{i}]", v) for i, v in enumerate(part)]
        elif isinstance(part, float) and not math.isfinite(part):
            text = f"{part} is no number that JSON can carry"
            return Problem(text, path=path, line=_line(node, where), field=where)
        elif not (part is None or isinstance(part, str | int | float)):
            text = f"a {type(part).__name__} is no value that JSON can carry"
            return Problem(text, path=path, line=_line(node, where), field=where)
    return None


def _kind_of(value: Any) -> str:
    names = {str: "a string", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _line(node: yaml.Node, path: str) -> int:
    """The line of the last part of ``path`` that stands in the document."""
    line = node.start_mark.line + 1
    current: yaml.Node | None = node
    for step in STEP.findall(path):
        if isinstance(current, yaml.MappingNode) and not step.startswith("["):
            for key, value in reversed(current.value):  # what was merged in stands first
                if key.value == step:
                    line = key.start_mark.line + 1
                    current = value
                    break
            else:
                return line
        else:
            current = _child(current, step) if current is not None else None
            if current is None:
                return line
            line = current.start_mark.line + 1
    return line


def _child(node: yaml.Node, step: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step.strip("[]\"'"):
                found: yaml.Node = value
                return found
    elif isinstance(node, yaml.SequenceNode):
        index = step.strip("[]")
        if index.isdigit() and int(index) < len(node.value):
            entry: yaml.Node = node.value[int(index)]
            return entry
    return None


def raise_all(problems: list[CliError]) -> None:
    """Raises what was found, if anything."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ManyCliError(problems)
