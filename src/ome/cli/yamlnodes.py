"""YAML as Kubernetes reads it, and what is wrong with a document before it becomes values.

:class:`Loader` gives nodes, which know their lines, and makes values of them. Problems are pairs of
a line (from 1) and a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import yaml

_MOST_VALUES = 2_000_000
_MAP = "tag:yaml.org,2002:map"
_MERGE = "tag:yaml.org,2002:merge"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Strings that look like dates or times stay strings, and all keys are strings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        return {
            _key(self.construct_object(key, deep=True)): self.construct_object(value, deep=True)
            for key, value in node.value
        }


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else "null" if key is None else str(key)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}
# The C loader's maps are built by a generator that fills them late; ours must see its own method.
Loader.add_constructor(_MAP, lambda loader, node: loader.construct_mapping(node, deep=True))


def _or_text(made: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """22:30 is a text for Kubernetes; YAML 1.1 made a number of minutes of it."""
    return lambda loader, node: node.value if ":" in node.value else made(loader, node)


Loader.add_constructor("tag:yaml.org,2002:int", _or_text(yaml.SafeLoader.construct_yaml_int))
Loader.add_constructor("tag:yaml.org,2002:float", _or_text(yaml.SafeLoader.construct_yaml_float))


def syntax_problem(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """What the parser has to say, in words and with a line; 0 where it knows none."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return (mark.line + 1 if mark else 1), _marked(error, text, mark)
    if isinstance(error, yaml.reader.ReaderError):
        return _reader_line(error, text), _reader_problem(error)
    return 0, str(error)


def _reader_problem(error: yaml.reader.ReaderError) -> str:
    shown = f"the character U+{error.character:04X}" if isinstance(error.character, int) else ""
    return f"{shown or error.reason} can't stand in it as it is; write it escaped"


def _reader_line(error: yaml.reader.ReaderError, text: str) -> int:
    """The parser says where in bytes or characters; only the line matters."""
    return text[: error.position].count("\n") + 1 if isinstance(error.position, int) else 0


def problems_of(loader: Any, root: yaml.Node) -> list[tuple[int, str]]:
    """Keys that stand twice, and aliases that lead nowhere but into themselves or into memory."""
    found: list[tuple[int, str]] = []
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            if known == 0:
                found.append((node.start_mark.line + 1, "an alias contains itself"))
            return known
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.MappingNode):
            found.extend(_repeated(loader, node))
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        sizes[id(node)] = total
        return total

    if size(root) > _MOST_VALUES:
        text = f"its aliases stand for more than {_MOST_VALUES} values; write less"
        found.append((root.start_mark.line + 1, text))
    return found


def _repeated(loader: Any, node: yaml.MappingNode) -> Iterator[tuple[int, str]]:
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            yield line, "a key must be a text, not a list or an object"
            continue
        if key_node.tag == _MERGE:
            continue
        key = _key(loader.construct_object(key_node, deep=True))
        if key in seen:
            shown = key if len(key) <= 80 else key[:80] + "…"
            yield line, f"the key {shown!r} stands twice, the first time on line {seen[key]}"
        else:
            seen[key] = line


def _marked(error: yaml.MarkedYAMLError, text: str, mark: yaml.Mark | None) -> str:
    """The parser's words, with what it was reading and the usual cause."""
    said = error.problem or error.context or "can't be read"
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return f"{said}. A tab can't indent: use spaces"
    begun = error.context_mark
    if error.context and begun is not None and mark is not None and begun.line != mark.line:
        said = f"{said} ({error.context} that begins on line {begun.line + 1})"
    return said
