"""The part of kubectl's JSONPath that printer columns use.

``.a.b``, ``['a.b']``, ``.a\\.b`` (a dot in a name), ``[0]``, ``[-1]``, ``[*]``, ``.*``, and the
filter ``[?(@.type=="Ready")]`` with ``==``, ``!=`` and a string, number, true or false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\])+)
      | \[\s*(?:'(?P<single>(?:\\.|[^'\\])*)'|"(?P<double>(?:\\.|[^"\\])*)")\s*\]
      | \[\s*(?P<index>-?\d+)\s*\]
      | (?P<all>\[\s*\*\s*\])
      | \[\s*\?\s*\(\s*@(?P<path>(?:[^=!\]]|\['[^']*'\])+?)
        \s*(?P<op>==|!=)\s*(?P<value>.+?)\s*\)\s*\]
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """The path is not one that columns can use."""


@lru_cache(maxsize=512)
def compile_path(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises PathError."""
    text = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise PathError(f"can't read the JSONPath {text!r} from {text[at:]!r} on")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def find(obj: Any, path: str) -> list[Any]:
    """All values that a path leads to. A path that can't be read leads nowhere."""
    try:
        steps = compile_path(path)
    except PathError:
        return []
    values = [obj]
    for step in steps:
        values = [found for value in values for found in step(value)]
    return values


def _step(match: re.Match[str]) -> Step:
    groups = match.groupdict()
    if groups["index"] is not None:
        return _item(int(groups["index"]))
    if groups["all"] is not None or groups["name"] == "*":
        return _children
    if groups["path"] is not None:
        return _filter(groups["path"], groups["op"], groups["value"])
    name = next(g for g in (groups["name"], groups["single"], groups["double"]) if g is not None)
    return _member(re.sub(r"\\(.)", r"\1", name))


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _filter(path: str, operator: str, literal: str) -> Step:
    wanted = _literal(literal)

    def step(value: Any) -> Iterator[Any]:
        for child in _children(value):
            found = find(child, path)
            equal = bool(found) and found[0] == wanted
            if found and equal is (operator == "=="):
                yield child

    return step


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise PathError(f"can't read the value {text!r} in a filter") from None
