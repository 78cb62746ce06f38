"""Sets of field paths, in the form in which ``managedFields`` stores them (FieldsV1).

A set is a tree of dicts. A key is one path element:

``f:name``            member of an object
``k:{"name":"a"}``    item of a list map, by its key fields (compact JSON, sorted)
``v:"text"``          item of a set, by its value

A node without content is a path that is in the set. A node with content is in the set only if it
also has the key ``.``; its other keys lead to longer paths. The root is never in the set itself, so
an empty root is the empty set.

The functions here never change their arguments and share unchanged subtrees with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from ome.apimachinery.objects import Object

Tree: TypeAlias = dict[str, Any]
DOT: Final = "."


class FieldSet:
    """A set of field paths with the usual set operations. Immutable by convention."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree | None = None) -> None:
        self.tree: Tree = tree or {}

    @staticmethod
    def from_v1(fields: Mapping[str, Any] | None) -> FieldSet:
        return FieldSet(_from_v1(fields or {}))

    def to_v1(self) -> Object:
        """The FieldsV1 object, its keys sorted."""
        return _sorted(self.tree)

    def __or__(self, other: FieldSet) -> FieldSet:
        return FieldSet(union(self.tree, other.tree))

    def __and__(self, other: FieldSet) -> FieldSet:
        return FieldSet(intersection(self.tree, other.tree))

    def __sub__(self, other: FieldSet) -> FieldSet:
        return FieldSet(difference(self.tree, other.tree))

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    def __hash__(self) -> int:
        return hash(tuple(self.paths()))

    def __contains__(self, path: tuple[str, ...]) -> bool:
        node = self.tree
        for element in path:
            if element not in node:
                return False
            node = node[element]
        return bool(path) and is_member(node)

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Every path in the set, sorted."""
        return paths(self.tree)

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(show_path(p) for p in self.paths())})"


def is_member(node: Tree) -> bool:
    return not node or DOT in node


def member(children: Tree) -> Tree:
    """A node that is in the set, with these longer paths below it."""
    return {DOT: {}, **children} if children else {}


def union(a: Tree, b: Tree) -> Tree:
    """Every path that is in ``a`` or in ``b``."""
    if a is b or not b:
        return a
    if not a:
        return b
    return _union(a, b)


def _union(a: Tree, b: Tree) -> Tree:
    out = dict(a)
    changed = False
    for element, node in b.items():
        if element not in out:
            out[element] = node
            changed = True
        elif element != DOT:
            mine = out[element]
            if mine == node:
                continue
            joined = _union(mine, node) if mine and node else member(mine or node)
            if joined != mine:
                out[element] = joined
                changed = True
    return out if changed else a


def difference(a: Tree, b: Tree) -> Tree:
    """Every path of ``a`` that is not in ``b``. Paths below a path of ``b`` stay."""
    if not a or not b:
        return a
    out: Tree = {}
    changed = False
    for element, node in a.items():
        if element not in b:
            out[element] = node
            continue
        left = _difference(node, b[element])
        changed = changed or left is not node
        if left is not None:
            out[element] = left
    return out if changed else a


def _difference(a: Tree, b: Tree) -> Tree | None:
    """None where nothing is left."""
    drop = is_member(b)
    if not a:
        return None if drop else a
    out: Tree = {}
    changed = False
    for element, node in a.items():
        if element == DOT:
            if drop:
                changed = True
            else:
                out[DOT] = node
        elif element in b:
            left = _difference(node, b[element])
            changed = changed or left is not node
            if left is not None:
                out[element] = left
        else:
            out[element] = node
    if not changed:
        return a
    if not out:
        return None
    return {} if len(out) == 1 and DOT in out else out


def intersection(a: Tree, b: Tree) -> Tree:
    """Every path that is in both."""
    out: Tree = {}
    for element, node in a.items():
        if element in b:
            common = _intersection(node, b[element])
            if common is not None:
                out[element] = common
    return out


def _intersection(a: Tree, b: Tree) -> Tree | None:
    both = is_member(a) and is_member(b)
    out: Tree = {}
    small, large = (a, b) if len(a) < len(b) else (b, a)
    for element, node in small.items():
        if element != DOT and element in large:
            common = _intersection(node, large[element])
            if common is not None:
                out[element] = common
    if both:
        return member(out)
    return out or None


def contains_all(a: Tree, b: Tree) -> bool:
    """Whether every path of ``b`` is in ``a``."""
    return all(element in a and _contains(a[element], node) for element, node in b.items())


def _contains(a: Tree, b: Tree) -> bool:
    if a is b:
        return True
    if is_member(b) and not is_member(a):
        return False
    return all(e in a and _contains(a[e], node) for e, node in b.items() if e != DOT)


def paths(tree: Tree) -> Iterator[tuple[str, ...]]:
    """Every path in the set: of one level first its members, then what is below them, sorted."""
    yield from _paths(tree, ())


def _paths(tree: Tree, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    elements = sorted(element for element in tree if element != DOT)
    for element in elements:
        if is_member(tree[element]):
            yield (*prefix, element)
    for element in elements:
        yield from _paths(tree[element], (*prefix, element))


def show_path(path: tuple[str, ...]) -> str:
    """A path as conflict messages show it: ``.spec.containers[name="a"].image``."""
    out = ""
    for element in path:
        kind, text = element[:2], element[2:]
        if kind == "f:":
            out += f".{text}"
        elif kind == "k:":
            keys = json.loads(text)
            inside = ",".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in keys.items())
            out += f"[{inside}]"
        else:
            out += f"[={text}]"
    return out


def _from_v1(node: Mapping[str, Any]) -> Tree:
    tree: Tree = {k: _from_v1(v) for k, v in node.items() if isinstance(v, Mapping)}
    return {} if len(tree) == 1 and DOT in tree else tree


def _sorted(tree: Tree) -> Object:
    return {k: _sorted(tree[k]) if tree[k] else {} for k in sorted(tree)}
