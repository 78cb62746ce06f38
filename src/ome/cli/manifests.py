"""Reads YAML and JSON files of objects, and remembers on which line everything stands.

One file may hold many documents; ``List`` objects are taken apart. What is wrong with a file is
said with file and line: syntax, duplicate keys, documents that are no objects, missing names. The
whole input is read before anything is done with it.

YAML is read as Kubernetes reads it: dates stay strings.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.cli.errors import CliError, ManyCliError

_SUFFIXES = (".yaml", ".yml", ".json")
STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")


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

    def locate(self, path: str) -> str:
        """``file:line`` of the field, or of the nearest parent that stands in the file."""
        return f"{self.path}:{_line(self.node, path)}"

    def problem(self, error: FieldError) -> CliError:
        where = f"{self.locate(error.path)}: {self.title}"
        return CliError(str(error), where=where)


def read(sources: Iterable[str]) -> list[Manifest]:
    """All objects of the files, folders (not deeper) and ``-``, in order."""
    found: list[Manifest] = []
    for source in sources:
        for path, text in _texts(source):
            found += _parse(path, text)
    if not found:
        raise CliError("there is no object in it", where=", ".join(sources))
    return found


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "-", sys.stdin.read()
        return
    path = Path(source)
    try:
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES and p.is_file())
            if not files:
                raise CliError("no .yaml, .yml or .json file in this folder", where=source)
            for entry in files:
                yield str(entry), entry.read_text(encoding="utf-8")
        else:
            yield source, path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CliError("there is no such file or folder", where=source) from error
    except UnicodeDecodeError as error:
        raise CliError(f"not UTF-8 text: {error.reason}", where=str(source)) from error
    except OSError as error:
        raise CliError(f"can't be read: {error.strerror}", where=source) from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Strings that look like dates stay strings, and a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                key = str(key)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key '{key}' stands twice, the first time on line {seen[key]}",
                    key_node.start_mark,
                )
            seen[key] = key_node.start_mark.line + 1
        made = super().construct_mapping(node, deep=deep)
        return {k if isinstance(k, str) else str(k): v for k, v in made.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
# The C loader's maps are built by a generator that fills them late; ours must see its own method.
_Loader.add_constructor(
    "tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _parse(path: str, text: str) -> list[Manifest]:
    found: list[Manifest] = []
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if value is None:
                continue
            found += _objects(path, value, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = _yaml_problem(error, text, mark)
        raise CliError(f"not valid YAML: {said}", where=f"{path}:{line}") from error
    except yaml.YAMLError as error:
        raise CliError(f"not valid YAML: {error}", where=path) from error
    finally:
        loader.dispose()
    return found


def _yaml_problem(error: yaml.MarkedYAMLError, text: str, mark: yaml.Mark | None) -> str:
    """The parser's words, with what it was reading and the usual cause."""
    said = error.problem or error.context or "can't be read"
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return f"{said}. A tab can't indent: use spaces"
    begun = error.context_mark
    if error.context and begun is not None and mark is not None and begun.line != mark.line:
        said = f"{said} ({error.context} that begins on line {begun.line + 1})"
    return said


def _objects(path: str, value: Any, node: yaml.Node) -> Iterator[Manifest]:
    line = node.start_mark.line + 1
    if not isinstance(value, dict):
        raise CliError(
            f"a document must be an object with apiVersion, kind and metadata, this one is "
            f"{_kind_of(value)}",
            where=f"{path}:{line}",
        )
    if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        items = _child(node, "items")
        for index, item in enumerate(value["items"]):
            entry = _child(items, f"[{index}]") if items else None
            yield from _objects(path, item, entry or node)
        return
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise CliError(f"{name} is missing", where=f"{path}:{line}")
    meta = value.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str) or not meta["name"]:
        raise CliError(
            f"{value['kind']} without metadata.name",
            where=f"{path}:{_line(node, 'metadata')}",
            remedy="Every object needs a name",
        )
    yield Manifest(path, line, value, node)


def _kind_of(value: Any) -> str:
    names = {str: "a string", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _line(node: yaml.Node, path: str) -> int:
    """The line of the last part of ``path`` that stands in the document."""
    line = node.start_mark.line + 1
    current: yaml.Node | None = node
    for step in STEP.findall(path):
        if isinstance(current, yaml.MappingNode) and not step.startswith("["):
            for key, value in current.value:
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
